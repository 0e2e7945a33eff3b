// Charts: uPlot in the colours of the style sheet, with the numbers of a place beside the pointer,
// and by the arrow keys for whoever has none.

import { count, dayInWords, dayShort, dot, element, monthOf } from "./format.js";

const probe = element("span", { hidden: true });
document.body.append(probe);

/** The local day that has not ended: its bars are hatched, and its numbers are those so far. */
let soFar = "";
export const showSoFar = (day) => (soFar = day);

const barTitle = (day) => (day === soFar ? `${dayInWords(day)}, so far` : dayInWords(day));

/** Hatches the bars of the day that has not ended. */
function hatching(days) {
  const at = days.indexOf(soFar);
  const draw = (u) => {
    const { ctx, bbox } = u;
    const [left, right] = [at - 0.5, at + 0.5].map((place) => u.valToPos(place, "x", true));
    const step = 6 * devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.strokeStyle = color("--card");
    ctx.lineWidth = step / 2.4;
    ctx.beginPath();
    for (let x = left - bbox.height; x < right; x += step) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  };
  return { hooks: { draw: at < 0 ? [] : [draw] } };
}

/** The colour that a token stands for now, as the canvas takes it. */
export function color(token, alpha = 1) {
  probe.style.color = `var(${token})`;
  const answer = getComputedStyle(probe).color;
  return alpha === 1 ? answer : answer.replace(/^rgb\((.*)\)$/, `rgb($1 / ${alpha})`).replaceAll(",", " ");
}

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

function axis(more) {
  return {
    stroke: color("--ink-3"),
    font: FONT,
    grid: { stroke: color("--grid"), width: 1 },
    ticks: { show: false },
    ...more,
  };
}

/** The vertical axis: whole numbers, as few as fit. */
function amounts() {
  return axis({
    size: (_u, values) => 14 + 7 * Math.max(2, ...(values ?? []).map((text) => text.length)),
    gap: 8,
    space: 34,
    incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9],
    values: (_u, splits) => splits.map((value) => short(value)),
  });
}

function short(value) {
  if (value >= 1e6) return `${+(value / 1e6).toFixed(2)}M`;
  if (value >= 1e4) return `${+(value / 1e3).toFixed(1)}k`;
  return count(value);
}

/** The horizontal axis of days: as many labels as there is room for. */
function dayAxis(days) {
  return axis({
    grid: { show: false },
    size: 30,
    gap: 8,
    splits: (u) => {
      const room = Math.max(1, Math.floor(u.bbox.width / devicePixelRatio / 76));
      const step = Math.max(1, Math.ceil(days.length / room));
      const found = [];
      for (let index = Math.floor((days.length - 1) % step / 2); index < days.length; index += step) found.push(index);
      return found;
    },
    values: (_u, splits) => splits.map((index) => (days.length > 120 ? monthOf(days[index]) : dayShort(days[index]))),
  });
}

/** Shows `rows(index)` as a small table at the cursor; the arrow keys move it, too. */
function tooltip(host, title, rows) {
  const tip = element("div", { class: "tip", hidden: true });
  const spoken = element("span", { class: "sr", "aria-live": "polite" });
  host.append(spoken);
  let byKey = false;
  return {
    hooks: {
      ready: [
        (u) => {
          u.over.append(tip);
          u.over.addEventListener("mouseleave", () => (tip.hidden = true));
          host.onkeydown = (event) => {
            const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
            if (event.key === "Escape") tip.hidden = true;
            if (!step) return;
            event.preventDefault();
            const last = u.data[0].length - 1;
            const from = u.cursor.idx ?? (step > 0 ? -1 : last + 1);
            const to = Math.min(last, Math.max(0, from + step));
            byKey = true;
            u.setCursor({ left: u.valToPos(u.data[0][to], "x"), top: u.over.clientHeight / 3 });
          };
          host.onblur = () => (tip.hidden = true);
        },
      ],
      setCursor: [
        (u) => {
          const { idx, left } = u.cursor;
          if (idx === null || idx === undefined || left < 0) {
            tip.hidden = true;
            return;
          }
          const answer = rows(idx);
          tip.replaceChildren(
            element("b", {}, title(idx)),
            ...answer.map(({ label, value, token }) => element("div", {}, ...(token ? [dot(token)] : []), element("span", {}, label), element("span", {}, value))),
          );
          tip.hidden = false;
          const width = tip.offsetWidth;
          const right = left + 16 + width < u.over.clientWidth;
          tip.style.left = `${right ? left + 16 : Math.max(-40, left - 16 - width)}px`;
          tip.style.top = "8px";
          if (byKey) spoken.textContent = `${title(idx)}: ${answer.map(({ label, value }) => `${label} ${value}`).join(", ")}`;
          byKey = false;
        },
      ],
    },
  };
}

