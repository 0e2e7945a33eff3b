// Charts: uPlot in the colours of the style sheet, as wide as their place, or as the paper.

import { amounts, axis, spanAxis, shading } from "./axes.js";
import { count } from "./format.js";
import { color, fill, isPrinting, PAPER, scale, whenInkChanges } from "./ink.js";
import { pointer } from "./pointer.js";

/** Keeps the chart that `make(width)` returns as wide as its host, and in the colours of the medium. */
export function keep(host, label, make) {
  host.classList.remove("skeleton");
  host.chart?.end();
  let plot;
  const width = () => (isPrinting() ? PAPER * scale() : host.clientWidth || 300);
  const draw = () => {
    plot?.destroy();
    host.replaceChildren();
    plot = make(width());
    if (isPrinting()) plot.batch(() => {}); // at once: Firefox takes the page as it stands now
    host.plot = plot;
  };
  host.tabIndex = 0;
  host.setAttribute("role", "group");
  host.setAttribute("aria-roledescription", "chart");
  host.setAttribute("aria-label", `${label}. The arrow keys go through its numbers.`);
  draw();
  const resized = new ResizeObserver(() => {
    if (plot && !isPrinting() && host.clientWidth && plot.width !== host.clientWidth) plot.setSize({ width: host.clientWidth, height: plot.height });
  });
  resized.observe(host);
  const stop = whenInkChanges(draw);
  host.chart = {
    end() {
      resized.disconnect();
      stop();
      plot.destroy();
      host.replaceChildren();
    },
  };
}

const paths = (share, most) => uPlot.paths.bars({ size: [share, most * scale()], gap: 0 });
/** More bars than this have no room for what keeps them apart. */
const MANY = 130;

/** The series of uPlot for the layers, those behind first, with their data. */
function layered(layers, ghost, line, stacked, many) {
  const tops = [];
  for (const [index, { values }] of layers.entries()) {
    const below = stacked && index ? tops[index - 1] : null;
    tops.push(values.map((value, place) => (value ?? 0) + (below ? below[place] : 0)));
  }
  const order = layers.map((_, index) => (stacked ? layers.length - 1 - index : index));
  const points = { show: false };
  const series = order.map((index) => ({
    fill: fill(layers[index].token, layers[index].pattern),
    stroke: many ? null : color("--card"), // a gap between neighbours
    width: many ? 0 : scale(),
    points,
    paths: many ? paths(0.94, 44) : paths(0.68, 44),
  }));
  const data = order.map((index) => tops[index]);
  if (ghost) {
    series.unshift({ fill: "transparent", stroke: color("--ink-3"), width: (many ? 0.5 : 1.25) * scale(), dash: [4, 3], points, paths: paths(0.9, 56) });
    data.unshift(ghost);
  }
  if (line) {
    series.push({ stroke: color(line.token), width: 2 * scale(), points: { show: line.values.length < 3 } });
    data.push(line.values);
  }
  return { series, data };
}

/**
 * Bars per span, the layers on top of each other (`stacked`) or in front of each other.
 * @param {object} answer `spans` and what they are `by`; `layers`: [{label, token, values}]; `line`: one
 *   more, drawn as a line; `ghost`: the values compared with, drawn as empty bars; `soFar`: the span
 *   that has not ended, or -1; `title(index)` and `rows(index)`: what the tip says; `pick(index)`
 */
export function bars(host, { label, spans, by, layers, line = null, ghost = null, soFar = -1, title, rows, stacked = true, height = 240, pick = null }) {
  const many = spans.length > MANY;
  keep(host, label, (width) => {
    const { series, data } = layered(layers, ghost, line, stacked, many);
    return new uPlot(
      {
        width,
        height: height * scale(),
        padding: [10, 20 * scale(), 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } },
        scales: {
          x: { time: false, range: () => [-0.55, spans.length - 0.45] },
          y: { range: (_u, _min, max) => [0, Math.max(4, max * 1.05)] },
        },
        axes: [spanAxis(spans, by), amounts()],
        series: [{}, ...series],
        plugins: [shading(spans, by, soFar), pointer(host, { title, rows, pick })],
      },
      [spans.map((_, index) => index), ...data],
      host,
    );
  });
}

/** A curve of sessions by second, over the last 60 minutes; `update(data)` moves it on. */
export function curve(host, { label, token, timezone, data, height }) {
  let now = data;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const time = (second) => clock.format(new Date(second * 1000));
  keep(host, label, (width) => {
    const gradient = (u) => {
      const { top, height: tall } = u.bbox;
      const made = u.ctx.createLinearGradient(0, top, 0, top + tall);
      made.addColorStop(0, color(token, 0.26));
      made.addColorStop(1, color(token, 0.02));
      return made;
    };
    return new uPlot(
      {
        width,
        height: height * scale(),
        padding: [10, 22 * scale(), 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 8, fill: color(token), stroke: color("--card"), width: 2 }, drag: { setScale: false, x: false, y: false } },
        tzDate: (second) => uPlot.tzDate(new Date(second * 1000), timezone),
        scales: {
          x: { range: (u) => [u.data[0][0], u.data[0].at(-1)] },
          y: { range: (_u, _min, max) => [0, Math.max(4, Math.ceil(max * 1.15))] },
        },
        axes: [
          axis({ grid: { show: false }, size: 28, gap: 6, space: 90, incrs: [600, 900, 1200, 1800], values: (_u, splits) => splits.map((second) => time(second).slice(0, 5)) }),
          amounts(),
        ],
        series: [
          {},
          { stroke: color(token), width: 1.75 * scale(), fill: gradient, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        ],
        plugins: [pointer(host, { title: (index) => time(now[0][index]), rows: (index) => [{ label: "Sessions", value: count(now[1][index]), token }] })],
      },
      now,
      host,
    );
  });
  return {
    update(next) {
      now = next;
      host.plot.setData(next);
    },
  };
}
