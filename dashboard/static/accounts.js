// The list of accounts, and the search in it.

import { get } from "./api.js";
import { callout, element, empty, several } from "./words.js";

const list = document.querySelector("#list");
const search = document.querySelector("#search");
const counted = document.querySelector("#count");

try {
  const accounts = await get("/api/accounts");
  const rows = accounts.map(({ account, name, timezone }) => ({
    text: `${name} ${account} ${timezone}`.toLowerCase(),
    row: element(
      "li",
      {},
      element("a", { href: `/accounts/${encodeURIComponent(account)}` }, element("b", {}, element("bdi", {}, name)), element("span", {}, account), element("span", {}, timezone), element("span", { "aria-hidden": "true" }, "→")),
    ),
  }));
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = rows.filter(({ text }) => text.includes(wanted));
    list.replaceChildren(...found.map(({ row }) => row));
    counted.textContent = wanted ? `${found.length} of ${several(rows.length, "account")}` : several(rows.length, "account");
    if (!rows.length) list.append(element("li", {}, empty("There is no account yet", "One exists once it was set (usage account set) or an event was counted for it.")));
    else if (!found.length) list.append(element("li", {}, empty(`No accounts match "${search.value.trim()}"`)));
  };
  search.addEventListener("input", show);
  show();
} catch (problem) {
  list.replaceChildren();
  document.querySelector("#problem").append(callout(problem.message));
}
list.setAttribute("aria-busy", "false");
