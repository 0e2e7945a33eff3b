// The live page: the stream of the current hour, its curves, and whether it is as new as it looks.

import { below, get, toLogin } from "./api.js";
import { SERIES } from "./catalog.js";
import { curve } from "./charts.js";
import { completenessLine } from "./completeness.js";
import { callout, clock, count, duration, rate, several, wallTime } from "./format.js";

const { account } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);
const cards = Object.fromEntries([...document.querySelectorAll("[data-series]")].map((card) => [card.dataset.series, card]));
const SECONDS = 3600;
/** How often the day's completeness is asked for, in milliseconds. */
const COMPLETENESS_EVERY = 15_000;

for (const [name, card] of Object.entries(cards)) card.querySelector("[data-color]").style.setProperty("--dot", `var(${SERIES[name].color})`);

/** The levels of the last 60 minutes by series, and the second that the first of them is at. */
let known = { from: 0, levels: {} };
let charts = null;
let zone = "";
let last = 0;

function take(view) {
  last = Date.now();
  status(view);
  if (!view.series) return;
  merge(view.curve);
  $("#as-of").textContent = local(view.as_of, view.timezone);
  $("#hour").textContent = `The hour from ${clock(view.hour.from)} to ${clock(view.hour.to)}`;
  for (const [name, card] of Object.entries(cards)) series(card, name, view);
  draw(view.timezone);
  if (!view.stale) completeness(view);
}

let asked = 0;

/** Today's completeness in a line, as on the reports page; it is as old as the last answer. */
async function completeness({ as_of: asOf, timezone }) {
  if (Date.now() - asked < COMPLETENESS_EVERY) return;
  asked = Date.now();
  const local = (instant) => wallTime(instant, timezone);
  const today = local(asOf).slice(0, 10);
  const report = await get(below(account, "/report", { from: today, to: today })).catch(() => null);
  if (report) $("#completeness").replaceChildren("Today: ", completenessLine(report.completeness, local));
}

function merge({ from, levels }) {
  const first = Object.values(levels)[0];
  const end = from + first.length;
  if (first.length >= SECONDS || from < known.from || from > known.from + SECONDS) {
    known = { from, levels };
    return;
  }
  const begin = end - SECONDS;
  for (const [name, tail] of Object.entries(levels)) {
    known.levels[name] = [...known.levels[name].slice(Math.max(0, begin - known.from), from - known.from), ...tail];
  }
  known.from = Math.max(begin, known.from);
}

function local(instant, timeZone) {
  return new Intl.DateTimeFormat("en-GB", { timeZone, timeStyle: "medium" }).format(new Date(instant));
}

function series(card, name, view) {
  const { now, peak, peak_at: at, open_long: long, oldest_began: oldest } = view.series[name];
  const put = (what, text) => {
    const place = card.querySelector(`[data-${what}]`);
    place.classList.remove("skeleton");
    if (place.textContent !== text) place.textContent = text;
  };
  put("now", count(now));
  put("peak", at ? `${count(peak)} at ${clock(at, true)}` : "0");
  const after = duration(Math.min(...SERIES[name].applications.map((each) => view.long_after[each])));
  put("after", `No stop for over ${after}`);
  put("long", `${count(long)} of ${count(now)} open`);
  put("oldest", long ? `oldest ${ago(oldest, view.as_of)}` : "");
}

function ago(instant, now) {
  return duration(Math.max(0, Math.round((new Date(now) - new Date(instant)) / 1000)));
}

function draw(timezone) {
  const seconds = Array.from({ length: Object.values(known.levels)[0].length }, (_, index) => known.from + index);
  if (charts && zone === timezone) {
    for (const [name, chart] of Object.entries(charts)) chart.update([seconds, known.levels[name]]);
    return;
  }
  zone = timezone;
  charts = Object.fromEntries(
    Object.entries(cards).map(([name, card]) => [
      name,
      curve(card.querySelector("[data-chart]"), {
        label: `${SERIES[name].label}, sessions over the last 60 minutes`,
        token: SERIES[name].color,
        timezone,
        data: [seconds, known.levels[name]],
        height: SERIES[name].applications.length > 1 ? 250 : 170,
      }),
    ]),
  );
}

// -------------------------------------------------------------------------------- status

let shown = "";

function status({ stream, stale, warnings }) {
  pill(stale ? "Not up to date" : "Live", stale ? "off" : "live", stale?.message ?? "", warnings);
  if (!$("#rate")) return; // for operators only
  $("#rate").textContent = rate(stream.events_per_second);
  $("#lag").textContent = stream.lag === null ? "–" : several(stream.lag, "event");
}

function pill(text, kind, message, warnings = []) {
  const place = $("#pill");
  place.className = `pill ${kind}`;
  if (place.textContent !== text) place.textContent = text;
  const messages = [message, ...warnings].filter(Boolean);
  if (messages.join() === shown) return;
  shown = messages.join();
  $("#problem").replaceChildren(...messages.map((each) => callout(each, "warn")));
}

function away(why = "The server does not answer; connecting again") {
  pill("Not up to date", "off", why);
}

// A browser reconnects by itself unless the server refuses; then it is asked again here.
function connect() {
  const stream = new EventSource(below(account, "/live/stream"));
  stream.onmessage = ({ data }) => take(JSON.parse(data));
  stream.onerror = async () => {
    away();
    if (stream.readyState !== EventSource.CLOSED) return;
    const answer = await fetch(below(account, "/live/stream")).catch(() => null);
    if (answer?.status === 401) toLogin();
    else if (answer && !answer.ok) away((await answer.json().catch(() => null))?.detail);
    else answer?.body.cancel();
    setTimeout(connect, 2000);
  };
}

setInterval(() => {
  if (last && Date.now() - last > 4000) away();
}, 1000);
connect();
