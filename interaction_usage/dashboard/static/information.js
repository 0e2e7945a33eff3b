// The Account Information page: shows the settings and their history, saves what the visitor may
// change, says what a new time zone moves before it is saved, and beside a field what is wrong.

import { below, get, put } from "./api.js";
import { APPLICATIONS } from "./catalog.js";
import { FIELDS, duration, element, empty, moment, setting, wordsTable } from "./format.js";
import { zoneFinder } from "./zone_finder.js";

const { account } = document.body.dataset;
const form = document.querySelector("#information");
const save = document.querySelector("#save");
const saved = document.querySelector("#saved");
const history = document.querySelector("#history");
const older = document.querySelector("#older");
const field = (name) => form.elements[name];
const value = (name) => (field(name).type === "checkbox" ? field(name).checked : field(name).value);

/** The settings as they were last read. */
let known = {};

const zone = field("timezone").readOnly
  ? { set: (text) => (field("timezone").value = text) }
  : zoneFinder(document.querySelector("#timezone-combo"), document.querySelector("#zone-change"), {
      asked: () => known,
      chosen: () => showErrors({}),
    });

function show(settings) {
  known = settings;
  field("name").value = settings.name;
  zone.set(settings.timezone);
  field("dnis").checked = settings.dnis;
  field("sms").checked = settings.sms;
  field("late_usage").value = settings.late_usage;
  document.querySelector("#limits").replaceChildren(
    ...Object.entries(settings.session_limits).map(([name, seconds]) => element("div", {}, element("dt", {}, APPLICATIONS[name].label), element("dd", {}, duration(seconds)))),
  );
}

/** What the visitor may change and did. */
function changed() {
  return Object.fromEntries((known.may_change ?? []).filter((name) => value(name) !== known[name]).map((name) => [name, value(name)]));
}

function showErrors(fields) {
  for (const name of ["name", "timezone"]) {
    document.querySelector(`#${name}-error`).textContent = fields[name] ?? "";
    if (fields[name]) field(name).setAttribute("aria-invalid", "true");
    else field(name).removeAttribute("aria-invalid");
  }
  const first = ["name", "timezone"].find((name) => fields[name]);
  if (first) field(first).focus();
}

function say(text, kind = "muted") {
  saved.textContent = text;
  saved.className = kind;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!save) return;
  const wanted = changed();
  if (!Object.keys(wanted).length) {
    say("Nothing was changed");
    return;
  }
  say("Saving …");
  save.disabled = true;
  try {
    show(await put(below(account), wanted));
    showErrors({});
    say("Saved");
    await recount();
  } catch (problem) {
    showErrors(problem.fields ?? {});
    say(Object.keys(problem.fields ?? {}).length ? "Not saved" : problem.message, "error");
  }
  save.disabled = false;
});

// ------------------------------------------------------------------------------ history

let body = null;
let before = null;

function row({ at, by, token, field: name, from, to }) {
  const who = token ? `${by} (${token})` : by;
  const cells = [moment(at, true), who, FIELDS[name] ?? name, setting(from), setting(to)];
  return element(
    "tr",
    {},
    ...cells.map((text, index) => element(index ? "td" : "th", index ? { class: "text" } : { scope: "row" }, element("bdi", {}, text))),
  );
}

async function page() {
  const found = await get(below(account, "/history", { before }));
  before = found.next;
  older.hidden = before === null;
  body?.append(...found.changes.map(row));
  return found.changes.length;
}

async function recount() {
  before = null;
  const made = wordsTable([["When", null], "Who", "Setting", "From", "To"], []);
  [body] = made.tBodies;
  history.replaceChildren((await page()) ? made : empty("Never changed", "The settings are the ones that every new account has."));
}

older.addEventListener("click", async () => {
  older.disabled = true;
  try {
    await page();
  } catch (problem) {
    say(problem.message, "error");
  }
  older.disabled = false;
});

try {
  show(await get(below(account)));
  await recount();
} catch (problem) {
  say(problem.message, "error");
}
form.setAttribute("aria-busy", "false");
