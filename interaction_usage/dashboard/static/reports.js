// The reports page: what is asked for in the address, its numbers from the API, each as chart and table.

import { below, get } from "./api.js";
import { APPLICATIONS, SERIES, SERVICES, applications, series, services } from "./catalog.js";
import { switchTable } from "./cards.js";
import { combobox } from "./combobox.js";
import { completenessLine, missing } from "./completeness.js";
import { concurrency, seriesButtons } from "./concurrency_report.js";
import { elsewhere } from "./days_with_usage.js";
import { comparedWith, spanFor, spansFor } from "./days.js";
import { figures } from "./figures.js";
import { layered, ranks, resolution, usage } from "./flow_reports.js";
import { callout, count, daysInWords, element, hourInWords, offset, showYears, wallTime } from "./format.js";
import { nearest } from "./nearest.js";
import { onChange, period, readAddress, setPeriod, settle, showErrors, today } from "./period.js";
import { cutNow, soFar } from "./so_far.js";
import { isEmpty, showUsageReport } from "./usage_report.js";
import { whoWasThere } from "./who_was_there.js";

const { account, timezone } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);

// ---------------------------------------------------------------------------- the address

/** What is asked for besides the days; empty: what is usual. */
const asked = { by: "", compare: "", flow: "", series: "", application: "", service: "" };
const KNOWN = { by: { day: 1, week: 1, month: 1 }, compare: { previous: 1, weekdays: 1, year: 1 }, series: SERIES, application: APPLICATIONS, service: SERVICES };

function fromAddress() {
  const query = new URLSearchParams(location.search);
  readAddress(query);
  for (const name of Object.keys(asked)) {
    const value = query.get(name) ?? "";
    asked[name] = name === "flow" || Object.hasOwn(KNOWN[name], value) ? value : "";
  }
  flows.set(asked.flow);
  $("#compare").value = asked.compare;
}

/** Shows what has changed, under an address of its own: Back undoes it. */
function go(changes = {}) {
  Object.assign(asked, changes);
  flows.set(asked.flow);
  if (!settle()) {
    $("#reports").classList.add("stale");
    return;
  }
  const given = Object.entries(asked).filter(([, value]) => value);
  const search = `?${new URLSearchParams({ ...period(), ...Object.fromEntries(given) })}`;
  if (search !== location.search) history.pushState(null, "", search);
  load();
}

/** Shows other days; they are broken down as suits them. */
function open(first, last) {
  setPeriod(first, last);
  go({ by: "" });
}

addEventListener("popstate", () => {
  fromAddress();
  if (settle()) load();
});

// --------------------------------------------------------------------------- the controls

let knownFlows = [];
const flows = combobox($("#flow-combo"), {
  options: async () => knownFlows,
  chosen: ({ value }) => go({ flow: value }),
  cleared: () => go({ flow: "" }),
  // The list has the most used; any other can be asked for by its name.
  typed: (name) => go({ flow: name }),
});

onChange(() => go({ by: "" }));
$("#compare").addEventListener("change", ({ target }) => go({ compare: target.value }));
$("#all-flows").addEventListener("click", () => {
  go({ flow: "" });
  $("#flow").focus();
});
seriesButtons((id) => go({ series: id === series[0].id ? "" : id }));

const NAMES = { hour: "Hours", day: "Days", week: "Weeks", month: "Months" };

/** The spans to choose from; those that suit the period are no part of the address. */
function showSpans(by) {
  const { from, to } = period();
  const suits = spanFor(from, to);
  const choices = spansFor(from, to);
  $("#by").hidden = choices.length < 2;
  const focused = $("#by").contains(document.activeElement) ? document.activeElement.dataset.key : null;
  $("#by").replaceChildren(
    ...choices.map((each) => {
      const button = element("button", { type: "button", "data-key": each, "aria-pressed": String(each === by) }, NAMES[each]);
      button.addEventListener("click", () => go({ by: each === suits ? "" : each }));
      return button;
    }),
  );
  if (focused) $(`#by [data-key="${focused}"]`)?.focus();
  for (const place of document.querySelectorAll("[data-per]")) place.textContent = by;
  $("[data-many]").hidden = by === "hour";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-table]");
  if (button) switchTable(button);
});

// ------------------------------------------------------------------------------- loading

let loading;
let tries = 0;
const AGAIN_S = [2, 4, 8, 15, 30];

async function load() {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const reports = $("#reports");
  reports.setAttribute("aria-busy", "true");
  reports.classList.add("stale");
  const { from, to } = period();
  document.dispatchEvent(new Event("periodchange"));
  const by = spansFor(from, to).includes(asked.by) ? asked.by : spanFor(from, to);
  prepare(by);
  const other = comparedWith(asked.compare, from, to);
  const cut = cutNow(from, other);
  const ask = (first, last) => get(below(account, "/dashboard", { from: first, to: last, flow: asked.flow, by }), signal);
  try {
    const [answer, before] = await Promise.all([ask(from, to), other && ask(...other)]);
    const compared = cut ? await soFar(before, other, cut, { flow: asked.flow, signal }) : before;
    $("#problem").replaceChildren();
    show(answer, before, by);
    figures(answer, compared);
    notes(answer.report, localNow(answer.usage.as_of), other, cut);
    if (!asked.flow && isEmpty(answer.report)) elsewhere(account, open, signal).then((said) => $("#problem").append(said), () => {});
    performance.mark("shown");
    tries = 0;
    reports.classList.remove("stale");
    reports.setAttribute("aria-busy", "false");
  } catch (problem) {
    if (problem.name === "AbortError") return;
    reports.setAttribute("aria-busy", "false");
    failed(problem, signal);
  }
}

