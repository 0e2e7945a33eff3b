// The axes of charts: amounts upwards, and time along, with a label for no instant twice.

import { color, font, scale } from "./ink.js";
import { compact, clock, dayShort, monthOf, weekdayShort } from "./format.js";
import { weekday } from "./days.js";

/** Up to so many days have their weekdays. */
const FEW_DAYS = 14;

/** An axis; `size` is the room that it takes, or what returns that. */
export function axis({ size, gap, space, ...more }) {
  const scaled = (number) => number && number * scale();
  return {
    stroke: color("--ink-3"),
    font: font(scale()),
    grid: { stroke: color("--grid"), width: scaled(1) },
    ticks: { show: false },
    size: typeof size === "function" ? (...given) => scaled(size(...given)) : scaled(size),
    gap: scaled(gap),
    ...(space && { space: scaled(space) }),
    ...more,
  };
}

/** The vertical axis: whole numbers, as few as fit. */
export function amounts() {
  return axis({
    size: (_u, values) => 14 + 7 * Math.max(2, ...(values ?? []).map((text) => text.length)),
    gap: 8,
    space: 34,
    incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9],
    values: (_u, splits) => splits.map((value) => compact(value)),
  });
}

const every = (spans, step, wanted = () => true) => spans.map((_, index) => index).filter((index) => wanted(spans[index])).filter((_, place) => place % step === 0);
const fitting = (count, room, steps) => steps.find((step) => count / step <= room) ?? Math.ceil(count / room);
const month = ({ day }) => Number(day.slice(5, 7)) - 1;

/** The spans with which a month begins, as many as there is room for: each third, each January. */
function months(spans, room) {
  const starts = spans.map((_, index) => index).filter((index) => {
    const { day } = spans[index];
    return index ? day.slice(0, 7) !== spans[index - 1].day.slice(0, 7) : Number(day.slice(8)) <= 7;
  });
  const step = fitting(starts.length, room, [1, 2, 3, 6, 12, 24, 48]);
  return starts.filter((index) => (step <= 12 ? month(spans[index]) % step === 0 : month(spans[index]) === 0 && Number(spans[index].day.slice(0, 4)) % (step / 12) === 0));
}

/** Whether the days are so few that each has its weekday below it. */
const hasWeekdays = (spans, by) => by === "day" && spans.length <= FEW_DAYS;

/** Which spans have a label, and what it says: [[index, text], …]. */
export function ticks(spans, by, width) {
  const room = Math.max(2, Math.floor(width / (dayShort(spans[0].day).length > 9 ? 92 : 58)));
  if (by === "hour") {
    const step = fitting(spans.length, room, [1, 2, 3, 6, 12]);
    return every(spans, 1, ({ begins }) => Number(begins.slice(11, 13)) % step === 0 && begins.slice(14, 16) === "00").map((index) => [index, clock(spans[index].begins)]);
  }
  if (by === "month") return months(spans.map((each) => ({ ...each, day: `${each.day.slice(0, 8)}01` })), room).map((index) => [index, monthOf(spans[index].day)]);
  if (spans.length > (by === "day" ? 45 : room)) {
    const found = months(spans, room);
    if (found.length > 1) return found.map((index) => [index, monthOf(spans[index].day)]);
  }
  const step = fitting(spans.length, room, by === "day" ? [1, 2, 7, 14, 28] : [1, 2, 4]);
  const found = by === "day" && step >= 7 ? every(spans, step / 7, ({ day }) => weekday(day) === 1) : every(spans, step);
  return found.map((index) => [index, hasWeekdays(spans, by) ? `${dayShort(spans[index].day)}\n${weekdayShort(spans[index].day)}` : dayShort(spans[index].day)]);
}

/** The horizontal axis of spans. */
export function spanAxis(spans, by) {
  let labels = [];
  return axis({
    grid: { show: false },
    size: hasWeekdays(spans, by) ? 46 : 30,
    gap: 8,
    splits: (u) => {
      labels = ticks(spans, by, u.bbox.width / uPlot.pxRatio / scale());
      return labels.map(([index]) => index);
    },
    values: () => labels.map(([, text]) => text),
  });
}

const REST_DAYS = new Set((() => {
  const locale = new Intl.Locale(navigator.language);
  return (locale.getWeekInfo?.() ?? locale.weekInfo)?.weekend ?? [6, 7];
})());
export const isWeekend = (day) => REST_DAYS.has(weekday(day));

/** Shades weekends behind the bars of days, and hatches the bar of what has not ended. */
export function shading(spans, by, soFar) {
  const edges = (u, index) => [index - 0.5, index + 0.5].map((place) => u.valToPos(place, "x", true));
  const weekends = (u) => {
    u.ctx.fillStyle = color("--weekend");
    for (const [index, { day }] of spans.entries()) {
      if (!isWeekend(day)) continue;
      const [left, right] = edges(u, index);
      u.ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
    }
  };
  const hatching = (u) => {
    const { ctx, bbox } = u;
    const [left, right] = edges(u, soFar);
    const step = 6 * uPlot.pxRatio * scale();
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
  return { hooks: { drawClear: by === "day" && spans.length <= 124 ? [weekends] : [], draw: soFar < 0 ? [] : [hatching] } };
}
