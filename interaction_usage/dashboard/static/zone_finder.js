// A field for a time zone: found by city, country or former name, with what the change would move.

import { below, get } from "./api.js";
import { combobox } from "./combobox.js";
import { element, offset, withDates } from "./format.js";

let listed;
const zones = () => (listed ??= get("/api/timezones"));

/**
 * @param {HTMLElement} host holds the input
 * @param {HTMLElement} moves where what the zone would move is said
 * @param {object} answer `asked()` returns the account's id and its zone now; `chosen()`, of a choice
 */
export function zoneFinder(host, moves, { asked, chosen = () => {} }) {
  const input = host.querySelector("input");
  const value = () => input.value.trim();

  /** Says what the zone in the field would move, if it is another one. */
  async function preview() {
    const wanted = value();
    const { account, timezone } = asked();
    let sentences = [];
    try {
      if (wanted !== timezone && (await zones()).some(({ name }) => name === wanted)) {
        ({ sentences } = await get(below(account, "/timezone-change", { to: wanted })));
      }
    } catch {
      // The server is away; saving says so.
    }
    if (wanted !== value()) return;
    const lines = sentences.map((sentence) => element("li", {}, withDates(sentence)));
    moves.replaceChildren(...(lines.length ? [element("ul", { class: "callout warn moves" }, ...lines)] : []));
  }

  const field = combobox(host, {
    options: async () => (await zones()).map(({ name, offset: seconds, also }) => ({ value: name, label: name, note: offset(seconds), also })),
    chosen: () => {
      chosen();
      preview();
    },
    free: true,
  });
  input.addEventListener("change", preview);
  return {
    value,
    set(timezone) {
      field.set(timezone);
      moves.replaceChildren();
    },
  };
}
