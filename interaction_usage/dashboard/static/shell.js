// What every page has: the switch between accounts, and between light and dark.

import { accounts } from "./api.js";
import { MOST, combobox } from "./combobox.js";

document.querySelector("#theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));

// On a phone the tabs scroll: the one of this page is in sight.
const tab = document.querySelector('.tabs [aria-current="page"]');
if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - (tab.parentElement.clientWidth - tab.offsetWidth) / 2;

/** The days that are looked at stay the same from page to page. */
function carryPeriod() {
  const query = new URLSearchParams(location.search);
  const kept = new URLSearchParams([...query].filter(([name]) => name === "from" || name === "to"));
  for (const link of document.querySelectorAll(`.tabs a[href*="/accounts/"], .zone a`)) link.search = kept;
  return kept.size ? `?${kept}` : "";
}
carryPeriod();
for (const [target, name] of [[document, "periodchange"], [window, "popstate"]]) target.addEventListener(name, carryPeriod);

const switcher = document.querySelector("#switcher");
if (switcher) {
  // Another account's page is the one that is shown: the tabs know where each is.
  const page = tab ? new URL(tab.href).pathname.replace(/^\/accounts\/[^/]+/, "") : "";
  let asked = 0;
  combobox(switcher, {
    options: async (search) => {
      const mine = (asked += 1);
      await new Promise((resolve) => setTimeout(resolve, search ? 150 : 0));
      if (mine !== asked) return null; // another key was pressed meanwhile
      const { found, total } = await accounts(search, { limit: MOST });
      const options = found.map(({ account, name }) => ({ value: account, label: name, note: account }));
      return Object.assign(options, { total });
    },
    chosen: ({ value }) => location.assign(`/accounts/${encodeURIComponent(value)}${page}${carryPeriod()}`),
  });
}

// What stands at the edge of each printed page.
addEventListener("beforeprint", () => {
  const quoted = (text) => JSON.stringify(text.replace(/\s+/g, " ").trim());
  const { style } = document.documentElement;
  style.setProperty("--paper-title", quoted(document.title.replace(/ · Usage$/, "") + (document.querySelector("#paper")?.textContent ?? "")));
  const { timezone } = document.body.dataset; // of the account, as all that stands on the paper
  const printed = new Date().toLocaleString(navigator.language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23", timeZone: timezone || undefined });
  style.setProperty("--paper-time", quoted(`Printed ${printed}`));
});
