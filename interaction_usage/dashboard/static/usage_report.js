// The Usage Report as it will be exported: the sections of the catalogue, with the report's numbers.

import { SERIES, sections } from "./catalog.js";
import { average, count, element, hourInWords, minutes } from "./format.js";

const COLUMNS = 4;
const UNITS = { events: count, minutes };

/** Empty cells up to the last column. */
const pad = (cells) => Array.from({ length: COLUMNS - cells.length }, () => element("td"));

function titleRow(...cells) {
  return element("tr", { class: "section" }, ...cells.map((text, index) => element("th", { scope: index ? "col" : "colgroup" }, text)), ...pad(cells));
}

function row(label, ...cells) {
  return element("tr", { class: cells.length === 1 && "single" }, element("th", { scope: "row" }, label), ...cells.map((text) => element("td", {}, text)), ...pad([label, ...cells]));
}

function seriesRow(name, report) {
  const { max, average: mean, busiest_hour: hour } = report.concurrency[name];
  return row(SERIES[name].label, count(max), average(mean), hour ? hourInWords(hour) : "–");
}

/** The rows of a section; none where it does not apply to the account. */
function sectionRows({ title, counters, series }, report) {
  const applying = counters.filter(({ path }) => report[path[0]]);
  if (!applying.length && !series.length) return [];
  const value = (path) => path.reduce((members, name) => members[name], report);
  return [
    titleRow(title, ...(series.length ? ["Maximum", "Average", "Busiest hour"] : [])),
    ...applying.map(({ label, path, unit }) => row(label, UNITS[unit](value(path)))),
    ...series.map((name) => seriesRow(name, report)),
  ];
}

/** Whether a report has no usage at all. */
export function isEmpty(report) {
  const value = (path) => path.reduce((members, name) => members?.[name], report);
  return !sections.some(({ counters, series }) => counters.some(({ path }) => value(path)) || series.some((name) => report.concurrency[name].max));
}

export function showUsageReport(body, report) {
  body.replaceChildren(...sections.flatMap((section) => sectionRows(section, report)));
}
