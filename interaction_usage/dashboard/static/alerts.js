// The Alerts page: rules with their states, what was delivered, and for operators setting a rule,
// which takes a look at how often it would have fired.

import { below, get, post, remove } from "./api.js";
import { callout, clock, count, element, empty, moment, rowButton, wordsTable } from "./format.js";

const { account } = document.body.dataset;
const maySet = "maySet" in document.body.dataset;
const said = document.querySelector("#said");
const rules = document.querySelector("#rules");
const deliveries = document.querySelector("#deliveries");
const form = document.querySelector("#rule");
/** How often the page looks for news, in ms. */
const PAUSE = 3000;

const STATUS = { ok: "pill", triggered: "pill alarm", unknown: "pill off" };

function say(text, kind) {
  said.replaceChildren(...(text ? [callout(text, kind)] : []));
}

function cell(...content) {
  return element("td", { class: "text" }, ...content);
}

/** A button whose action may fail, which is then said at the top. */
const button = (text, about, action) => rowButton(text, about, () => action().catch((problem) => say(problem.message)));

// ------------------------------------------------------------------------------ the rules

function state(rule) {
  const notes = [];
  if (rule.reason) notes.push(`${rule.reason}.`);
  else if (rule.status === "triggered") notes.push(`since ${moment(rule.since)}`);
  if (rule.waiting) notes.push(`${count(rule.waiting)} not delivered yet`);
  const failed = rule.failed ? [element("span", { class: "error" }, `${count(rule.failed)} given up, last ${moment(rule.failed_at)}`)] : [];
  return [element("span", { class: STATUS[rule.status] }, rule.status), element("span", { class: "hint" }, notes.join("; ")), ...failed];
}

async function test(rule) {
  say("Sending a test …", "info");
  const attempt = await post(below(account, `/alerts/${rule.id}/test`), {});
  say(attempt.outcome === "delivered" ? `The test was delivered: ${attempt.answer}.` : `The test was not delivered: ${attempt.answer}.`, attempt.outcome === "delivered" ? "good" : "bad");
  await showDeliveries();
}

async function drop(rule) {
  await remove(below(account, `/alerts/${rule.id}`));
  say(`Removed: ${rule.sentence}.`, "good");
  await show();
}

function row(rule) {
  const actions = maySet ? [element("div", { class: "row-actions" }, button("Test", `of ${rule.sentence}`, () => test(rule)), button("Remove", rule.sentence, () => drop(rule)))] : [];
  const name = [rule.sentence, ...(rule.label ? [element("span", { class: "hint" }, rule.label)] : [])];
  return element("tr", {}, element("th", { scope: "row", class: "text" }, ...name), cell(...state(rule)), cell(element("bdi", {}, rule.to.replace("mailto:", ""))), ...(maySet ? [element("td", { class: "text controls" }, ...actions)] : []));
}

async function show() {
  const found = await get(below(account, "/alerts"));
  const columns = ["Rule", "State", "Notifies", ...(maySet ? [["Actions", "text controls"]] : [])];
  rules.replaceChildren(
    found.rules.length
      ? wordsTable(columns, found.rules.map(row))
      : empty("There is no rule yet", maySet ? "Set one below." : "An operator sets them."),
  );
  rules.setAttribute("aria-busy", "false");
}

async function showDeliveries() {
  const found = await get(below(account, "/alerts/deliveries"));
  const rows = found.map((each) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", class: "text" }, moment(each.at, true)),
      cell(each.change),
      cell(element("bdi", {}, each.to.replace("mailto:", ""))),
      cell(String(each.number)),
      cell(each.outcome === "delivered" ? each.outcome : element("span", { class: "error" }, each.outcome)),
      cell(element("bdi", {}, each.answer)),
      cell(each.next ? clock(each.next, true) : ""),
    ),
  );
  deliveries.replaceChildren(
    rows.length
      ? wordsTable(["At", "Change", "To", "Attempt", "Outcome", "Answer", "Next"], rows)
      : empty("Nothing was sent yet", "A change of a rule is sent once, and listed here."),
  );
  deliveries.setAttribute("aria-busy", "false");
}

/** Looks for news, unless somebody is on a button of the tables, which would go away under them. */
async function again() {
  if (!rules.contains(document.activeElement) && !document.hidden) {
    try {
      await show();
      await showDeliveries();
    } catch (problem) {
      say(problem.message);
    }
  }
  setTimeout(again, PAUSE);
}

// ---------------------------------------------------------------------------- the form

function number(field) {
  const text = field.value.replaceAll(",", "").trim();
  return text === "" ? null : Number(text);
}

function order() {
  const fields = form.elements;
  const kind = fields.kind.value;
  const uses = (name) => form.querySelector(`#${name}`).closest("[data-for]").dataset.for.split(" ").includes(kind);
  const to = fields.to.value.trim();
  const wanted = { kind: kind === "allowance" ? "counter" : kind, to: /^[^\s/]+@[^\s/]+$/.test(to) && !to.startsWith("mailto:") ? `mailto:${to}` : to, label: fields.label.value };
  if (uses("series")) wanted.target = fields.series.value;
  if (uses("counter")) wanted.target = fields.counter.value;
  for (const name of ["threshold", "allowance", "minutes"]) if (uses(name)) wanted[name] = number(fields[name]);
  return wanted;
}

function fits() {
  for (const field of form.querySelectorAll("[data-for]")) field.hidden = !field.dataset.for.split(" ").includes(form.elements.kind.value);
}

function complain(problem) {
  document.querySelector("#problem").textContent = problem ? problem.message : "";
  for (const field of form.querySelectorAll("input")) field.setAttribute("aria-invalid", Boolean(problem?.fields && field.name in problem.fields));
}

function previewOf(found) {
  const list = found.stretches.toReversed().map((each) => element("li", {}, `${moment(each.since)} to ${each.to ? moment(each.to) : "now"}${each.value === null ? "" : `, at most ${count(each.value)}`}`));
  return element("div", { class: "rule-preview" }, element("b", {}, found.sentence), element("p", {}, found.said), element("ul", {}, ...list));
}

async function ask(path, then) {
  const wanted = order();
  if (wanted.minutes === null) delete wanted.minutes;
  try {
    complain(null);
    if (Object.values(wanted).some(Number.isNaN)) throw new Error("Use digits, such as 25.");
    then(await post(below(account, path), wanted));
  } catch (problem) {
    complain(problem);
  }
}

if (form) {
  const preview = document.querySelector("#preview");
  fits();
  form.elements.kind.addEventListener("change", () => {
    fits();
    preview.hidden = true;
    complain(null);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask("/alerts/preview", (found) => {
      preview.replaceChildren(...found.map(previewOf));
      preview.hidden = false;
    });
  });
  document.querySelector("#set").addEventListener("click", () =>
    ask("/alerts", async (found) => {
      say(`Set: ${found.map((each) => each.sentence).join("; ")}.`, "good");
      await show();
    }),
  );
}

await again();
