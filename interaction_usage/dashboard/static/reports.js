// The reports page: a period in the address, its numbers from the API, each as chart and table.

import { below, get } from "./api.js";
import { applications, services } from "./catalog.js";
import { showSoFar } from "./charts.js";
import { combobox } from "./combobox.js";
import { concurrency } from "./concurrency_report.js";
import { figures, layered, ranks, resolution, usage } from "./flow_reports.js";
import { callout, count, element, hourInWords, offset, wallTime } from "./format.js";
import { onChange, period, readAddress, settle } from "./period.js";
import { completenessLine, missing } from "./completeness.js";
import { showUsageReport } from "./usage_report.js";

const { account, timezone } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);

let flow = "";

function fromAddress() {
  const query = new URLSearchParams(location.search);
  readAddress(query);
  flow = query.get("flow") ?? "";
  flows.set(flow);
}

function go() {
  if (!settle()) return;
  const query = new URLSearchParams({ ...period(), ...(flow && { flow }) });
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

onChange(go);
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
    const query = period();
    const [answer, heat, report, one] = await Promise.all([
      get(below(account, "/dashboard", { ...query, flow }), signal),
      get(below(account, "/dashboard/heat", query), signal),
      get(below(account, "/report", query), signal),
      flow && get(below(account, "/dashboard/heat", { ...query, flow }), signal),
    ]);
    show(answer, heat, report, one);
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

function show(answer, heat, report, one) {
  knownFlows = heat.flows.map((each) => ({ value: each.flow, label: each.flow, note: count(each.runs) }));
  for (const skeleton of document.querySelectorAll("#reports .skeleton")) skeleton.classList.remove("skeleton");
  const asOf = localNow(answer.usage.as_of);
  showSoFar(asOf.slice(0, 10));
  const notes = [completenessLine(report.completeness, localNow), `As of ${hourInWords(asOf)}`];
  if (flow) notes.push(`Usage, Heat and Resolution show “${flow}” only; concurrency, applications and clicks are counted for the whole account.`);
  $("#note").replaceChildren(...notes.map((note) => element("span", {}, note)));
  $("#problem").replaceChildren(...missing(report.completeness));
  figures(answer, report);
  usage(answer.usage);
  resolution(answer.resolution);
  concurrency(answer.concurrency);
  ranks(heat, one);
  layered("applications", answer.applications, applications, "No flow ran in this period");
  layered("connectivity", answer.connectivity, services, "Nothing was clicked in this period");
  showUsageReport($("#report tbody"), report);
}

/** An instant in UTC, as the account's clocks show it. */
const localNow = (instant) => wallTime(instant, timezone);

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
