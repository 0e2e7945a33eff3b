// The page of long sessions: who was connected for long, how each session ended, and who still is.

import { below, get } from "./api.js";
import { APPLICATIONS } from "./catalog.js";
import { callout, daysInWords, element, empty, moment, several, wordsTable } from "./format.js";

const { account, timezone } = document.body.dataset;
const $ = (name) => document.querySelector(`#${name}`);
const DEFAULTS = { days: "7", longer: "14400", state: "any" };
const STATES = { open: "open", limit: "ended by the limit", stopped: "stopped" };

/** A number of seconds in two units. */
function age(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor((seconds % 86400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days) return `${several(days, "day")}${hours ? ` ${hours} h` : ""}`;
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(seconds % 60).padStart(2, "0")} s` : `${seconds} s`;
}

/** The local day so many days ago. */
function day(ago) {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: timezone, year: "numeric", month: "2-digit", day: "2-digit" });
  const today = parts.format(new Date());
  const moved = new Date(`${today}T12:00:00Z`);
  moved.setUTCDate(moved.getUTCDate() - ago);
  return moved.toISOString().slice(0, 10);
}

function row(each) {
  const state = element("span", { class: each.state === "stopped" ? "" : "tag" }, STATES[each.state]);
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "text" }, each.session === null ? element("span", { class: "muted" }, "not shown") : element("bdi", {}, each.session)),
    element("td", { class: "keep" }, APPLICATIONS[each.application].label),
    element("td", { class: "keep" }, moment(each.start, true)),
    element("td", { class: "keep" }, each.stop ? moment(each.stop, true) : ""),
    element("td", {}, age(each.seconds)),
    element("td", { class: "keep" }, state, each.corrected ? " corrected" : ""),
  );
}

let loading;

async function load() {
  loading?.abort();
  loading = new AbortController();
  const [days, longer, state] = ["days", "longer", "state"].map((name) => $(name).value);
  const place = $("sessions");
  place.setAttribute("aria-busy", "true");
  place.classList.add("stale");
  try {
    const [from, to] = [day(Number(days) - 1), day(0)];
    const found = await get(below(account, "/long-sessions", { from, to, longer, state }), loading.signal);
    $("paper").textContent = ` · ${daysInWords(from, to)} · ${["longer", "state"].map((name) => $(name).selectedOptions[0].text).join(" · ")}`;
    $("problem").replaceChildren();
    const some = found.total > found.sessions.length ? ` The longest ${found.sessions.length} are listed; usage sessions lists all.` : "";
    $("note").replaceChildren(`${several(found.total, "session")}, times in ${timezone}.${some} ${found.made_from.sentence}`);
    const head = ["Session", "Application", "Start", "End", ["Open for", null], "State"];
    place.replaceChildren(
      found.sessions.length
        ? wordsTable(head, found.sessions.map(row))
        : empty("No such session", "Choose more days, or a shorter time."),
    );
  } catch (problem) {
    if (problem.name === "AbortError") return;
    $("note").textContent = "";
    place.replaceChildren();
    $("problem").replaceChildren(callout(problem.message));
  }
  place.classList.remove("stale");
  place.setAttribute("aria-busy", "false");
}

function fromAddress() {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    $(name).value = query.get(name) ?? value;
    if ($(name).selectedIndex < 0) $(name).value = value;
  }
  return load();
}

$("asked").addEventListener("submit", (event) => event.preventDefault());
$("asked").addEventListener("change", () => {
  const asked = Object.keys(DEFAULTS).map((name) => [name, $(name).value]);
  history.pushState(null, "", `?${new URLSearchParams(asked)}`);
  load();
});
window.addEventListener("popstate", fromAddress);
await fromAddress();
