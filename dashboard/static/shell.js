// What every page has: the switch between accounts, and between light and dark.

import { get } from "./api.js";
import { combobox } from "./combobox.js";

document.querySelector("#theme")?.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));

const switcher = document.querySelector("#switcher");
if (switcher) {
  const page = { reports: "", live: "/live", information: "/information" }[document.body.dataset.page] ?? "";
  let known;
  combobox(switcher, {
    options: async () => {
      known ??= get("/api/accounts");
      return (await known).map(({ account, name }) => ({ value: account, label: name, note: account }));
    },
    chosen: ({ value }) => location.assign(`/accounts/${encodeURIComponent(value)}${page}${page ? "" : location.search}`),
  });
}
