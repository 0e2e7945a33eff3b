// The reports page: a period in the address, its numbers from the API, each as chart and table.

import { below, get } from "./api.js";
import { bars, heatmap } from "./charts.js";
import { combobox } from "./combobox.js";
import {
  COLORS, SERIES, SERVICES, average, callout, clock, count, dayInWords, dot, element, empty,
  hourInWords, minutes, offset, several, share, table,
} from "./words.js";

const { account, timezone } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);
const form = $("#period");
const from = $("#from");
const to = $("#to");
const APPLICATIONS = ["agent", "ticket-guidance", "mobile-web", "web-self-service"];
const RANKS = 12;

// ---------------------------------------------------------------------------- the period

/** Today in the account's time zone. */
function today() {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: timezone, year: "numeric", month: "2-digit", day: "2-digit" });
  return parts.format(new Date());
}

function shifted(day, days) {
  const moved = new Date(`${day}T12:00:00Z`);
  moved.setUTCDate(moved.getUTCDate() + days);
  return moved.toISOString().slice(0, 10);
}

const PRESETS = {
  7: (now) => [shifted(now, -6), now],
  30: (now) => [shifted(now, -29), now],
  month: (now) => [`${now.slice(0, 8)}01`, now],
  "last-month": (now) => {
    const last = shifted(`${now.slice(0, 8)}01`, -1);
    return [`${last.slice(0, 8)}01`, last];
  },
  year: (now) => [`${now.slice(0, 5)}01-01`, now],
  730: (now) => [shifted(now, -729), now],
};

let flow = "";

function fromAddress() {
  const query = new URLSearchParams(location.search);
  const [first, last] = PRESETS[7](today());
  from.value = query.get("from") ?? first;
  to.value = query.get("to") ?? last;
  flow = query.get("flow") ?? "";
  flows.set(flow);
}

function asked() {
  return { from: from.value, to: to.value };
}

/** Says what is wrong with the period; the server would refuse it, too. */
function wrong() {
  if (!from.value || !to.value) return "Choose a first and a last day.";
  if (from.value > to.value) return "The first day comes after the last.";
  if (from.value > today()) return "The period lies in the future.";
  return "";
}

function settle() {
  const problem = wrong();
  $("#period-error").textContent = problem;
  for (const each of [from, to]) {
    if (problem) each.setAttribute("aria-invalid", "true");
    else each.removeAttribute("aria-invalid");
  }
  const file = $("#export");
  if (problem) {
    file.removeAttribute("href");
    file.setAttribute("aria-disabled", "true");
  } else {
    file.href = below(account, "/usage.xls", asked());
    file.removeAttribute("aria-disabled");
  }
  const [preset] = Object.entries(PRESETS).find(([, days]) => days(today()).join() === `${from.value},${to.value}`) ?? [""];
  $("#preset").value = preset;
  return !problem;
}

function go() {
  if (!settle()) return;
  const query = new URLSearchParams({ ...asked(), ...(flow && { flow }) });
  history.replaceState(null, "", `?${query}`);
  load();
}

let knownFlows = [];
const flows = combobox($("#flow-combo"), {
  options: async () => knownFlows,
  chosen: ({ value }) => {
    flow = value;
    go();
  },
  cleared: () => {
    flow = "";
    go();
  },
  // The list has the most used; any other can be asked for by its name.
  typed: (name) => {
    flow = name;
    go();
  },
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  go();
});
for (const each of [from, to]) {
  each.addEventListener("change", go);
  each.max = "9998-12-31";
}
$("#preset").addEventListener("change", ({ target }) => {
  if (!target.value) return;
  [from.value, to.value] = PRESETS[target.value](today());
  go();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-table]");
  if (!button) return;
  const card = button.closest(".card");
  const wanted = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(wanted));
  button.firstChild.textContent = wanted ? "Chart" : "Table";
  card.querySelector("[data-as-table]").hidden = !wanted;
  card.querySelector("[data-as-chart]").hidden = wanted;
});

// ------------------------------------------------------------------------------- loading

let loading;

async function load() {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const reports = $("#reports");
  reports.setAttribute("aria-busy", "true");
  reports.classList.add("stale");
  $("#problem").replaceChildren();
  try {
    const query = asked();
    const [told, heat, report, one] = await Promise.all([
      get(below(account, "/dashboard", { ...query, flow }), signal),
      get(below(account, "/dashboard/heat", query), signal),
      get(below(account, "/report", query), signal),
      flow && get(below(account, "/dashboard/heat", { ...query, flow }), signal),
    ]);
    show(told, heat, report, one);
    reports.classList.remove("stale");
    reports.setAttribute("aria-busy", "false");
  } catch (problem) {
    if (problem.name === "AbortError") return;
    reports.setAttribute("aria-busy", "false");
    const field = problem.fields?.from ?? problem.fields?.to;
    if (field) $("#period-error").textContent = field;
    else $("#problem").append(callout(problem.message));
  }
}

