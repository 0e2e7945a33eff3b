// Peaks by span and hour of the clock, as a map of cells: for the pointer, taps and the arrow keys.

import { ticks } from "./axes.js";
import { count, element } from "./format.js";
import { color, font, isPrinting, PAPER, whenInkChanges } from "./ink.js";
import { fillTip, spokenRows } from "./pointer.js";

const LEFT = 46;
const BOTTOM = 26;
const CELL = 11;
const TALL = 24 * CELL + BOTTOM;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const two = (number) => String(number).padStart(2, "0");
const hours = (hour) => `${two(hour)}:00 – ${two(hour)}:59`;

/** Draws the cells, and how strong their colours are. */
function paint(canvas, { spans, by, peaks, token, most }, width, at) {
  const ratio = isPrinting() ? 3 : devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = TALL * ratio;
  canvas.style.height = isPrinting() ? "auto" : `${TALL}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const wide = (width - LEFT) / spans.length;
  const gap = wide > 5 ? 1.5 : wide > 2.5 ? 0.5 : 0;
  const [none, full] = [color("--sunken"), color(token)];
  for (const [column, row] of peaks.entries()) {
    for (const [hour, peak] of row.entries()) {
      if (peak === null) continue;
      const place = [LEFT + column * wide, hour * CELL, wide - gap, CELL - 1.5];
      pen.globalAlpha = 1;
      pen.fillStyle = none;
      pen.fillRect(...place);
      pen.globalAlpha = peak ? 0.12 + 0.88 * (peak / most) : 0;
      pen.fillStyle = full;
      pen.fillRect(...place);
    }
  }
  pen.globalAlpha = 1;
  if (at) {
    pen.strokeStyle = color("--ink");
    pen.lineWidth = 2;
    pen.strokeRect(LEFT + at.column * wide, at.hour * CELL, Math.max(wide - gap, 3), CELL - 1.5);
  }
  pen.fillStyle = color("--ink-3");
  pen.font = font();
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (let hour = 0; hour < 24; hour += 6) pen.fillText(`${two(hour)}:00`, LEFT - 9, hour * CELL + CELL / 2);
  pen.textAlign = "center";
  for (const [column, label] of ticks(spans, by, width - LEFT)) {
    const text = label.replace("\n", ", ");
    const half = pen.measureText(text).width / 2;
    pen.fillText(text, Math.min(width - half, Math.max(LEFT + half, LEFT + (column + 0.5) * wide)), TALL - 9);
  }
  return wide;
}

/**
 * @param {object} answer `spans` and what they are `by`; `peaks`: 24 for each; `pick(column, hour)` for a
 *   cell that had sessions; `title(column)`; `scale`: where the meaning of the colours is shown
 */
export function heatmap(host, { spans, by, peaks, token, scale, pick, title }) {
  host.heat?.end();
  const most = Math.max(1, ...peaks.flat().filter((peak) => peak !== null));
  const canvas = element("canvas", { "aria-hidden": "true" });
  const tip = element("div", { class: "tip", hidden: true });
  const spoken = element("span", { class: "sr", "aria-live": "polite" });
  host.tabIndex = 0;
  host.setAttribute("role", "group");
  host.setAttribute("aria-roledescription", "chart");
  host.setAttribute("aria-label", `Peaks by hour of the day, at most ${count(most)}. The arrow keys go through the hours, Enter shows who was there.`);
  host.replaceChildren(canvas, tip, spoken);
  let wide = 0;
  let at = null;
  let byTouch = false;
  let tapped = "";

  const draw = () => (wide = paint(canvas, { spans, by, peaks, token, most }, isPrinting() ? PAPER : host.clientWidth || 300, at));
  const peakAt = ({ column, hour }) => peaks[column]?.[hour];

  function show(cell, hint = "") {
    const peak = peakAt(cell);
    tip.hidden = peak === undefined || peak === null;
    if (tip.hidden) return;
    fillTip(tip, title(cell.column), [{ label: hours(cell.hour), value: count(peak) }], hint);
    const place = LEFT + cell.column * wide;
    const right = place + 20 + tip.offsetWidth < host.clientWidth;
    tip.style.left = `${right ? place + wide + 10 : place - tip.offsetWidth - 10}px`;
    tip.style.top = `${Math.min(cell.hour * CELL, TALL - 70)}px`;
  }

  const cellAt = (event) => {
    const { left, top } = canvas.getBoundingClientRect();
    return { column: Math.floor((event.clientX - left - LEFT) / wide), hour: Math.floor((event.clientY - top) / CELL) };
  };
  const open = (cell) => by !== "month" && by !== "week" && peakAt(cell) && pick(cell.column, cell.hour);

  canvas.addEventListener("pointerdown", ({ pointerType }) => (byTouch = pointerType === "touch"));
  canvas.addEventListener("click", (event) => {
    const cell = cellAt(event);
    const again = tapped === `${cell.column}/${cell.hour}`;
    tapped = `${cell.column}/${cell.hour}`;
    if (byTouch && !again) show(cell, peakAt(cell) ? "Tap again to see who was there" : "");
    else open(cell);
  });
  canvas.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    canvas.style.cursor = peakAt(cell) ? "pointer" : "";
    show(cell);
  });
  canvas.addEventListener("pointerleave", () => !byTouch && (tip.hidden = true));
  host.onkeydown = (event) => {
    if (event.key === "Escape") tip.hidden = true;
    if (event.key === "Enter" && at) open(at);
    if (!MOVES[event.key]) return;
    event.preventDefault();
    const [columns, rows] = at ? MOVES[event.key] : [0, 0];
    const start = at ?? { column: 0, hour: Math.max(0, peaks[0].findIndex((peak) => peak)) };
    at = { column: Math.min(spans.length - 1, Math.max(0, start.column + columns)), hour: Math.min(23, Math.max(0, start.hour + rows)) };
    draw();
    show(at);
    const peak = peakAt(at);
    spoken.textContent = spokenRows(title(at.column), [{ label: hours(at.hour), value: peak === null ? "no such hour" : count(peak) }]);
  };
  host.onblur = () => {
    tip.hidden = true;
    at = null;
    draw();
  };

  const steps = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const step = element("i");
    step.style.background = part ? `color-mix(in srgb, var(${token}) ${12 + 88 * part}%, var(--sunken))` : "var(--sunken)";
    return step;
  });
  scale.replaceChildren("0", element("span", {}, ...steps), count(most));
  const resized = new ResizeObserver(() => !isPrinting() && draw());
  resized.observe(host);
  const stop = whenInkChanges(draw);
  host.heat = {
    end() {
      resized.disconnect();
      stop();
    },
  };
}
