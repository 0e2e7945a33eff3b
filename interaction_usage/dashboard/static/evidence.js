// The evidence pages: who was there at a maximum, other ways to count, what a licence would have meant.

import { below, get } from "./api.js";
import { APPLICATIONS, SERIES, series } from "./catalog.js";
import { elsewhere } from "./days_with_usage.js";
import { average, callout, clock, count, dayInWords, daysInWords, element, several, table } from "./format.js";
import { minuteCurve } from "./minute_curve.js";
import { onChange, period, readAddress, setPeriod, settle, showErrors } from "./period.js";

const { account, view } = document.body.dataset;
const $ = (selector) => document.querySelector(selector);

let hour = "";
for (const { id, label } of series) $("#curve").append(element("option", { value: id }, label));

/** What is asked, as it stands in the address. */
function asked() {
  const licences = view === "capacity" ? $("#licences").value.replaceAll(" ", "") : "";
  return { ...period(), series: $("#curve").value, ...(hour && { hour }), ...(licences && { sessions: licences }) };
}

function go() {
  if (!settle()) return;
  const search = `?${new URLSearchParams(asked())}`;
  if (search !== location.search) history.pushState(null, "", search);
  document.dispatchEvent(new Event("periodchange"));
  load();
}

/** Shows other days. */
function open(first, last) {
  setPeriod(first, last);
  go();
}

function fromAddress() {
  const query = new URLSearchParams(location.search);
  hour = query.get("hour") ?? "";
  readAddress(query);
  $("#curve").value = query.get("series") in SERIES ? query.get("series") : series[0].id;
  if (view === "capacity") $("#licences").value = query.get("sessions") ?? "";
}

addEventListener("popstate", () => {
  fromAddress();
  if (settle()) load();
});

onChange(() => {
  hour = ""; // another period is no longer about that hour
  go();
});
$("#curve").addEventListener("change", go);
$("#licences")?.addEventListener("change", go);

// ------------------------------------------------------------------------------- loading

let loading;

async function load() {
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const place = $("#answer");
  place.setAttribute("aria-busy", "true");
  place.classList.add("stale");
  $("#problem").replaceChildren();
  if ($("#licences-error")) $("#licences-error").textContent = "";
  const { from, to, series: curve } = asked();
  $("#paper").textContent = ` · ${daysInWords(from, to)}`;
  for (const link of document.querySelectorAll(".views a")) {
    link.search = new URLSearchParams({ from, to, series: curve, ...(link.dataset.view === "maximum" && hour && { hour }) });
  }
  try {
    place.replaceChildren(...(await VIEWS[view](asked(), signal)));
    place.classList.remove("stale");
  } catch (problem) {
    if (problem.name === "AbortError") return;
    place.replaceChildren();
    const { from: first, to: last, sessions } = problem.fields ?? {};
    if (sessions) $("#licences-error").textContent = sessions;
    else if (first ?? last) showErrors({ from: first, to: last });
    else $("#problem").append(callout(problem.message));
  }
  place.setAttribute("aria-busy", "false");
}

/** A card with a title and what it shows. */
function card(title, text, ...children) {
  return element(
    "section",
    { class: "card" },
    element("div", { class: "card-head" }, element("div", {}, element("h2", {}, title), element("p", {}, text))),
    element("div", { class: "card-body" }, ...children),
  );
}

const seconds = (number) => {
  const [hours, minutes, rest] = [Math.floor(number / 3600), Math.floor((number % 3600) / 60), number % 60];
  return [hours && `${count(hours)} h`, minutes && `${minutes} min`, (rest || !number) && `${rest} s`].filter(Boolean).join(" ");
};

const source = ({ made_from: { sentence } }) => element("p", { class: "note" }, sentence ?? "");

const scrolled = (made, label, kind = "") => element("div", { class: `table ${kind}`, tabindex: "0", role: "region", "aria-label": label }, made);

// --------------------------------------------------------------------------------- views

