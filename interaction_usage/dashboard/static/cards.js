// What the cards of the reports have in common: a legend, a chart or a word in its place, a table.

import { bars } from "./charts.js";
import { change, count, dot, element, empty, table } from "./format.js";

/** What stands beside a label: a text, a link, or what a button does. */
function entry({ label, value, token, pattern, href, toggle }) {
  const inside = [...(token ? [dot(token, pattern)] : []), element("span", {}, label), element("b", {}, href ? element("a", { href }, value) : value)];
  if (!toggle) return element("li", {}, ...inside);
  const button = element("button", { type: "button", "aria-pressed": String(toggle.pressed), "data-key": toggle.key }, ...inside);
  button.addEventListener("click", toggle.action);
  return element("li", {}, button);
}

/** Replaces what is in a place; the focus stays on what stands for the same. */
export function renew(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...children);
  if (key !== undefined) [...place.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key)?.focus();
}

export function legend(card, items) {
  renew(card.querySelector(".legend"), ...items.map(entry));
}

/** Draws a chart, or says that there is nothing to draw. */
export function draw(card, something, title, text, options) {
  const host = card.querySelector(".chart");
  if (something) {
    bars(host, options);
    return;
  }
  host.chart?.end();
  host.chart = null;
  for (const name of ["role", "tabindex", "aria-label", "aria-roledescription"]) host.removeAttribute(name);
  host.replaceChildren(empty(title, text));
}

const made = new WeakMap();

/** Keeps how a card's table is made; it is, when it is shown. */
export function keepTable(card, make) {
  const place = card.querySelector("[data-as-table]");
  made.set(place, make);
  place.replaceChildren(...(place.hidden ? [] : [make()]));
}

export function asTable(card, ...answer) {
  keepTable(card, () => table(...answer));
}

/** Shows a card as its table, or as its chart again. */
export function switchTable(button) {
  const card = button.closest(".card");
  const place = card.querySelector("[data-as-table]");
  const wanted = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(wanted));
  button.firstChild.textContent = wanted ? "Chart" : "Table";
  if (wanted && made.has(place)) place.replaceChildren(made.get(place)());
  place.hidden = !wanted;
  card.querySelector("[data-as-chart]").hidden = wanted;
}

/** The head of the columns that compare, and their cells: what it was before, and the change. */
export const comparing = (before) => ({
  head: (label) => (before ? [`${label} before`, "Change"] : []),
  cells: (now, then) => (before ? [then === null || then === undefined ? "–" : count(then), change(now, then)] : []),
});
