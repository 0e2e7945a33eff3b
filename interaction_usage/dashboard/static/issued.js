// The page of issued reports: their list, what differs now, and for operators issuing and revising.
// Issuing cannot be undone, so it takes a look at what would be issued first.

import { below, get, post } from "./api.js";
import { billed, billedRows } from "./bill.js";
import { callout, count, daysInWords, element, empty, moment, plainly, rowButton, several, spanInWords, table, withDates, wordsTable } from "./format.js";

const { account } = document.body.dataset;
const mayIssue = "mayIssue" in document.body.dataset;
const list = document.querySelector("#reports");
const said = document.querySelector("#said");
const preview = document.querySelector("#preview");
const difference = document.querySelector("#difference");
const at = (number, path = "") => below(account, `/issued-reports/${encodeURIComponent(number)}${path}`);
const shown = (value) => (value === null || value === "" ? "none" : plainly(value));

const signed = (value) => (value === null ? "" : `${value > 0 ? "+" : ""}${plainly(value)}`);

function say(text, kind) {
  said.replaceChildren(callout(text, kind));
}

// ------------------------------------------------------------------------------- the list

function status(report) {
  if (report.revised_by) return `Revised by ${report.revised_by}`;
  const adjusted = report.adjusted_by.length ? `Adjusted in ${report.adjusted_by.join(", ")}` : "";
  if (report.changed === null) return adjusted || "Not compared";
  if (!report.changed) return adjusted || "Unchanged";
  return `${adjusted}${adjusted ? "; since then " : ""}${several(report.changed, "number")} would differ now`;
}

/** What the report does to earlier ones. */
function about({ revises, adjusts }) {
  return [revises && `Revises ${revises}`, adjusts.length && `Adjusts ${adjusts.join(", ")}`].filter(Boolean).join("; ");
}

function row(report) {
  const files = [
    element("a", { class: "button small", href: at(report.number, "/usage.xls") }, "xls", element("span", { class: "sr" }, ` of ${report.number}`)),
    element("a", { class: "button small", href: at(report.number) }, "JSON", element("span", { class: "sr" }, ` of ${report.number}`)),
    element("a", { class: "button small", href: at(report.number, "/manifest") }, "Manifest", element("span", { class: "sr" }, ` of ${report.number}`)),
  ];
  const actions = [];
  if (report.changed) {
    actions.push(rowButton("Difference", `of ${report.number}`, () => showDifference(report.number)));
    if (mayIssue && !report.adjusted_by.length) actions.push(rowButton("Revise", report.number, () => look({ from: report.from, to: report.to, revises: report.number })));
  }
  return element(
    "tr",
    report.changed ? { class: "differs" } : {},
    element("th", { scope: "row" }, report.number),
    ...[spanInWords({ day: report.from, last: report.to }), report.timezone, moment(report.issued_at), about(report), status(report)].map((text) => element("td", { class: "text" }, text)),
    element("td", { class: "text controls" }, element("div", { class: "row-actions" }, ...files, ...actions)),
  );
}

async function show() {
  try {
    const reports = await get(below(account, "/issued-reports"));
    const head = [["Number", null], "Period", "Time zone", "Issued", "Earlier reports", "Now", ["Files", "text controls"]];
    list.replaceChildren(
      reports.length
        ? wordsTable(head, reports.reverse().map(row))
        : empty("No report was issued yet", mayIssue ? "Choose a month that has ended, and look at what would be issued." : "An operator issues the report of a month that has ended."),
    );
  } catch (problem) {
    say(problem.message);
  }
  list.setAttribute("aria-busy", "false");
}

async function showDifference(number) {
  try {
    const found = await get(at(number, "/difference"));
    document.querySelector("#difference-title").textContent = `What ${number} would say now`;
    document.querySelector("#difference-text").textContent = `The events behind it: usage reports diff ${number}`;
    document.querySelector("#difference-cells").replaceChildren(
      found.changed ? table(["Value", "Issued", "Now"], found.cells.map((cell) => [billed(cell.path), shown(cell.issued), shown(cell.now)])) : empty("Nothing differs any more"),
    );
    difference.hidden = false;
    difference.scrollIntoView({ block: "nearest" });
  } catch (problem) {
    say(problem.message);
  }
}

// --------------------------------------------------------------------- issuing, for operators

