// The period that is reported: two local days, in the form and in the page's address.

import { below } from "./api.js";
import { PRESETS } from "./days.js";
import { dateInWords } from "./format.js";

const { account, timezone } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);
const form = $("#period");
const from = $("#from");
const to = $("#to");
const FIRST = "2000-01-01";
const MOST_DAYS = 3660;

/** Today in the account's time zone. */
export function today() {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: timezone, year: "numeric", month: "2-digit", day: "2-digit" });
  return parts.format(new Date());
}

/** The days that are asked for, as the API takes them. */
export function period() {
  return { from: from.value, to: to.value };
}

export function setPeriod(first, last) {
  [from.value, to.value] = [first, last];
}

/** Takes the days from the page's address, the last seven without any. */
export function readAddress(query) {
  const [first, last] = PRESETS[7](today());
  setPeriod(query.get("from") ?? first, query.get("to") ?? last);
}

/** What is wrong with the period, by the field that it is about; the server would refuse it, too. */
function wrong() {
  if (!from.value) return { from: "Choose a first day." };
  if (!to.value) return { to: "Choose a last day." };
  if (from.value > today()) return { from: "This day lies in the future." };
  if (from.value > to.value) return { to: "The last day comes before the first." };
  if (from.value < FIRST) return { from: `Reports begin on ${dateInWords(FIRST)}.` };
  if ((new Date(to.value) - new Date(from.value)) / 86400000 >= MOST_DAYS) return { from: "A report covers at most ten years." };
  return {};
}

/** Says what is wrong beside the date that it is about. */
export function showErrors(errors) {
  for (const field of [from, to]) {
    const text = errors[field.id] ?? "";
    $(`#${field.id}-error`).textContent = text;
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }
}

/** Shows what is wrong with the period, and where the file is; returns whether all is well. */
export function settle() {
  const errors = wrong();
  const problem = Object.keys(errors).length > 0;
  showErrors(errors);
  const file = $("#export");
  if (problem) {
    file.removeAttribute("href");
    file.setAttribute("aria-disabled", "true");
  } else {
    file.href = below(account, "/usage.xls", period());
    file.removeAttribute("aria-disabled");
  }
  const [preset] = Object.entries(PRESETS).find(([, days]) => days(today()).join() === `${from.value},${to.value}`) ?? [""];
  $("#preset").value = preset;
  return !problem;
}

/** Calls `changed` for each new period. */
export function onChange(changed) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });
  for (const each of [from, to]) {
    each.addEventListener("change", changed);
    each.max = "9998-12-31";
  }
  $("#preset").addEventListener("change", ({ target }) => {
    if (!target.value) return;
    setPeriod(...PRESETS[target.value](today()));
    changed();
  });
}