function show(told, heat, report, one) {
  knownFlows = heat.flows.map((each) => ({ value: each.flow, label: each.flow, note: count(each.runs) }));
  for (const skeleton of document.querySelectorAll("#reports .skeleton")) skeleton.classList.remove("skeleton");
  const notes = [`As of ${hourInWords(localNow(told.usage.as_of))}`];
  if (flow) notes.push(`Usage, Heat and Resolution show “${flow}” only; concurrency, applications and clicks are counted for the whole account.`);
  $("#note").replaceChildren(...notes.map((text) => element("span", {}, text)));
  figures(told, report);
  usage(told.usage);
  resolution(told.resolution);
  concurrency(told.concurrency);
  ranks(heat, one);
  layered("applications", told.applications, APPLICATIONS, SERIES, "No flow ran in this period");
  layered("connectivity", told.connectivity, Object.keys(SERVICES), SERVICES, "Nothing was clicked in this period");
  usageReport(report);
}

/** An instant in UTC, as the account's clocks show it. */
function localNow(instant) {
  const parts = new Intl.DateTimeFormat("sv-SE", { timeZone: timezone, dateStyle: "short", timeStyle: "medium" });
  return parts.format(new Date(instant)).replace(" ", "T");
}

// -------------------------------------------------------------------------------- charts

function figures(told, report) {
  const put = (name, value, more) => {
    $(`#figure-${name}`).textContent = value;
    $(`#figure-${name}-more`).textContent = more;
  };
  const { total } = told.usage;
  put("runs", count(total.begun), total.begun ? `${share(total.abandoned / total.begun)} abandoned` : "none in this period");
  const busiest = (names) => names.map((name) => report.concurrency[name]).reduce((best, each) => (each.max > best.max ? each : best));
  const agents = busiest(["agent-sessions"]);
  put("agents", count(agents.max), agents.busiest_hour ? `in the hour of ${hourInWords(agents.busiest_hour)}` : "none in this period");
  const most = busiest(["mobile-web", "web-self-service"]);
  put("flows", count(most.max), most.busiest_hour ? `${most === report.concurrency["mobile-web"] ? "Mobile Web" : "Web Self Service"}, ${hourInWords(most.busiest_hour)}` : "none in this period");
  const { turned, begun, share: part } = told.resolution.total;
  put("turned", turned === null ? "–" : count(turned), turned === null ? "not counted by flow" : part === null ? `${several(turned, "click")}, no runs` : `${share(part)} of ${several(begun, "run")}`);
}

function legend(card, items) {
  card.querySelector(".legend").replaceChildren(
    ...items.map(({ label, value, token }) => element("li", {}, ...(token ? [dot(token)] : []), element("span", {}, label), element("b", {}, value))),
  );
}

/** Draws a chart, or says that there is nothing to draw. */
function draw(card, something, title, text, options) {
  const host = card.querySelector(".chart");
  if (something) {
    bars(host, options);
    return;
  }
  host.chart?.end();
  host.chart = null;
  for (const name of ["role", "tabindex", "aria-label", "aria-roledescription"]) host.removeAttribute(name);
  host.replaceChildren(empty(title, text));
}

function asTable(card, ...told) {
  card.querySelector("[data-as-table]").replaceChildren(table(...told));
}

function usage({ days, total }) {
  const card = $("#usage");
  const layers = [
    { label: "Completed", key: "completed", token: "--c1" },
    { label: "Abandoned", key: "abandoned", token: "--c3" },
  ];
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
  const row = (each) => [count(each.begun), count(each.completed), count(each.abandoned)];
  asTable(card, ["Day", "Begun", "Completed", "Abandoned"], days.map((each) => [dayInWords(each.day), ...row(each)]), ["Whole period", ...row(total)]);
}

function resolution({ days, total }) {
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
            ...["call-now", "callback", "chat"].map((name) => ({ label: SERVICES[name], value: count(days[index][name]) })),
            { label: "Share", value: share(days[index].share) },
          ]
        : [{ label: "Clicks", value: "not counted by flow" }]),
    ],
  });
  const row = (each) => [count(each.begun), number(each["call-now"]), number(each.callback), number(each.chat), number(each.turned), share(each.share)];
  asTable(card, ["Day", "Runs", "Call Now", "Callback", "Chat", "Turned", "Share"], days.map((each) => [dayInWords(each.day), ...row(each)]), ["Whole period", ...row(total)]);
}

let chosen = "agent-sessions";
let lastConcurrency;

for (const [name, label] of Object.entries({ ...SERIES, "agent-sessions": "Agent and Guidance" })) {
  const button = element("button", { type: "button", "data-name": name, "aria-pressed": String(name === chosen) }, label);
  button.addEventListener("click", () => {
    chosen = name;
    for (const each of $("#series").children) each.setAttribute("aria-pressed", String(each === button));
    if (lastConcurrency) concurrency(lastConcurrency);
  });
  $("#series").append(button);
}

