// The cards that count: usage, resolution, heat, applications, connectivity.
// Each takes its part of the answer, the same part of what it is compared with (or null), and the view:
// the spans, what they are by, which has not ended, and what a click does.

import { asTable, comparing, draw, legend, renew } from "./cards.js";
import { SERVICES, outcomes, turnedTo } from "./catalog.js";
import { spanInWords, count, element, empty, several, share } from "./format.js";

const $ = (selector) => document.querySelector(selector);
const RANKS = 12;
const NO_RUNS = "No flow ran in this period";
const OTHER_DAYS = "Try other days.";

/** What all charts of a view have in common; `values` of the days compared with, as ghost bars. */
function common(view, ghost) {
  const { spans, by, soFar, pick } = view;
  const title = (index) => `${spanInWords(spans[index])}${index === soFar ? ", so far" : ""}`;
  return { spans, by, soFar, pick, title, ghost: ghost && spans.map((_, index) => ghost[index] ?? null) };
}

/** Rows of a table, one per span. */
const rowsOf = (view, cells) => view.spans.map((span, index) => [spanInWords(span), ...cells(index)]);
const heading = ({ by }) => ({ hour: "Hour", day: "Day", week: "Week", month: "Month" })[by];
const known = (value) => (value === undefined || value === null ? undefined : count(value));

/** Flow runs, by how they ended; of one `flow`, or of all. */
export function usage({ days, total, flow }, before, view) {
  const card = $("#usage");
  const layers = outcomes.map(({ id, label, color, pattern }) => ({ label, id, token: color, pattern }));
  legend(card, [{ label: "Runs", value: count(total.begun) }, ...layers.map(({ id, ...layer }) => ({ ...layer, value: count(total[id]) }))]);
  const then = (index) => before?.days[index];
  draw(card, total.begun, flow ? `“${flow}” did not run in this period` : NO_RUNS, flow ? "Try all flows, or other days." : OTHER_DAYS, {
    ...common(view, before?.days.map(({ begun }) => begun)),
    label: `Flow runs per ${view.by}, ${count(total.begun)} altogether`,
    layers: layers.map((layer) => ({ ...layer, values: days.map((each) => each[layer.id]) })),
    rows: (index) => [
      { label: "Runs", value: count(days[index].begun), before: known(then(index)?.begun) },
      ...layers.map(({ id, ...layer }) => ({ ...layer, value: count(days[index][id]), before: known(then(index)?.[id]) })),
    ],
  });
  const { head, cells } = comparing(before);
  const row = (each, earlier) => [count(each.begun), ...outcomes.map(({ id }) => count(each[id])), ...cells(each.begun, earlier?.begun)];
  asTable(card, [heading(view), "Runs", ...outcomes.map(({ label }) => label), ...head("Runs")], rowsOf(view, (index) => row(days[index], then(index))), ["Whole period", ...row(total, before?.total)]);
}

/** Flow runs against clicks on the services that customers turn to. */
export function resolution({ days, total }, before, view) {
  const card = $("#resolution");
  if (total.turned === null) return; // of one flow, and not shown
  const then = (index) => before?.days[index];
  legend(card, [
    { label: "Runs", token: "--runs", value: count(total.begun) },
    { label: "Turned to a person", token: "--turned", pattern: 1, value: count(total.turned) },
  ]);
  draw(card, total.begun || total.turned, "Nothing in this period", OTHER_DAYS, {
    ...common(view, before?.days.map(({ begun }) => begun)),
    label: `Flow runs and clicks on call, callback and chat per ${view.by}, ${count(total.begun)} runs`,
    stacked: false,
    layers: [
      { token: "--runs", values: days.map(({ begun }) => begun) },
      { token: "--turned", pattern: 1, values: days.map(({ turned }) => turned) },
    ],
    rows: (index) => [
      { label: "Runs", token: "--runs", value: count(days[index].begun), before: known(then(index)?.begun) },
      { label: "Turned to a person", token: "--turned", pattern: 1, value: count(days[index].turned), before: known(then(index)?.turned) },
      ...turnedTo.map((name) => ({ label: SERVICES[name].label, value: count(days[index][name]) })),
      { label: "Share", value: share(days[index].share), before: then(index) && share(then(index).share) },
    ],
  });
  const { head, cells } = comparing(before);
  const row = (each, earlier) => [count(each.begun), ...turnedTo.map((name) => count(each[name])), count(each.turned), share(each.share), ...cells(each.turned, earlier?.turned)];
  asTable(card, [heading(view), "Runs", ...turnedTo.map((name) => SERVICES[name].label), "Turned to a person", "Share", ...head("Turned to a person")], rowsOf(view, (index) => row(days[index], then(index))), ["Whole period", ...row(total, before?.total)]);
}