/** Shows the cards that there will be, before their numbers: nothing jumps when these come. */
function prepare(by) {
  showSpans(by);
  $("#heatmap").hidden = $("#heat-head").hidden = by === "hour";
  for (const each of document.querySelectorAll("[data-whole]")) each.hidden = Boolean(asked.flow);
  $("#whole-account").hidden = !asked.flow;
  $("#reports").classList.toggle("one-flow", Boolean(asked.flow));
}

/** Says what went wrong; what may pass is tried again by itself. */
function failed(problem, signal) {
  const { from, to, flow } = problem.fields ?? {};
  if (from ?? to) {
    showErrors({ from, to });
    return;
  }
  const passes = !flow && (problem.status === 0 || problem.status === 429 || problem.status >= 500);
  const wait = AGAIN_S[Math.min(tries, AGAIN_S.length - 1)];
  const again = element("button", { type: "button", class: "button small" }, "Try again");
  again.addEventListener("click", load);
  const said = callout(`${problem.message}${passes ? " It is tried again by itself." : ""}`);
  said.append(again);
  $("#problem").replaceChildren(said);
  if (!passes) return;
  tries += 1;
  setTimeout(() => !signal.aborted && load(), wait * 1000);
}

/** The span that has not ended, or -1. */
function partial(spans, by, now) {
  return spans.findIndex(({ day, last = day, begins }) => (by === "hour" ? begins.slice(0, 13) === now.slice(0, 13) : last === now.slice(0, 10)));
}

/** What a click on a span shows: its days, of a day its hours, of an hour who was there. */
function pick({ day, last = day, begins }) {
  if (begins) location.assign(whoWasThere(new Date(begins).toISOString(), asked.series || undefined));
  else open(day, last);
}

function show(answer, before, by) {
  const { report, heat } = answer;
  const { from, to } = period();
  showYears(from, to > today() ? today() : to);
  knownFlows = heat.flows.map((each) => ({ value: each.flow, label: each.flow, note: count(each.runs) }));
  for (const skeleton of document.querySelectorAll("#reports .skeleton")) skeleton.classList.remove("skeleton");
  const now = localNow(answer.usage.as_of);
  const spans = answer.usage.days;
  const view = { spans, by, soFar: partial(spans, by, now), pick: (index) => pick(spans[index]) };
  $("#problem").replaceChildren(...missing(report.completeness), ...unknownFlow(heat));
  usage(answer.usage, before?.usage, view);
  ranks(heat, before?.heat, { chosen: asked.flow, choose: (flow) => go({ flow }) });
  if (asked.flow) return; // the rest is not counted by flow
  resolution(answer.resolution, before?.resolution, view);
  concurrency(answer.concurrency, before?.concurrency, view, asked.series || series[0].id);
  layered("applications", answer.applications, before?.applications, view, {
    rows: applications, nothing: "No flow ran in this period", chosen: asked.application, choose: (application) => go({ application }),
  });
  layered("connectivity", answer.connectivity, before?.connectivity, view, {
    rows: services, nothing: "Nothing was clicked in this period", chosen: asked.service, choose: (service) => go({ service }),
  });
  showUsageReport($("#report tbody"), report);
}

function notes(report, now, other, cut) {
  const { from, to } = period();
  const texts = [completenessLine(report.completeness, localNow), `As of ${hourInWords(now)}`];
  if (other) texts.push(`Dashed: ${daysInWords(...other)}${cut ? `, whole days; the figures up to ${hourInWords(cut)}` : ""}`);
  else if (asked.compare) texts.push("There is nothing to compare with before 2000.");
  if (asked.flow) texts.push("The Export is of the whole account");
  $("#note").replaceChildren(...texts.map((text) => element("span", {}, text)));
  const flow = asked.flow && ` · Interaction Flow “${asked.flow}”`;
  $("#paper").textContent = ` · ${daysInWords(from, to)}${flow}`;
}

/** Says of a flow that did not run that it did not; and which ones may be meant. */
function unknownFlow({ flows: ran }) {
  if (!asked.flow || ran.some(({ flow }) => flow === asked.flow)) return [];
  const near = nearest(asked.flow, ran.map(({ flow }) => flow));
  const said = callout(`No flow “${asked.flow}” ran in this period. Names are exact, capitals included.`, "warn");
  for (const flow of near) {
    const button = element("button", { type: "button", class: "button small" }, flow);
    button.addEventListener("click", () => go({ flow }));
    said.append(button);
  }
  return [said];
}

/** An instant in UTC, as the account's clocks show it. */
const localNow = (instant) => wallTime(instant, timezone);

// --------------------------------------------------------------------------------- begin

fromAddress();
if (settle()) load();
else $("#reports").classList.add("stale");

get("/api/timezones").then(
  (zones) => {
    const mine = zones.find(({ name }) => name === timezone);
    if (mine) $("#offset").textContent = ` (${offset(mine.offset)} now)`;
  },
  () => {},
);