/** Calls `pick(index)` where the chart is clicked, or Enter is pressed. */
function picking(host, pick) {
  return {
    hooks: {
      ready: [
        (u) => {
          const chosen = () => u.cursor.idx !== null && u.cursor.idx !== undefined && pick(u.cursor.idx);
          u.over.style.cursor = "pointer";
          u.over.addEventListener("click", chosen);
          host.onkeyup = (event) => event.key === "Enter" && chosen();
        },
      ],
    },
  };
}

/** Keeps the chart that `make(width)` returns as wide as its host, and in the colours of the theme. */
function keep(host, label, make) {
  host.classList.remove("skeleton");
  host.chart?.end();
  let plot;
  const draw = () => {
    plot?.destroy();
    host.replaceChildren();
    plot = make(host.clientWidth || 300);
    host.plot = plot;
  };
  host.tabIndex = 0;
  host.setAttribute("role", "group");
  host.setAttribute("aria-roledescription", "chart");
  host.setAttribute("aria-label", `${label}. The arrow keys go through its numbers.`);
  draw();
  const resized = new ResizeObserver(() => {
    if (plot && host.clientWidth && plot.width !== host.clientWidth) plot.setSize({ width: host.clientWidth, height: plot.height });
  });
  resized.observe(host);
  document.addEventListener("themechange", draw);
  host.chart = {
    end() {
      resized.disconnect();
      document.removeEventListener("themechange", draw);
      plot.destroy();
      host.replaceChildren();
    },
  };
}

/**
 * Bars per day, the layers on top of each other (`stacked`) or in front of each other.
 * @param {object} answer `days`; `layers`: [{label, token, values}]; `line`: one more, drawn as a line;
 *   `rows(index)`: what the tooltip says; `pick(index)`: called for a day that is clicked
 */
export function bars(host, { label, days, layers, line = null, rows, stacked = true, height = 240, pick = null }) {
  keep(host, label, (width) => {
    const tops = [];
    for (const [index, { values }] of layers.entries()) {
      const below = stacked && index ? tops[index - 1] : null;
      tops.push(values.map((value, day) => (value ?? 0) + (below ? below[day] : 0)));
    }
    // The highest first, so that those in front stay visible.
    const order = stacked ? layers.map((_, index) => layers.length - 1 - index) : layers.map((_, index) => index);
    const series = order.map((index) => ({
      fill: color(layers[index].token),
      stroke: null,
      width: 0,
      points: { show: false },
      paths: uPlot.paths.bars({ size: [days.length > 120 ? 0.94 : 0.68, 44], gap: 0 }),
    }));
    const data = [days.map((_, index) => index), ...order.map((index) => tops[index])];
    if (line) {
      series.push({
        stroke: color(line.token),
        width: 2,
        points: { show: days.length < 3 },
      });
      data.push(line.values);
    }
    return new uPlot(
      {
        width,
        height,
        padding: [10, 20, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } },
        scales: {
          x: { time: false, range: () => [-0.55, days.length - 0.45] },
          y: { range: (_u, _min, max) => [0, Math.max(4, max * 1.05)] },
        },
        axes: [dayAxis(days), amounts()],
        series: [{}, ...series],
        plugins: [hatching(days), tooltip(host, (index) => barTitle(days[index]), rows), ...(pick ? [picking(host, pick)] : [])],
      },
      data,
      host,
    );
  });
}

/** A curve of sessions by second, over the last 60 minutes; `update(data)` moves it on. */
export function curve(host, { label, token, timezone, data, height }) {
  let now = data;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
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
        height,
        padding: [10, 22, 0, 0],
        legend: { show: false },
        cursor: { y: false, points: { size: 8, fill: color(token), stroke: color("--card"), width: 2 }, drag: { setScale: false, x: false, y: false } },
        tzDate: (second) => uPlot.tzDate(new Date(second * 1000), timezone),
        scales: {
          x: { range: (u) => [u.data[0][0], u.data[0].at(-1)] },
          y: { range: (_u, _min, max) => [0, Math.max(4, Math.ceil(max * 1.15))] },
        },
        axes: [
          axis({ grid: { show: false }, size: 28, gap: 6, space: 90, incrs: [600, 900, 1200, 1800], values: (_u, splits) => splits.map((second) => clock.format(new Date(second * 1000)).slice(0, 5)) }),
          amounts(),
        ],
        series: [
          {},
          { stroke: color(token), width: 1.75, fill: gradient, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } },
        ],
        plugins: [
          tooltip(
            host,
            (index) => clock.format(new Date(now[0][index] * 1000)),
            (index) => [{ label: "Sessions", value: count(now[1][index]), token }],
          ),
        ],
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

