// The numbers of a place in a chart: beside the pointer, at a tap, and by the arrow keys.

import { dot, element } from "./format.js";

/** Fills a tip; `rows` are [{label, value, token, pattern, before}]. */
export function fillTip(tip, title, rows, hint = "") {
  tip.replaceChildren(
    element("b", {}, title),
    ...rows.map(({ label, value, token, pattern, before }) =>
      element("div", {}, ...(token ? [dot(token, pattern)] : []), element("span", {}, label), element("span", {}, value, ...(before === undefined ? [] : [element("small", {}, before)]))),
    ),
    ...(hint ? [element("em", {}, hint)] : []),
  );
}

export const spokenRows = (title, rows) => `${title}: ${rows.map(({ label, value, before }) => `${label} ${value}${before === undefined ? "" : `, before ${before}`}`).join(", ")}`;

const STEPS = { ArrowLeft: (at) => at - 1, ArrowRight: (at) => at + 1, Home: () => 0, End: () => Infinity };

/**
 * Shows `rows(index)` under `title(index)`. `pick(index)` is called for a click, for Enter, and for the
 * second tap at a place: the first shows its numbers.
 */
export function pointer(host, { title, rows, pick = null }) {
  const tip = element("div", { class: "tip", hidden: true });
  const spoken = element("span", { class: "sr", "aria-live": "polite" });
  host.append(spoken);
  let byKey = false;
  let byTouch = false;
  let tapped = null;
  let place = null;
  const hide = () => {
    tip.hidden = true;
    tapped = place = null;
  };
  const onKey = (u) => (event) => {
    if (event.key === "Escape") hide();
    if (event.key === "Enter" && place !== null) pick?.(place);
    if (!STEPS[event.key]) return;
    event.preventDefault();
    const last = u.data[0].length - 1;
    const from = place ?? (event.key === "ArrowLeft" ? last + 1 : -1);
    const to = Math.min(last, Math.max(0, STEPS[event.key](from)));
    byKey = true;
    u.setCursor({ left: u.valToPos(u.data[0][to], "x"), top: u.over.clientHeight / 3 });
  };
  const ready = (u) => {
    u.over.append(tip);
    u.over.addEventListener("mouseleave", () => !byTouch && hide());
    u.over.addEventListener("pointerdown", ({ pointerType }) => (byTouch = pointerType === "touch"));
    host.onkeydown = onKey(u);
    host.onblur = hide;
    if (!pick) return;
    u.over.style.cursor = "pointer";
    u.over.addEventListener("click", () => {
      if (place === null) return;
      if (!byTouch || tapped === place) pick(place);
      tapped = place;
    });
  };
  const show = (u) => {
    const { idx, left } = u.cursor;
    if (idx === null || idx === undefined || left < 0) {
      if (!byTouch) hide();
      return;
    }
    place = idx;
    fillTip(tip, title(idx), rows(idx), pick && byTouch ? "Tap again to open" : "");
    tip.hidden = false;
    const width = tip.offsetWidth;
    const right = left + 16 + width < u.over.clientWidth;
    tip.style.left = `${right ? left + 16 : Math.max(-40, left - 16 - width)}px`;
    tip.style.top = "8px";
    if (byKey) spoken.textContent = spokenRows(title(idx), rows(idx));
    byKey = false;
  };
  return { hooks: { ready: [ready], setCursor: [show] } };
}
