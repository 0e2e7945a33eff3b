// A text field with a list to choose from, by the ARIA pattern "combobox with a listbox popup".

import { element } from "./format.js";

/** How many choices are shown. */
export const MOST = 60;
let made = 0;

/**
 * @param {HTMLElement} host holds the input
 * @param {object} answer `options(text)` returns (a promise of) [{value, label, note}], of which those
 *   with the text, in what is shown or in what else they are called (`also`), are shown; with a `total` where it has already left out others; null where it has
 *   been asked again meanwhile. `chosen(option)` is answer of a choice; `cleared()` of an emptied
 *   field, where that is a choice. A `free` field keeps what was typed and not chosen, another goes
 *   back to the last choice. `typed(text)` is answer of something entered that is not in the list,
 *   where that is a choice.
 */
export function combobox(host, { options, chosen, cleared = null, free = false, typed = null }) {
  const input = host.querySelector("input");
  const id = `combo-${(made += 1)}`;
  const list = element("ul", { class: "combo-list", role: "listbox", id, hidden: true });
  list.setAttribute("aria-label", host.querySelector("label")?.textContent ?? input.labels[0]?.textContent ?? "Choices");
  const note = element("div", { class: "combo-list combo-note", role: "status", hidden: true });
  host.append(list, note);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id })) {
    input.setAttribute(name, value);
  }
  let shown = [];
  let active = -1;
  let settled = input.value;
  let opened = 0;

  function close() {
    opened += 1; // what has been asked for is not shown any more
    list.hidden = note.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  }

  async function open(filter) {
    const wanted = filter.trim().toLowerCase();
    const mine = (opened += 1);
    const all = await options(wanted);
    if (all === null || mine !== opened || document.activeElement !== input) return;
    const found = wanted && all.total === undefined
      ? all.filter((each) => searched(each).includes(wanted))
      : [...all];
    found.sort((a, b) => rank(b, wanted) - rank(a, wanted));
    shown = found.slice(0, MOST);
    list.replaceChildren(
      ...shown.map((each, index) => {
        const row = element("li", { role: "option", id: `${id}-${index}`, "aria-selected": "false" }, element("bdi", {}, each.label));
        if (each.note) row.append(element("span", {}, each.note));
        row.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          choose(index);
        });
        return row;
      }),
    );
    const total = all.total ?? found.length;
    if (total > shown.length) {
      list.append(element("li", { class: "combo-note", role: "presentation" }, `${total - shown.length} more; type to narrow down`));
    }
    list.hidden = shown.length === 0;
    note.hidden = shown.length > 0;
    const nothing = typed ? "Not in the list; Enter shows it anyway." : "Nothing matches.";
    note.textContent = shown.length ? "" : nothing;
    input.setAttribute("aria-expanded", String(shown.length > 0));
    move(wanted && shown.length ? 0 : -1);
  }

  // "new york" finds America/New_York.
  function searched({ label, value, note = "", also = "" }) {
    const text = `${label} ${value} ${note} ${also}`.toLowerCase();
    return `${text} ${text.replaceAll("_", " ")}`;
  }

  /** What is called so comes first, as a whole or by its last part ("india", "kiev"); then what begins so. */
  function rank({ label, also = "" }, wanted) {
    if (wanted === "") return 0;
    const names = [label, ...also.split(", ")].map((name) => name.toLowerCase().replaceAll("_", " "));
    if (names.some((name) => name === wanted || name.split("/").at(-1) === wanted)) return 2;
    return Number(names[0].startsWith(wanted));
  }

  function move(to) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = to;
    const row = list.children[active];
    if (!row) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    row.setAttribute("aria-selected", "true");
    row.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", row.id);
  }

  function choose(index) {
    const option = shown[index];
    input.value = settled = option.label;
    close();
    chosen(option);
  }

  input.addEventListener("focus", () => {
    input.select();
    open("");
  });
  input.addEventListener("click", () => list.hidden && note.hidden && open(""));
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", () => {
    close();
    if (input.value.trim() === "" && cleared && settled !== "") {
      settled = "";
      cleared();
    }
    if (free) settled = input.value;
    input.value = settled;
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) open("");
      else if (shown.length) move((active + (event.key === "ArrowDown" ? 1 : -1) + shown.length) % shown.length);
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      choose(active);
    } else if (event.key === "Enter" && cleared && input.value.trim() === "") {
      event.preventDefault();
      settled = "";
      close();
      cleared();
    } else if (event.key === "Enter" && typed && list.hidden && input.value.trim() !== settled) {
      event.preventDefault();
      settled = input.value.trim();
      close();
      typed(settled);
    } else if (event.key === "Escape" && !(list.hidden && note.hidden)) {
      event.preventDefault();
      input.value = settled;
      close();
    }
  });

  return {
    set(text) {
      input.value = settled = text;
    },
  };
}
