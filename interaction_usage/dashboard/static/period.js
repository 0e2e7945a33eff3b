// The period that is reported: two local days, in the form and in the page's address.

import { below } from "./api.js";

const { account, timezone } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);
const form = $("#period");
const from = $("#from");
const to = $("#to");

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

/** The days that are asked for, as the API takes them. */
export function period() {
  return { from: from.value, to: to.value };
}

/** Takes the days from the page's address, the last seven without any. */
export function readAddress(query) {
  const [first, last] = PRESETS[7](today());
  from.value = query.get("from") ?? first;
  to.value = query.get("to") ?? last;
}

/** Says what is wrong with the period; the server would refuse it, too. */
function wrong() {
  if (!from.value || !to.value) return "Choose a first and a last day.";
  if (from.value > to.value) return "The first day comes after the last.";
  if (from.value > today()) return "The period lies in the future.";
  return "";
}

/** Shows what is wrong with the period, and where the file is; returns whether all is well. */
export function settle() {
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
    [from.value, to.value] = PRESETS[target.value](today());
    changed();
  });
}
