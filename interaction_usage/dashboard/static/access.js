// The Access page: creates tokens, shows each once, lists and revokes them.

import { accounts, get, post, remove } from "./api.js";
import { MOST, combobox } from "./combobox.js";
import { callout, element, empty, moment, rowButton, several, wordsTable } from "./format.js";

const AT_ONCE = 100; // rows that are shown before "Show more"
const MEANS = {
  viewer: "A viewer sees one account and changes nothing.",
  manager: "A manager sees one account, and may change its name and time zone.",
  operator: "An operator sees and changes everything, and may create other tokens.",
};
const $ = (name) => document.querySelector(`#${name}`);
const form = $("create");
const field = (name) => form.elements[name];
const list = $("tokens");

let tokens = [];
let most = AT_ONCE;

// --------------------------------------------------------------------------------- create

const account = combobox($("account-combo"), {
  options: async (search) => {
    await new Promise((resolve) => setTimeout(resolve, search ? 150 : 0));
    const { found, total } = await accounts(search, { limit: MOST });
    return Object.assign(found.map((each) => ({ value: each.account, label: each.account, note: each.name })), { total });
  },
  chosen: () => showErrors({}),
  free: true,
});

function fit() {
  const role = field("role").value;
  $("role-means").textContent = MEANS[role];
  $("account-field").hidden = role === "operator";
  $("day-field").hidden = field("expires").value !== "day";
}

function showErrors(fields) {
  for (const name of ["account", "label", "expires"]) {
    $(`${name}-error`).textContent = fields[name] ?? "";
    if (fields[name]) field(name).setAttribute("aria-invalid", "true");
    else field(name).removeAttribute("aria-invalid");
  }
  // Not the account, whose list of choices would cover what is wrong with it.
  const first = ["label", "expires"].find((name) => fields[name]);
  if (first) field(first).focus();
}

function say(text, kind = "muted") {
  $("said").textContent = text;
  $("said").className = kind;
}

const whose = (token) => (token.account === null ? "all accounts" : token.account);

form.addEventListener("change", fit);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const role = field("role").value;
  const day = field("expires").value === "day";
  if (day && !field("day").value) {
    showErrors({ expires: "Choose the last day." });
    return;
  }
  $("created").hidden = true;
  $("secret").value = "";
  const button = form.querySelector("button.primary");
  button.disabled = true;
  say("Creating …");
  try {
    const made = await post("/api/tokens", {
      role,
      account: role === "operator" ? null : field("account").value.trim(),
      label: field("label").value,
      expires: day ? field("day").value : field("expires").value,
    });
    showErrors({});
    say("");
    $("secret").value = made.token;
    const until = made.expires ? `until ${moment(made.expires)} UTC` : "for ever";
    $("created-for").replaceChildren(`For `, element("b", {}, element("bdi", {}, whose(made))), ` (${made.role}), ${until}. Log in with it at ${location.origin}/login.`);
    $("created").hidden = false;
    $("created").focus();
    field("label").value = "";
    await load();
  } catch (problem) {
    showErrors(problem.fields ?? {});
    say(Object.keys(problem.fields ?? {}).length ? "Not created" : problem.message, "error");
  }
  button.disabled = false;
});

$("secret").addEventListener("focus", () => $("secret").select());
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("secret").value);
    $("copy").textContent = "Copied";
  } catch {
    $("secret").focus(); // selected: the keyboard copies it
    $("copy").textContent = "Press Ctrl+C";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 3000);
});

// ----------------------------------------------------------------------------------- list

const time = (instant, none) => element("td", { class: "keep" }, instant ? element("time", { datetime: instant }, moment(instant)) : element("span", { class: "muted" }, none));

function row(token) {
  const revoke = rowButton("Revoke", `token ${token.id}`, () => ask(token));
  const name = token.label ? element("bdi", {}, token.label) : element("span", { class: "muted" }, "no label");
  const expires = time(token.expires, "never");
  if (token.expired) expires.prepend(element("b", { class: "bad" }, "expired "));
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "text" }, name, token.yours ? element("span", { class: "tag" }, "yours") : ""),
    element("td", { class: "text" }, token.account === null ? "all accounts" : element("a", { href: `/accounts/${encodeURIComponent(token.account)}` }, element("bdi", {}, token.account))),
    element("td", { class: "keep" }, token.role),
    time(token.created, ""),
    expires,
    time(token.last_used, "never"),
    element("td", { class: "keep" }, element("code", {}, token.id)),
    element("td", { class: "controls" }, revoke),
  );
}

const searched = (token) => `${token.label} ${token.account ?? "all accounts"} ${token.role} ${token.id}`.toLowerCase();

function show() {
  const wanted = $("search").value.trim().toLowerCase();
  const found = tokens.filter((token) => searched(token).includes(wanted));
  $("count").textContent = wanted ? `${found.length} of ${several(tokens.length, "token")}` : `${several(tokens.length, "token")}. Times are in UTC.`;
  const head = ["Label", "Sees", "Role", "Created", "Expires", "Last use", "Id", [element("span", { class: "sr" }, "Revoke"), "controls"]];
  list.replaceChildren(
    found.length
      ? wordsTable(head, found.slice(0, most).map(row))
      : tokens.length
        ? empty(`No tokens match "${wanted}"`)
        : empty("There is no token yet", "Create the first one above."),
  );
  $("more").hidden = found.length <= most;
}

async function load() {
  try {
    ({ tokens } = await get("/api/tokens"));
    $("problem").replaceChildren();
    show();
  } catch (problem) {
    $("problem").replaceChildren(callout(problem.message));
  }
  list.setAttribute("aria-busy", "false");
}

$("search").addEventListener("input", () => {
  most = AT_ONCE;
  show();
});
$("more").addEventListener("click", () => {
  most += AT_ONCE;
  show();
});

// --------------------------------------------------------------------------------- revoke

let asked = null;

function ask(token) {
  asked = token;
  const label = token.label ? [" (", element("bdi", {}, token.label), ")"] : [];
  const last = token.role === "operator" && tokens.filter((each) => each.role === "operator" && !each.expired).length === 1;
  $("confirm-what").replaceChildren(
    "The token ", element("code", {}, token.id), ...label, " for ", element("bdi", {}, whose(token)), " stops working for good. Logins and streams that use it end within seconds.",
    token.yours ? " It is the one that you are logged in with: you will be logged out." : "",
    last ? " It is the last one of an operator: only `usage token create --operator` can make another." : "",
  );
  $("confirm-error").textContent = "";
  $("confirm").showModal();
}

$("keep").addEventListener("click", () => $("confirm").close());
$("revoke").addEventListener("click", async () => {
  $("revoke").disabled = true;
  try {
    await remove(`/api/tokens/${asked.id}`);
    $("confirm").close();
    await load();
    $("tokens").focus();
  } catch (problem) {
    $("confirm-error").textContent = problem.message;
  }
  $("revoke").disabled = false;
});

const given = new URLSearchParams(location.search).get("account");
if (given) account.set(given);
fit();
await load();
