// Names and numbers as people read them, in the reader's own way of writing, and elements made from them.

/** The settings of an account. */
export const FIELDS = { name: "Name", timezone: "Time zone", dnis: "DNIS Service", sms: "Outgoing SMS", late_usage: "Late usage" };

/** The value of a setting in words. */
export const setting = (value) => (typeof value === "boolean" ? (value ? "on" : "off") : value);

const LOCALE = navigator.languages?.[0] ?? navigator.language;
const number = (options) => new Intl.NumberFormat(LOCALE, options);
const digits = (least, most = least) => ({ minimumFractionDigits: least, maximumFractionDigits: most });

const whole = number({});
const tenth = number(digits(1));
const hundredth = number(digits(2));
const thousandth = number(digits(0, 3));
const percent = number({ style: "percent", ...digits(1) });
const signed = number({ style: "percent", signDisplay: "exceptZero", ...digits(1) });
const short = number({ notation: "compact", maximumFractionDigits: 2 });

export const count = (value) => whole.format(value);
export const compact = (value) => (value >= 1e4 ? short.format(value) : count(value));
export const rate = (value) => (value < 10 ? tenth.format(value) : count(Math.round(value)));
export const average = (value) => hundredth.format(value);
export const minutes = (value) => thousandth.format(value);
/** A value of a report as it is: numbers, and hours like "2026-10-01T10:00:00+02:00". */
export const plainly = (value) => (typeof value === "number" ? thousandth.format(value) : /^\d{4}-\d{2}-\d{2}T/.test(value) ? moment(value) : String(value));
export const share = (value) => (value === null ? "–" : percent.format(value));
/** By how much a number differs from an earlier one. */
export const change = (now, before) => (now === null || before === null || before === undefined ? "–" : before ? signed.format(now / before - 1) : now ? "new" : signed.format(0));
export const several = (value, one, more = `${one}s`) => `${count(value)} ${value === 1 ? one : more}`;

