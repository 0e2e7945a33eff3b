// The colours of the style sheet as a canvas takes them, and when what was drawn is drawn again.

import { element } from "./format.js";

export const font = (scale = 1) => `${12 * scale}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;

const forced = matchMedia("(forced-colors: active)");
const probe = element("span", { hidden: true });
document.body.append(probe);

/** The colour that a token stands for now. */
export function color(token, alpha = 1) {
  probe.style.color = `var(${token})`;
  const answer = getComputedStyle(probe).color;
  return alpha === 1 ? answer : answer.replace(/^rgb\((.*)\)$/, `rgb($1 / ${alpha})`).replaceAll(",", " ");
}

/** Lines, for each pattern, through a tile of 8 × 8: what differs where colours may not. */
const PATTERNS = [null, [[0, 8, 8, 0]], [[0, 4, 8, 4]], [[4, 0, 4, 8]], [[0, 0, 8, 8], [0, 8, 8, 0]]];

/** What the area of a layer is filled with: its colour, or its pattern where the system has two colours. */
export function fill(token, pattern = 0) {
  if (!forced.matches || !PATTERNS[pattern % PATTERNS.length]) return color(token);
  const tile = element("canvas", { width: 8, height: 8 });
  const pen = tile.getContext("2d");
  pen.fillStyle = color("--card"); // what is behind does not show through
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = color("--ink");
  for (const [x, y, toX, toY] of PATTERNS[pattern % PATTERNS.length]) {
    pen.moveTo(x, y);
    pen.lineTo(toX, toY);
  }
  pen.lineWidth = 2;
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

/** The width of a page's text on paper (A4, or 8.5 by 11 inches), in CSS pixels. */
export const PAPER = 700;
let printing = false;
export const isPrinting = () => printing;
/** Charts are drawn twice as large for paper, which print.css shrinks: its dots are finer than a screen's. */
export const scale = () => (printing ? 2 : 1);

/** Calls `draw` whenever colours or the medium change; returns what ends that. */
export function whenInkChanges(draw) {
  const events = [[document, "themechange"], [document, "inkchange"]];
  for (const [target, name] of events) target.addEventListener(name, draw);
  return () => events.forEach(([target, name]) => target.removeEventListener(name, draw));
}

const changed = () => document.dispatchEvent(new Event("inkchange"));
forced.addEventListener("change", changed);
// On paper everything is light, and as wide as the page: drawn again, before and after.
for (const [name, on] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(name, () => {
    printing = on;
    document.documentElement.classList.toggle("printing", on);
    changed();
  });
}