function concurrency(told) {
  lastConcurrency = told;
  const card = $("#concurrency");
  const series = told.series[chosen];
  const token = COLORS[chosen];
  legend(card, [
    { label: "Maximum", token, value: count(series.max) },
    { label: "Average", token: "--ink-2", value: average(series.average) },
    { label: "Busiest hour", value: series.busiest_hour ? hourInWords(series.busiest_hour) : "–" },
    { label: "Hours with sessions", value: count(series.reported_hours) },
  ]);
  draw(card, series.max, "No session in this period", "Try another series, or other days.", {
    label: `${SERIES[chosen]}, most sessions per day, at most ${count(series.max)}`,
    days: series.days.map(({ day }) => day),
    layers: [{ token, values: series.days.map(({ max }) => max) }],
    line: { token: "--ink-2", values: series.days.map((each) => (each.max ? each.average : null)) },
    rows: (index) => {
      const day = series.days[index];
      return [
        { label: "Maximum", token, value: count(day.max) },
        { label: "in the hour of", value: day.hour ? clock(day.hour) : "–" },
        { label: "Average", token: "--ink-2", value: average(day.average) },
      ];
    },
  });
  heatmap($("#heatmap"), { days: told.heat.days, peaks: told.heat.peaks[chosen], token, scale: $("#heat-scale") });
  const names = Object.keys(SERIES);
  const cells = ({ max, average: mean, hour }) => [count(max), hour ? clock(hour) : "–", average(mean)];
  const head = element(
    "thead",
    {},
    element("tr", {}, element("th", { scope: "col" }, "Day"), ...names.flatMap((name) => ["", " hour", " average"].map((tail) => element("th", { scope: "col" }, `${SERIES[name]}${tail}`)))),
  );
  const made = table(
    [],
    told.heat.days.map((day, index) => [dayInWords(day), ...names.flatMap((name) => cells(told.series[name].days[index]))]),
    ["Whole period", ...names.flatMap((name) => {
      const { max, average: mean, busiest_hour: hour } = told.series[name];
      return [count(max), hour ? hourInWords(hour) : "–", average(mean)];
    })],
  );
  made.replaceChild(head, made.tHead);
  card.querySelector("[data-as-table]").replaceChildren(made);
}

/** The most used flows; only `one`, if one is chosen. */
function ranks(heat, one) {
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

/** Application usage and Connectivity: a layer for each name. */
function layered(id, told, names, labels, nothing) {
  const card = document.getElementById(id);
  const { days, total, all } = told;
  legend(card, names.map((name) => ({ label: labels[name], token: COLORS[name], value: count(total[name]) })));
  draw(card, all, nothing, "Try other days.", {
    label: `${card.querySelector("h2").textContent} per day, ${count(all)} altogether`,
    days: days.map(({ day }) => day),
    layers: names.map((name) => ({ token: COLORS[name], values: days.map((each) => each[name]) })),
    rows: (index) => names.map((name) => ({ label: labels[name], token: COLORS[name], value: count(days[index][name]) })),
  });
  const row = (each) => [...names.map((name) => count(each[name])), count(names.reduce((sum, name) => sum + each[name], 0))];
  asTable(card, ["Day", ...names.map((name) => labels[name]), "Total"], days.map((each) => [dayInWords(each.day), ...row(each)]), ["Whole period", ...row(total)]);
}

function usageReport(report) {
  const rows = [];
  const section = (...cells) => rows.push(element("tr", { class: "section" }, ...cells.map((text, index) => element("th", { scope: index ? "col" : "colgroup" }, text)), ...pad(cells)));
  const line = (label, ...cells) => rows.push(element("tr", { class: cells.length === 1 && "single" }, element("th", { scope: "row" }, label), ...cells.map((text) => element("td", {}, text)), ...pad([label, ...cells])));
  const pad = (cells) => Array.from({ length: 4 - cells.length }, () => element("td"));
  section("Interaction Flows Run");
  line("Total", count(report.flow_runs.total));
  for (const name of APPLICATIONS) line(SERIES[name], count(report.flow_runs.by_application[name]));
  for (const [title, names] of [
    ["Concurrent Agent Sessions", ["agent-sessions", "agent", "ticket-guidance"]],
    ["Concurrent Interaction Flows", ["mobile-web", "web-self-service"]],
  ]) {
    section(title, "Maximum", "Average", "Busiest hour");
    for (const name of names) {
      const told = report.concurrency[name];
      line(SERIES[name], count(told.max), average(told.average), told.busiest_hour ? hourInWords(told.busiest_hour) : "–");
    }
  }
  section("Assistance Services");
  for (const [name, label] of Object.entries(SERVICES)) line(`${label} clicks`, count(report.assistance[name]));
  if (report.dnis) {
    section("DNIS Service");
    line("Phone numbers purchased", count(report.dnis.numbers_purchased));
    line("Call Now minutes", minutes(report.dnis.call_minutes));
  }
  if (report.sms) {
    section("Outgoing SMS");
    line("SMS messages sent with a campaign link", count(report.sms.messages_with_link));
  }
  $("#report tbody").replaceChildren(...rows);
}

// --------------------------------------------------------------------------------- begin

fromAddress();
if (settle()) load();

get("/api/timezones").then(
  (zones) => {
    const mine = zones.find(({ name }) => name === timezone);
    if (mine) $("#offset").textContent = ` (${offset(mine.offset)} now)`;
  },
  () => {},
);
