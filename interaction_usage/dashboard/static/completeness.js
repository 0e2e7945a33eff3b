// Whether a report has everything that was published: one line, and what may be missing.

import { callout, count, element, hourInWords } from "./format.js";

const NAMES = { issued: "Issued", open: "Open", provisional: "Provisional", incomplete: "Incomplete" };

/** The status in a line; `local` turns an instant in UTC into the account's wall time. */
export function completenessLine({ status, complete_to: completeTo, refused }, local) {
  const parts = [
    ...(completeTo ? [`complete to ${hourInWords(local(completeTo))}`] : []),
    ...(refused ? [`${count(refused)} refused`] : []),
  ];
  return element("span", { class: "status" }, element("b", { class: status }, NAMES[status]), ...parts.map((part) => ` · ${part}`));
}

/** What may be missing, as a callout; nothing where all is there. */
export function missing({ reasons }) {
  return reasons.length ? [callout(`These numbers may miss something. ${reasons.join(". ")}.`, "warn")] : [];
}
