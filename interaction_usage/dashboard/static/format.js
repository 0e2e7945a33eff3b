// Names and numbers as people read them, and elements made from them.

/** The settings of an account. */
export const FIELDS = { name: "Name", timezone: "Time zone", dnis: "DNIS Service", sms: "Outgoing SMS", late_usage: "Late usage" };

/** The value of a setting in words. */
export const setting = (value) => (typeof value === "boolean" ? (value ? "on" : "off") : value);

const whole = new Intl.NumberFormat("en");
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const hundredth = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const thousandth = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const percent = new Intl.NumberFormat("en", {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

export const count = (number) => whole.format(number);
export const rate = (number) => (number < 10 ? tenth.format(number) : count(Math.round(number)));
export const average = (number) => hundredth.format(number);
export const minutes = (number) => thousandth.format(number);
export const share = (number) => (number === null ? "–" : percent.format(number));
export const several = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

const DAY = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
const SHORT = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: "UTC" });
const MONTH = new Intl.DateTimeFormat("en", { month: "short", year: "numeric", timeZone: "UTC" });

const noon = (day) => new Date(`${day.slice(0, 10)}T12:00:00Z`);

/** A local day like "2026-10-01" in words. */
export const dayInWords = (day) => DAY.format(noon(day));
export const dayShort = (day) => SHORT.format(noon(day));
export const monthOf = (day) => MONTH.format(noon(day));

/** The clock of a local instant like "2026-10-01T10:00:00+02:00". */
export const clock = (instant, seconds = false) => instant.slice(11, seconds ? 19 : 16);
export const hourInWords = (instant) => `${dayShort(instant)}, ${clock(instant)}`;

/** The minute of an instant in UTC like "2026-10-01T10:00:00Z". */
export const moment = (instant) => instant.slice(0, 16).replace("T", " ");

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
  const minutes = Math.abs(seconds) / 60;
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  return `UTC${seconds < 0 ? "−" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
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

/** A dot in the colour of a token. */
export function dot(token) {
  const made = element("span", { class: "dot", "aria-hidden": "true" });
  made.style.setProperty("--dot", `var(${token})`);
  return made;
}

/** A table with a head of texts and rows of cells; the first cell of a row is its heading. */
export function table(head, rows, total = null) {
  const cells = (row, first) =>
    row.map((cell, index) => element(index === 0 ? first : "td", index === 0 ? { scope: "row" } : {}, String(cell)));
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

export function empty(title, text = "") {
  return element("div", { class: "empty" }, element("b", {}, title), text);
}

export function callout(text, kind = "bad") {
  return element("div", { class: `callout ${kind}` }, text);
}
