// The cards that count: figures at the top, usage, resolution, heat, applications, connectivity.

import { asTable, draw, legend } from "./cards.js";
import { SERIES, SERVICES, outcomes, sections, turnedTo } from "./catalog.js";
import { count, dayInWords, element, empty, hourInWords, several, share } from "./format.js";

const $ = (selector) => document.querySelector(selector);
const RANKS = 12;

/** The four figures at the top. */
export function figures(answer, report) {
  const put = (figure, value, more) => {
    $(`#figure-${figure}`).textContent = value;
    $(`#figure-${figure}-more`).textContent = more;
  };
  const { total } = answer.usage;
  put("runs", count(total.begun), total.begun ? `${share(total.abandoned / total.begun)} abandoned` : "none in this period");
  const [agentSection, flowSection] = sections.filter(({ series }) => series.length);
  const agents = report.concurrency[agentSection.series[0]];
  put("agents", count(agents.max), agents.busiest_hour ? `in the hour of ${hourInWords(agents.busiest_hour)}` : "none in this period");
  const name = flowSection.series.reduce((best, each) => (report.concurrency[each].max > report.concurrency[best].max ? each : best));
  const most = report.concurrency[name];
  put("flows", count(most.max), most.busiest_hour ? `${SERIES[name].label}, ${hourInWords(most.busiest_hour)}` : "none in this period");
  const { turned, begun, share: part } = answer.resolution.total;
  put("turned", turned === null ? "–" : count(turned), turned === null ? "not counted by flow" : part === null ? `${several(turned, "click")}, no runs` : `${share(part)} of ${several(begun, "run")}`);
}

/** Flow runs per day, by how they ended; of one `flow`, or of all. */
export function usage({ days, total, flow }) {
  const card = $("#usage");
  const layers = outcomes.map(({ id, label, color }) => ({ label, key: id, token: color }));
  legend(card, [{ label: "Begun", value: count(total.begun) }, ...layers.map(({ label, key, token }) => ({ label, token, value: count(total[key]) }))]);
  draw(card, total.begun, "No flow ran in this period", flow ? "Try all flows, or other days." : "Try other days.", {
    label: `Flow runs per day, ${count(total.begun)} altogether`,
    days: days.map(({ day }) => day),
    layers: layers.map((layer) => ({ ...layer, values: days.map((each) => each[layer.key]) })),
    rows: (index) => [
      { label: "Begun", value: count(days[index].begun) },
      ...layers.map(({ label, key, token }) => ({ label, token, value: count(days[index][key]) })),
    ],
  });
  const row = (each) => [count(each.begun), ...outcomes.map(({ id }) => count(each[id]))];
  asTable(card, ["Day", "Begun", ...outcomes.map(({ label }) => label)], days.map((each) => [dayInWords(each.day), ...row(each)]), ["Whole period", ...row(total)]);
}

/** Flow runs against clicks on the services that customers turn to. */
export function resolution({ days, total }) {
  const card = $("#resolution");
  const counted = total.turned !== null;
  legend(card, [
    { label: "Runs", token: "--quiet", value: count(total.begun) },
    { label: "Turned to a person", token: "--c5", value: counted ? count(total.turned) : "not counted by flow" },
  ]);
  const number = (value) => (value === null ? "–" : count(value));
  draw(card, total.begun || total.turned, "Nothing in this period", "Try other days.", {
    label: `Flow runs and clicks on call, callback and chat per day, ${count(total.begun)} runs`,
    days: days.map(({ day }) => day),
    stacked: false,
    layers: [
      { token: "--quiet", values: days.map(({ begun }) => begun) },
      ...(counted ? [{ token: "--c5", values: days.map(({ turned }) => turned) }] : []),
    ],
    rows: (index) => [
      { label: "Runs", token: "--quiet", value: count(days[index].begun) },
      ...(counted
        ? [
            { label: "Turned to a person", token: "--c5", value: count(days[index].turned) },
            ...turnedTo.map((name) => ({ label: SERVICES[name].label, value: count(days[index][name]) })),
            { label: "Share", value: share(days[index].share) },
          ]
        : [{ label: "Clicks", value: "not counted by flow" }]),
    ],
  });
  const row = (each) => [count(each.begun), ...turnedTo.map((name) => number(each[name])), number(each.turned), share(each.share)];
  asTable(card, ["Day", "Runs", ...turnedTo.map((name) => SERVICES[name].label), "Turned", "Share"], days.map((each) => [dayInWords(each.day), ...row(each)]), ["Whole period", ...row(total)]);
}

/** The most used flows; only `one`, if one is chosen. */
export function ranks(heat, one) {
  const card = $("#heat");
  const listed = one ? one.flows : heat.flows;
  const top = one ? listed : listed.slice(0, RANKS);
  const most = Math.max(1, ...heat.flows.slice(0, 1).map(({ runs }) => runs));
  const rows = top.map(({ flow: name, runs, share: part }) => rank(name, runs, part, most, "--c1"));
  const left = one ? 0 : heat.total.runs - top.reduce((sum, { runs }) => sum + runs, 0);
  const others = heat.flow_count - top.length;
  if (left) rows.push(rank(`${several(others, "other flow")}`, left, left / heat.total.runs, most, "--quiet"));
  card.querySelector(".ranks").replaceChildren(...(rows.length ? rows : [element("li", {}, empty("No flow ran in this period", "Try other days."))]));
  const row = ({ runs, completed, abandoned, share: part }) => [count(runs), count(completed), count(abandoned), share(part)];
  const all = listed.map((each) => [each.flow, ...row(each)]);
  if (heat.other && !one) all.push([`other (${several(heat.other.flows, "flow")})`, ...row(heat.other)]);
  asTable(card, ["Interaction Flow", "Runs", "Completed", "Abandoned", "Share"], all, one ? null : [`Total (${several(heat.flow_count, "flow")})`, ...row(heat.total)]);
}

function rank(name, runs, part, most, token) {
  const bar = element("span");
  bar.style.width = `${Math.min(100, (100 * runs) / most)}%`;
  bar.style.setProperty("--fill", `var(${token})`);
  return element(
    "li",
    {},
    element("span", { class: "name", title: name }, name),
    element("span", { class: "count" }, count(runs)),
    element("span", { class: "share" }, share(part)),
    element("div", { class: "track", "aria-hidden": "true" }, bar),
  );
}

/** Application usage and Connectivity: a layer for each of the catalogue's `rows`. */
export function layered(id, answer, rows, nothing) {
  const card = document.getElementById(id);
  const { days, total, all } = answer;
  legend(card, rows.map(({ id: name, label, color: token }) => ({ label, token, value: count(total[name]) })));
  draw(card, all, nothing, "Try other days.", {
    label: `${card.querySelector("h2").textContent} per day, ${count(all)} altogether`,
    days: days.map(({ day }) => day),
    layers: rows.map(({ id: name, color: token }) => ({ token, values: days.map((each) => each[name]) })),
    rows: (index) => rows.map(({ id: name, label, color: token }) => ({ label, token, value: count(days[index][name]) })),
  });
  const row = (each) => [...rows.map(({ id: name }) => count(each[name])), count(rows.reduce((sum, { id: name }) => sum + each[name], 0))];
  asTable(card, ["Day", ...rows.map(({ label }) => label), "Total"], days.map((each) => [dayInWords(each.day), ...row(each)]), ["Whole period", ...row(total)]);
}
