// What an empty period says: from when to when there is usage, with buttons that go there.

import { below, get } from "./api.js";
import { shifted } from "./days.js";
import { callout, dateInWords, daysInWords, element } from "./format.js";

const WEEK = 6; // days after the first of a week
const MOST_DAYS = 3659; // after the first of a period

/** The periods worth a look: the first week with usage, the last one, and all of it. */
function periods(first, last) {
  const begin = shifted(last, -MOST_DAYS) > first ? shifted(last, -MOST_DAYS) : first;
  const week = shifted(first, WEEK);
  if (week >= last) return [[first, last]];
  return [[first, week], [shifted(last, -WEEK), last], [begin, last]];
}

/** A callout for an account's empty period; `open(first, last)` shows other days. */
export async function elsewhere(account, open, signal) {
  const { first, last } = await get(below(account, "/days-with-usage"), signal);
  if (!first) return callout("No usage on any day: what was counted has been taken back.", "warn");
  const when = first === last ? `on ${dateInWords(first)}` : `from ${dateInWords(first)} to ${dateInWords(last)}`;
  const said = callout(`No usage in this period. This account has usage ${when}:`, "warn");
  for (const days of periods(first, last)) {
    const button = element("button", { type: "button", class: "button small" }, daysInWords(...days));
    button.addEventListener("click", () => open(...days));
    said.append(button);
  }
  return said;
}
