// The four figures at the top of the reports, and by how much they differ from another period's.

import { SERIES, sections } from "./catalog.js";
import { change, count, element, hourInWords, several, share } from "./format.js";
import { whoWasThere } from "./who_was_there.js";

const $ = (selector) => document.querySelector(selector);
const NONE = "none in this period";

function put(figure, value, more, compared) {
  $(`#figure-${figure}`).textContent = value;
  $(`#figure-${figure}-more`).replaceChildren(more);
  const place = $(`#figure-${figure}-change`);
  place.hidden = !compared;
  place.textContent = compared ?? "";
}

/** An hour, which leads to who was there in it. */
const hourOf = (hour, series) => element("a", { href: whoWasThere(hour, series) }, hourInWords(hour));

const together = (...parts) => {
  const made = document.createDocumentFragment();
  made.append(...parts);
  return made;
};

/** The series of a section that had the most sessions at once. */
const busiest = (names, { concurrency }) => names.reduce((best, each) => (concurrency[each].max > concurrency[best].max ? each : best));

/** The figures of an answer; `before` is the answer of the period that it is compared with, or null. */
export function figures(answer, before) {
  const { report } = answer;
  const against = (now, then) => before && `${change(now, then)} against ${then === null ? "–" : count(then)}`;
  const { total } = answer.usage;
  put("runs", count(total.begun), total.begun ? `${share(total.abandoned / total.begun)} abandoned` : NONE, against(total.begun, before?.usage.total.begun));
  const [agentSection, flowSection] = sections.filter(({ series }) => series.length);
  const agents = report.concurrency[agentSection.series[0]];
  const agentsBefore = before?.report.concurrency[agentSection.series[0]].max;
  put("agents", count(agents.max), agents.busiest_hour ? together("in the hour of ", hourOf(agents.busiest_hour, agentSection.series[0])) : NONE, against(agents.max, agentsBefore));
  const name = busiest(flowSection.series, report);
  const most = report.concurrency[name];
  const mostBefore = before?.report.concurrency[busiest(flowSection.series, before.report)].max;
  put("flows", count(most.max), most.busiest_hour ? together(`${SERIES[name].label}, `, hourOf(most.busiest_hour, name)) : NONE, against(most.max, mostBefore));
  const { turned, begun, share: part } = answer.resolution.total;
  if (turned === null) return; // of one flow, and not shown
  put("turned", count(turned), part === null ? `${several(turned, "click")}, no runs` : `${share(part)} of ${several(begun, "run")}`, against(turned, before?.resolution.total.turned));
}