/** The most used flows; only the one that is `chosen`, if one is. A click on a flow is `choose(flow)`. */
export function ranks(heat, before, { chosen, choose }) {
  const card = $("#heat");
  const listed = chosen ? heat.flows.filter(({ flow }) => flow === chosen) : heat.flows;
  const shown = listed.length === RANKS + 1 ? RANKS + 1 : RANKS; // one flow is never hidden as "1 other flow"
  const top = listed.slice(0, shown);
  const most = Math.max(1, ...heat.flows.slice(0, 1).map(({ runs }) => runs));
  const rows = top.map((each) => rank(each, most, chosen ? null : choose));
  const left = chosen ? 0 : heat.total.runs - top.reduce((sum, { runs }) => sum + runs, 0);
  if (left) {
    const rest = Object.fromEntries(outcomes.map(({ id }) => [id, heat.total[id] - top.reduce((sum, each) => sum + each[id], 0)]));
    rows.push(rank({ flow: several(heat.flow_count - top.length, "other flow"), runs: left, share: left / heat.total.runs, ...rest }, most));
  }
  const nothing = chosen ? empty(`“${chosen}” did not run in this period`, "Try all flows, or other days.") : empty(NO_RUNS, OTHER_DAYS);
  renew(card.querySelector(".ranks"), ...(rows.length ? rows : [element("li", {}, nothing)]));
  const earlier = new Map((before?.flows ?? []).map((each) => [each.flow, each.runs]));
  const { head, cells } = comparing(before);
  const row = ({ runs, completed, abandoned, share: part }, then) => [count(runs), count(completed), count(abandoned), share(part), ...cells(runs, then)];
  const all = listed.map((each) => [each.flow, ...row(each, earlier.get(each.flow) ?? (before?.other ? null : 0))]);
  if (heat.other && !chosen) all.push([`other (${several(heat.other.flows, "flow")})`, ...row(heat.other, null)]);
  asTable(card, ["Interaction Flow", "Runs", ...outcomes.map(({ label }) => label), "Share", ...head("Runs")], all, chosen ? null : [`Total (${several(heat.flow_count, "flow")})`, ...row(heat.total, before?.total.runs)]);
}

function rank({ flow, runs, share: part, ...ends }, most, choose) {
  const bars = outcomes.map(({ id, color }) => {
    const bar = element("span");
    bar.style.width = `${Math.min(100, (100 * (ends[id] ?? 0)) / most)}%`;
    bar.style.setProperty("--fill", `var(${color})`);
    return bar;
  });
  const name = choose ? element("button", { type: "button", class: "name", title: flow, "data-key": flow }, flow) : element("span", { class: "name", title: flow }, flow);
  if (choose) name.addEventListener("click", () => choose(flow));
  return element(
    "li",
    {},
    name,
    element("span", { class: "count" }, count(runs)),
    element("span", { class: "share" }, share(part)),
    element("div", { class: "track", "aria-hidden": "true" }, ...bars),
  );
}

/** Application usage and Connectivity: a layer for each of the catalogue's `rows`, or the one chosen. */
export function layered(id, answer, before, view, { rows, nothing, chosen, choose }) {
  const card = document.getElementById(id);
  const { days, total, all } = answer;
  const drawn = chosen ? rows.filter((row) => row.id === chosen) : rows;
  const sum = (each) => each && drawn.reduce((whole, { id: name }) => whole + each[name], 0);
  const then = (index) => before?.days[index];
  legend(card, rows.map(({ id: name, label, color: token, pattern }) => ({
    label, token, pattern, value: count(total[name]),
    toggle: { key: name, pressed: chosen === name, action: () => choose(chosen === name ? "" : name) },
  })));
  draw(card, chosen ? total[chosen] : all, nothing, OTHER_DAYS, {
    ...common(view, before?.days.map(sum)),
    label: `${card.querySelector("h2").textContent} per ${view.by}, ${count(sum(total))} altogether`,
    layers: drawn.map(({ id: name, color: token, pattern }) => ({ token, pattern, values: days.map((each) => each[name]) })),
    rows: (index) => drawn.map(({ id: name, label, color: token, pattern }) => ({ label, token, pattern, value: count(days[index][name]), before: known(then(index)?.[name]) })),
  });
  const { head, cells } = comparing(before);
  const row = (each, earlier) => [...drawn.map(({ id: name }) => count(each[name])), ...(chosen ? [] : [count(sum(each))]), ...cells(sum(each), sum(earlier))];
  const last = chosen ? drawn[0]?.label : "Total";
  asTable(card, [heading(view), ...drawn.map(({ label }) => label), ...(chosen ? [] : ["Total"]), ...head(last)], rowsOf(view, (index) => row(days[index], then(index))), ["Whole period", ...row(total, before?.total)]);
}

export { common, heading, rowsOf };
