// The list of accounts, a page at a time: search, order, and what is new of each.

import { accounts, below, get, put } from "./api.js";
import { callout, count, element, empty, moment, several } from "./format.js";
import { zoneFinder } from "./zone_finder.js";

const PAUSE = 150; // ms without another key before the server is asked
const AGAIN = 1500; // ms after which what was not known yet is asked again
const MOST_AGAIN = 10;
const list = document.querySelector("#list");
const search = document.querySelector("#search");
const sort = document.querySelector("#sort");
const counted = document.querySelector("#count");
const problem = document.querySelector("#problem");
const more = element("button", { class: "button", type: "button" }, "Show more");
const end = element("li", { class: "empty" }, more);
const ago = new Intl.RelativeTimeFormat(navigator.language, { numeric: "auto", style: "short" });

let requests = 0;
let every = 0;
let last = "";
let again = 0;

/** How long ago an instant was, in one unit. */
function since(instant) {
  const seconds = Math.max(0, (Date.now() - Date.parse(instant)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return ago.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return ago.format(-Math.floor(seconds / 3600), "hour");
  return ago.format(-Math.floor(seconds / 86400), "day");
}

function news({ last_counted: at, flow_runs: runs, is_known: known }) {
  if (!known) return ["", ""];
  return [
    at ? element("time", { datetime: at, title: `${moment(at, true)} UTC` }, since(at)) : "none for 35 days",
    runs === null ? "" : element("b", {}, count(runs)),
  ];
}

function row(account) {
  const [when, runs] = news(account);
  return element(
    "li",
    { "data-account": account.account },
    element(
      "a",
      { href: `/accounts/${encodeURIComponent(account.account)}` },
      element("b", {}, element("bdi", {}, account.name)),
      element("span", {}, account.account),
      element("span", {}, account.timezone),
      element("span", {}, element("span", { class: "sr" }, "last counted "), when),
      element("span", { class: "runs" }, runs, runs ? ` flow ${account.flow_runs === 1 ? "run" : "runs"}` : ""),
    ),
    zoneButton(account),
  );
}

// --------------------------------------------------------------------------- another time zone

const dialog = document.querySelector("#zone");
const said = document.querySelector("#zone-error");
let asked = null;
let opener = null;
const finder = zoneFinder(document.querySelector("#zone-combo"), document.querySelector("#zone-change"), { asked: () => asked, chosen: () => (said.textContent = "") });

function zoneButton(account) {
  const button = element("button", { type: "button", class: "button small" }, "Time zone", element("span", { class: "sr" }, ` of ${account.name}`));
  button.addEventListener("click", () => {
    [asked, opener] = [account, button];
    document.querySelector("#zone-whose").replaceChildren(element("bdi", {}, account.name), ` (${account.account}): the days and hours of all reports follow it, past ones included.`);
    said.textContent = "";
    finder.set(account.timezone);
    dialog.showModal();
  });
  return button;
}

document.querySelector("#zone-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  said.textContent = "";
  try {
    const settings = await put(below(asked.account), { timezone: finder.value() });
    const changed = row({ ...asked, timezone: settings.timezone });
    opener.closest("li").replaceWith(changed);
    dialog.close();
    changed.querySelector("button").focus();
  } catch (error) {
    said.textContent = error.message;
  }
});
document.querySelector("#zone-cancel").addEventListener("click", () => dialog.close());

// ------------------------------------------------------------------------------------- the list

/** Shows the first accounts, or those after the last one that is shown. */
async function show(cursor = "") {
  const mine = (requests += 1);
  const wanted = search.value.trim();
  try {
    const { found, total } = await accounts(wanted, { cursor, sort: sort.value });
    const similar = !total && wanted ? await get(`/api/similar-accounts?${new URLSearchParams({ search: wanted })}`) : [];
    if (mine !== requests) return; // something else was typed meanwhile
    end.remove();
    if (!cursor) list.replaceChildren();
    list.append(...found.map(row));
    last = found.at(-1)?.account ?? "";
    if (list.children.length < total) list.append(end);
    if (!wanted) every = total;
    counted.replaceChildren(
      `${wanted ? `${count(total)} of ${several(every, "account")}` : several(total, "account")}. Flow runs are those of this month. `,
      element("code", {}, "usage export --all"),
      " writes the reports of all.",
    );
    if (!total) list.append(element("li", {}, wanted ? nothing(wanted, similar) : empty("There is no account yet", "One exists once it was set (usage account set) or an event was counted for it.")));
    problem.replaceChildren();
    if (!cursor && found.some((each) => !each.is_known) && again < MOST_AGAIN) {
      again += 1;
      setTimeout(() => mine === requests && show(), AGAIN);
    }
  } catch (error) {
    if (mine !== requests) return;
    if (!cursor) list.replaceChildren();
    problem.replaceChildren(callout(error.message));
  }
}

function nothing(wanted, similar) {
  const place = empty(`No accounts match "${wanted}"`);
  if (similar.length) {
    const links = similar.flatMap((each, index) => [index ? " or " : "", element("a", { href: `/accounts/${encodeURIComponent(each)}` }, element("bdi", {}, each))]);
    place.append(element("span", {}, "Did you mean ", ...links, "?"));
  }
  return place;
}

let timer;
search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(start, PAUSE);
});
sort.addEventListener("change", start);

/** Shows the list from the beginning, as the address says from then on. */
function start() {
  const given = Object.entries({ search: search.value.trim(), sort: sort.value === "name" ? "" : sort.value }).filter(([, value]) => value);
  history.replaceState(null, "", given.length ? `?${new URLSearchParams(given)}` : location.pathname);
  return show();
}

more.addEventListener("click", async () => {
  const shown = list.children.length - 1;
  await show(last);
  list.children[shown]?.querySelector("a")?.focus(); // the button has moved away
});

const query = new URLSearchParams(location.search);
search.value = query.get("search") ?? "";
sort.value = query.get("sort") ?? "name";
if (sort.selectedIndex < 0) sort.value = "name";
await show();
list.setAttribute("aria-busy", "false");