/** Peaks by day and hour of the clock, as a map of cells. */
export function heatmap(host, { days, peaks, token, scale, pick }) {
  host.heat?.end();
  const left = 46;
  const bottom = 26;
  const cell = 11;
  const tall = 24 * cell + bottom;
  const most = Math.max(1, ...peaks.flat().filter((peak) => peak !== null));
  const canvas = element("canvas", { role: "img", "aria-label": `Peaks by hour of the day and day, at most ${count(most)}; the table has the highest of each day` });
  const tip = element("div", { class: "tip", hidden: true });
  host.replaceChildren(canvas, tip);
  let wide = 0;
  const strength = (peak) => (peak ? 0.12 + 0.88 * (peak / most) : 0);

  function draw() {
    const ratio = devicePixelRatio || 1;
    const width = host.clientWidth || 300;
    canvas.width = width * ratio;
    canvas.height = tall * ratio;
    canvas.style.height = `${tall}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    wide = (width - left) / days.length;
    const gap = wide > 5 ? 1.5 : wide > 2.5 ? 0.5 : 0;
    const none = color("--sunken");
    const full = color(token);
    for (const [column, hours] of peaks.entries()) {
      for (const [hour, peak] of hours.entries()) {
        if (peak === null) continue;
        const place = [left + column * wide, hour * cell, wide - gap, cell - 1.5];
        pen.globalAlpha = 1;
        pen.fillStyle = none;
        pen.fillRect(...place);
        pen.globalAlpha = strength(peak);
        pen.fillStyle = full;
        pen.fillRect(...place);
      }
    }
    pen.globalAlpha = 1;
    pen.fillStyle = color("--ink-3");
    pen.font = FONT;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (let hour = 0; hour < 24; hour += 6) pen.fillText(`${String(hour).padStart(2, "0")}:00`, left - 9, hour * cell + cell / 2);
    pen.textAlign = "center";
    const step = Math.max(1, Math.ceil(days.length / Math.max(1, Math.floor((width - left) / 76))));
    for (let day = Math.floor(((days.length - 1) % step) / 2); day < days.length; day += step) {
      const text = days.length > 120 ? monthOf(days[day]) : dayShort(days[day]);
      const half = pen.measureText(text).width / 2;
      pen.fillText(text, Math.min(width - half, left + (day + 0.5) * wide), tall - 9);
    }
  }

  const cellAt = (event) => {
    const { left: x, top: y } = canvas.getBoundingClientRect();
    const day = Math.floor((event.clientX - x - left) / wide);
    const hour = Math.floor((event.clientY - y) / cell);
    return { day, hour, peak: peaks[day]?.[hour] };
  };

  canvas.addEventListener("click", (event) => {
    const { day, hour, peak } = cellAt(event);
    if (peak) pick(day, hour);
  });
  canvas.addEventListener("pointermove", (event) => {
    const { day, hour, peak } = cellAt(event);
    canvas.style.cursor = peak ? "pointer" : "";
    tip.hidden = peak === undefined || peak === null;
    if (tip.hidden) return;
    const two = (number) => String(number).padStart(2, "0");
    tip.replaceChildren(
      element("b", {}, dayInWords(days[day])),
      element("div", {}, element("span", {}, `${two(hour)}:00 – ${two(hour)}:59`), element("span", {}, count(peak))),
    );
    const place = left + day * wide;
    const right = place + 20 + tip.offsetWidth < host.clientWidth;
    tip.style.left = `${right ? place + wide + 10 : place - tip.offsetWidth - 10}px`;
    tip.style.top = `${Math.min(hour * cell, tall - 70)}px`;
  });
  canvas.addEventListener("pointerleave", () => (tip.hidden = true));

  const steps = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const step = element("i");
    step.style.background = part ? `color-mix(in srgb, var(${token}) ${12 + 88 * part}%, var(--sunken))` : "var(--sunken)";
    return step;
  });
  scale.replaceChildren("0", element("span", {}, ...steps), count(most));
  const resized = new ResizeObserver(draw);
  resized.observe(host);
  document.addEventListener("themechange", draw);
  host.heat = {
    end() {
      resized.disconnect();
      document.removeEventListener("themechange", draw);
    },
  };
}
