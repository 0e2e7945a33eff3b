// What the cards of the reports have in common: a legend, a chart or a word in its place, a table.

import { bars } from "./charts.js";
import { dot, element, empty, table } from "./format.js";

export function legend(card, items) {
  card.querySelector(".legend").replaceChildren(
    ...items.map(({ label, value, token, href }) =>
      element("li", {}, ...(token ? [dot(token)] : []), element("span", {}, label), element("b", {}, href ? element("a", { href }, value) : value)),
    ),
  );
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

export function asTable(card, ...answer) {
  card.querySelector("[data-as-table]").replaceChildren(table(...answer));
}