const date = (options) => new Intl.DateTimeFormat(LOCALE, { timeZone: "UTC", ...options });
const DAY = date({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
const DATE = date({ day: "numeric", month: "short", year: "numeric" });
const WEEKDAY = date({ weekday: "short" });
const SHORT = date({ day: "numeric", month: "short" });
const MONTH = date({ month: "short" });
const MONTH_OF_YEAR = date({ month: "short", year: "numeric" });
const WHOLE_MONTH = date({ month: "long", year: "numeric" });

const noon = (day) => new Date(`${day.slice(0, 10)}T12:00:00Z`);

/** Whether dates need their year, because the period shown has days of two. */
let years = false;
export const showYears = (first, last) => (years = first.slice(0, 4) !== last.slice(0, 4));

/** A local day like "2026-10-01" in words. */
export const dayInWords = (day) => DAY.format(noon(day));
export const dateInWords = (day) => DATE.format(noon(day));
export const weekdayShort = (day) => WEEKDAY.format(noon(day));
export const dayShort = (day) => (years ? DATE : SHORT).format(noon(day));
export const monthOf = (day) => (years ? MONTH_OF_YEAR : MONTH).format(noon(day));
export const daysInWords = (first, last) => (first === last ? DAY.format(noon(first)) : DATE.formatRange(noon(first), noon(last)));

/** The clock of a local instant like "2026-10-01T10:00:00+02:00". */
export const clock = (instant, seconds = false) => instant.slice(11, seconds ? 19 : 16);
export const hourInWords = (instant) => `${dayShort(instant)}, ${clock(instant)}`;

const nextDay = (day) => new Date(noon(day).getTime() + 86400000).toISOString().slice(0, 10);

/** What a bar stands for: an hour, a day, a week, or a month as far as the period has it. */
export function spanInWords({ day, last = day, begins }) {
  if (begins) return `${dayInWords(day)}, ${clock(begins)} – ${clock(begins).slice(0, 2)}:59`;
  const isMonth = day.endsWith("-01") && nextDay(last).endsWith("-01") && day.slice(0, 7) === last.slice(0, 7);
  return isMonth ? WHOLE_MONTH.format(noon(day)) : daysInWords(day, last);
}

/** The day and the clock of an instant, in UTC or local as it is written: "2026-10-01T10:00:00Z". */
export const moment = (instant, seconds = false) => `${dateInWords(instant)}, ${clock(instant, seconds)}`;

/** A sentence of the server, with its days as the reader writes them. */
export const withDates = (sentence) => sentence.replace(/\b\d{4}-\d{2}-\d{2}(?![\dT])/g, dateInWords);

/** An instant in UTC, as the clocks of a zone show it: "2026-10-01T10:00:00". */
export function wallTime(instant, timeZone) {
  const parts = new Intl.DateTimeFormat("sv-SE", { timeZone, dateStyle: "short", timeStyle: "medium" });
  return parts.format(new Date(instant)).replace(" ", "T");
}

/** The first instant at which the clocks of a zone show a local time like "2026-10-01T10:00:00". */
export function instantOf(local, timeZone) {
  const wanted = Date.parse(`${local}Z`);
  const offsets = [-86400000, 86400000].map((shift) => Date.parse(`${wallTime(wanted + shift, timeZone)}Z`) - wanted - shift);
  const instants = offsets.map((ahead) => wanted - ahead).sort((one, other) => one - other);
  const found = instants.find((instant) => wallTime(instant, timeZone) === local) ?? instants[0];
  return new Date(found).toISOString();
}

/** An offset from UTC in seconds, like UTC+05:45. */
export function offset(seconds) {
  const minutesAhead = Math.abs(seconds) / 60;
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `UTC${seconds < 0 ? "−" : "+"}${two(minutesAhead / 60)}:${two(minutesAhead % 60)}`;
}

export function duration(seconds) {
  const hours = seconds / 3600;
  if (hours >= 48 && hours % 24 === 0) return several(hours / 24, "day");
  if (hours >= 1) return `${thousandth.format(Math.round(hours * 10) / 10)} ${hours === 1 ? "hour" : "hours"}`;
  if (seconds >= 60) return several(Math.round(seconds / 60), "minute");
  return several(seconds, "second");
}

/** An element with attributes and children; texts are texts, never markup. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A dot in the colour of a token; in the `pattern` of what it stands for, where colours are few. */
export function dot(token, pattern = 0) {
  const made = element("span", { class: "dot", "aria-hidden": "true", "data-pattern": pattern % 5 });
  made.style.setProperty("--dot", `var(${token})`);
  return made;
}

/** A table with a head of texts and rows of cells; the first cell of a row is its heading. */
export function table(head, rows, total = null) {
  const cells = (row, first) =>
    row.map((cell, index) => element(index === 0 ? first : "td", index === 0 ? { scope: "row" } : {}, cell instanceof Node ? cell : String(cell)));
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element(
      "tbody",
      {},
      ...(total ? [element("tr", { class: "total" }, ...cells(total, "th"))] : []),
      ...rows.map((row) => element("tr", {}, ...cells(row, "th"))),
    ),
  );
}

/**
 * A table of words with rows of its own making. A heading is a text, or a text and the class of its
 * column: null where that has numbers, "controls" where it has what paper goes without.
 */
export function wordsTable(headings, rows) {
  const head = headings.map((each) => {
    const [text, kind] = Array.isArray(each) ? each : [each, "text"];
    return element("th", { scope: "col", class: kind }, text);
  });
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

/** A small button of a row; `about` says to those who only hear it what it is about. */
export function rowButton(text, about, action) {
  const made = element("button", { class: "button small", type: "button" }, text, element("span", { class: "sr" }, ` ${about}`));
  made.addEventListener("click", async () => {
    made.disabled = true;
    await action();
    made.disabled = false;
  });
  return made;
}

export function empty(title, text = "") {
  return element("div", { class: "empty" }, element("b", {}, title), text);
}

export function callout(text, kind = "bad") {
  return element("div", { class: `callout ${kind}` }, text);
}
