// The list of accounts, a page at a time, and the search in it.

import { accounts } from "./api.js";
import { callout, element, empty, several } from "./format.js";

const PAUSE = 150; // ms without another key before the server is asked
const list = document.querySelector("#list");
const search = document.querySelector("#search");
const counted = document.querySelector("#count");
const problem = document.querySelector("#problem");
const more = element("button", { class: "button", type: "button" }, "Show more");
const end = element("li", { class: "empty" }, more);

let asked = 0;
let every = 0;
let last = "";

function row({ account, name, timezone }) {
  return element(
    "li",
    {},
    element("a", { href: `/accounts/${encodeURIComponent(account)}` }, element("b", {}, element("bdi", {}, name)), element("span", {}, account), element("span", {}, timezone), element("span", { "aria-hidden": "true" }, "→")),
  );
}

/** Shows the first accounts, or those after the last one that is shown. */
async function show(cursor = "") {
  const mine = (asked += 1);
  const wanted = search.value.trim();
  try {
    const { found, total } = await accounts(wanted, { cursor });
    if (mine !== asked) return; // something else was typed meanwhile
    end.remove();
    if (!cursor) list.replaceChildren();
    list.append(...found.map(row));
    last = found.at(-1)?.account ?? "";
    if (list.children.length < total) list.append(end);
    if (!wanted) every = total;
    counted.textContent = wanted ? `${total} of ${several(every, "account")}` : several(total, "account");
    if (!total) list.append(element("li", {}, wanted ? empty(`No accounts match "${wanted}"`) : empty("There is no account yet", "One exists once it was set (usage account set) or an event was counted for it.")));
    problem.replaceChildren();
  } catch (error) {
    if (mine !== asked) return;
    if (!cursor) list.replaceChildren();
    problem.replaceChildren(callout(error.message));
  }
}

let timer;
search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(show, PAUSE);
});
more.addEventListener("click", async () => {
  const shown = list.children.length - 1;
  await show(last);
  list.children[shown]?.querySelector("a")?.focus(); // the button has moved away
});
await show();
list.setAttribute("aria-busy", "false");