async function maximum({ sessions: _, ...wanted }, signal) {
  const found = await get(below(account, "/explain", wanted), signal);
  const { label, color } = SERIES[wanted.series];
  const whole = hour ? [element("p", {}, element("a", { href: `?${new URLSearchParams({ ...wanted, hour: "" })}` }, "Show the whole period"))] : [];
  if (!found.max) {
    const other = hour ? [] : await elsewhere(account, open, signal).then((said) => [said], () => []);
    return [card("Nobody was there", `No session of ${label} was present.`, ...whole), ...other, source(found)];
  }
  const where = hour ? "In this hour" : "In this period";
  const text = `${where} ${several(found.max, "session")} of ${label} at once, first at ${clock(found.at, true)} on ${dayInWords(found.at)}, for ${seconds(found.seconds_at_max)} in all.`;
  const rows = found.sessions.map((each) => [
    APPLICATIONS[each.application].label,
    each.session ?? "hidden",
    moment(each.start, found.at),
    moment(each.stop, found.at),
    [each.inferred && "no stop", each.corrected && corrected(each.events)].filter(Boolean).join(", "),
    each.events.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`).join(" "),
  ]);
  const disagrees = found.agrees ? [] : [callout(`The report has ${count(found.rollups)} instead. An operator can find out with usage verify.`)];
  const names = table(["Application", "Session", "From", "To", "Remark", "Events"], rows);
  return [
    ...disagrees,
    card("The maximum, minute by minute", text, minuteCurve(found, color), ...whole),
    card("Who was there", `The sessions present at ${clock(found.at, true)}, each with the events that say so`, scrolled(names, "Sessions present at the maximum", "words remarks")),
    source(found),
  ];
}

/** Why a session was corrected, and by whom. */
function corrected(events) {
  const { reason, actor } = events.find((event) => event.reason) ?? {};
  return `corrected${actor ? ` by ${actor}` : ""}${reason ? `: ${reason}` : ""}`;
}

/** The time of an instant; with its day, where that is another one. */
const moment = (instant, at) => (instant.slice(0, 10) === at.slice(0, 10) ? clock(instant, true) : `${dayInWords(instant)}, ${clock(instant, true)}`);

async function counting({ hour: _, sessions: __, ...wanted }, signal) {
  const found = await get(below(account, "/concurrency", wanted), signal);
  const rows = [
    ["Maximum", count(found.max), "The most sessions at any second. This is what the report has."],
    ...Object.entries(found.sustained).map(([n, level]) => [`Sustained ${n} min`, count(level), `So many sessions or more for ${n} minutes in a row`]),
    ...Object.entries(found.accumulated).map(([n, level]) => [`Accumulated ${n} min`, count(level), `So many sessions or more for ${n} minutes in all`]),
    ...Object.entries(found.percentile).map(([n, level]) => [`Percentile ${n}`, count(level), `The highest level of a minute was no more than this in ${n} % of the minutes`]),
    ["Average over time", average(found.time_average), `Sessions × seconds, divided by ${count(found.seconds)} seconds`],
  ];
  return [card("Other ways to count", `${SERIES[wanted.series].label}, the same curve by other rules`, scrolled(table(["Counted by", "Sessions", "Meaning"], rows), "Other ways to count", "words")), source(found)];
}

async function capacity({ hour: _, ...wanted }, signal) {
  let { sessions } = wanted;
  if (!sessions) {
    const { max } = await get(below(account, "/concurrency", wanted), signal);
    sessions = [...new Set([0.25, 0.5, 0.75, 1].map((share) => Math.max(1, Math.ceil(max * share))))].join();
    $("#licences").value = sessions;
  }
  const found = await get(below(account, "/capacity", { ...wanted, sessions }), signal);
  const rows = found.map((each) => [
    count(each.sessions), count(each.started), count(each.refused), seconds(each.seconds_above), count(each.episodes), seconds(each.longest),
  ]);
  const head = ["Licence", "Sessions started", "Refused", "Time above", "Episodes", "Longest"];
  const text = `${SERIES[wanted.series].label}: how many sessions would have found no place, and for how long there were more than the licence`;
  return [card("Capacity", text, scrolled(table(head, rows), "Licences"))];
}

const VIEWS = { maximum, counting, capacity };

// --------------------------------------------------------------------------------- begin

fromAddress();
if (settle()) load();
