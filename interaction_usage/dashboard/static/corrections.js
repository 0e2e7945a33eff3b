// The Corrections page: asks what a correction would change, shows it, and publishes it only when
// the operator confirms; lists the voids whose event has not arrived.

import { below, get, post } from "./api.js";
import { billed } from "./bill.js";
import { daysInWords, element, empty, plainly, wordsTable } from "./format.js";

const { account } = document.body.dataset;
const change = document.querySelector("#change");
const outcome = document.querySelector("#outcome");
const publish = document.querySelector("#publish");
const text = (value) => (value === null ? "nothing" : plainly(value));

/** The correction that is shown and was not published yet: its path and its body. */
let shown = null;

function table(headings, rows) {
  return wordsTable(headings, rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", { class: "text" }, element("bdi", {}, cell))))));
}

function show(found) {
  document.querySelector("#what").textContent = [found.what, ...found.remarks, ...(found.issued.length ? [`Issued reports that stay as they are: ${found.issued.join(", ")}.`] : [])].join(" · ");
  const rows = found.reports.flatMap((report) => report.cells.map((cell) => [daysInWords(report.from, report.to), billed(cell.path), text(cell.before), text(cell.after)]));
  document.querySelector("#cells").replaceChildren(rows.length ? table(["Report", "Value", "Now", "Then"], rows) : empty("No value changes", "The reports of these days stay as they are."));
  outcome.textContent = "";
  publish.hidden = false;
  change.hidden = false;
  change.focus();
}

function asks(form, path, body) {
  const said = form.querySelector("[data-said]");
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    change.hidden = true;
    shown = null;
    if (!form.checkValidity()) {
      form.querySelector(":invalid").focus();
      said.className = "error";
      said.textContent = "Fill in every field.";
      return;
    }
    said.className = "muted";
    said.textContent = "Looking for it in Kafka …";
    button.disabled = true;
    try {
      const wanted = body(form.elements);
      show(await post(below(account, path), wanted));
      shown = { path, wanted };
      said.textContent = "";
    } catch (problem) {
      said.className = "error";
      said.textContent = problem.message;
    }
    button.disabled = false;
  });
}

asks(document.querySelector("#event"), "/corrections/event", (fields) => ({
  source: fields.source.value.trim(),
  id: fields.id.value.trim(),
  reason: fields.reason.value,
}));

asks(document.querySelector("#session-form"), "/corrections/session", (fields) => ({
  application: fields.application.value,
  session: fields.session.value.trim(),
  start: fields.never.checked ? null : fields.start.value.trim(),
  stop: fields.never.checked ? null : fields.stop.value.trim() || null,
  new: fields.new.checked,
  reason: fields.reason.value,
}));

publish.addEventListener("click", async () => {
  if (!shown) return;
  publish.disabled = true;
  outcome.className = "muted";
  outcome.textContent = "Publishing …";
  try {
    const found = await post(below(account, shown.path), { ...shown.wanted, publish: true });
    outcome.textContent = found.counted ? "Published and counted." : "Published; it is counted once a worker comes to it.";
    publish.hidden = true;
    shown = null;
    await list();
  } catch (problem) {
    outcome.className = "error";
    outcome.textContent = problem.message;
  }
  publish.disabled = false;
});

document.querySelector("#cancel").addEventListener("click", () => {
  shown = null;
  change.hidden = true;
});

async function list() {
  const found = await get(below(account, "/corrections"));
  const rows = found.pending.map((each) => [each.time, each.type, each.source, each.id, Object.entries(each.amounts).map((pair) => pair.join(" ")).join(", "), each.reason, each.actor]);
  document.querySelector("#pending").replaceChildren(
    rows.length ? table(["Time", "Type", "Source", "Id", "Takes back", "Reason", "Actor"], rows) : empty("No voids are pending", "The event of every void has arrived."),
  );
}

await list();