let wanted = null;

function lastDay(month) {
  const [year, number] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number, 0)).toISOString().slice(0, 10);
}

/** What would be billed of an earlier report: a table of signed differences. */
function adjustment({ number, from, to, cells, notes }) {
  // How many events are behind each number is known where Kafka or an archive has them.
  const counted = cells.some(({ events }) => events !== null && events !== undefined);
  const rows = cells.map((cell) => [billed(cell.path), signed(cell.difference), shown(cell.billed), shown(cell.now), ...(counted ? [count(cell.events ?? 0)] : [])]);
  return [
    element("h3", {}, `Adjustment of ${number}, ${daysInWords(from, to)}`),
    element("div", { class: "table", tabindex: "0", role: "region", "aria-label": `Adjustment of ${number}` }, table(["Value", "Difference", "Billed before", "Now", ...(counted ? ["Events"] : [])], rows)),
    ...notes.map((note) => callout(withDates(note), "warn")),
  ];
}

/** A box for each obstacle that an operator may say is meant; anything else holds the report up. */
function obstacle({ kind, sentence }) {
  const name = { PeriodGap: "gap", PeriodOverlap: "overlap" }[kind];
  if (!name) return callout(withDates(sentence));
  const box = element("input", { type: "checkbox", name });
  box.addEventListener("change", ready);
  const label = { gap: "Issue it anyway, and leave that time out", overlap: "Issue it anyway, and bill that time twice" }[name];
  return element("div", { class: "callout warn" }, withDates(sentence), element("label", { class: "check" }, box, element("span", {}, label)));
}

function ready() {
  const boxes = [...preview.querySelectorAll("#obstacles input")];
  const stuck = preview.querySelector("#obstacles .callout.bad");
  document.querySelector("#confirm").disabled = Boolean(stuck) || boxes.some((box) => !box.checked);
}

async function look(order) {
  wanted = null;
  said.replaceChildren();
  try {
    const found = await get(below(account, "/issued-reports/preview", order));
    if (found.issued) {
      preview.hidden = true;
      say(`This period is issued already, as ${found.number}.`, "warn");
      return;
    }
    wanted = order;
    const { report } = found;
    document.querySelector("#preview-title").textContent = `${daysInWords(order.from, order.to)}, ${found.timezone}`;
    document.querySelector("#preview-text").textContent = order.revises ? `Would be issued as ${found.number}, and revise ${order.revises}, which stays as it is.` : `Would be issued as ${found.number}.`;
    document.querySelector("#obstacles").replaceChildren(...found.obstacles.map(obstacle));
    document.querySelector("#preview-cells").replaceChildren(table(["Value", "Report"], billedRows(report).map(([name, value]) => [name, shown(value)])));
    document.querySelector("#preview-adjustments").replaceChildren(...(report.adjustments ?? []).flatMap(adjustment));
    document.querySelector("#confirm").textContent = `Issue ${found.number} for ever`;
    preview.hidden = false;
    ready();
    preview.scrollIntoView({ block: "nearest" });
  } catch (problem) {
    say(problem.message);
  }
}

async function issue() {
  const confirm = document.querySelector("#confirm");
  confirm.disabled = true;
  const terms = Object.fromEntries([...preview.querySelectorAll("#obstacles input")].map((box) => [box.name, box.checked]));
  try {
    const found = await post(below(account, "/issued-reports"), { ...wanted, ...terms });
    preview.hidden = true;
    difference.hidden = true;
    say(found.new ? `Issued: ${found.number}.` : `It was issued before, as ${found.number}.`, found.new ? "good" : "warn");
    await show();
  } catch (problem) {
    say(problem.message);
    confirm.disabled = false;
  }
}

if (mayIssue) {
  const now = new Date();
  const before = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1));
  document.querySelector("#month").value = before.toISOString().slice(0, 7);
  document.querySelector("#issue").addEventListener("submit", (event) => {
    event.preventDefault();
    const month = document.querySelector("#month").value;
    if (/^\d{4}-\d{2}$/.test(month)) look({ from: `${month}-01`, to: lastDay(month) });
    else say("Choose a month, like 2026-10.");
  });
  document.querySelector("#confirm").addEventListener("click", issue);
  document.querySelector("#cancel").addEventListener("click", () => (preview.hidden = true));
}
await show();
