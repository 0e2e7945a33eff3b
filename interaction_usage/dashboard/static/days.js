// Arithmetic of local days like "2026-10-01", without a clock and without a page.

const DAY_MS = 86400000;
const noon = (day) => new Date(`${day}T12:00:00Z`);
const written = (date) => date.toISOString().slice(0, 10);

export const shifted = (day, days) => written(new Date(noon(day).getTime() + days * DAY_MS));
export const daysBetween = (first, last) => Math.round((noon(last) - noon(first)) / DAY_MS);
/** 1 for Monday to 7 for Sunday. */
export const weekday = (day) => noon(day).getUTCDay() || 7;
export const monthStart = (day) => `${day.slice(0, 8)}01`;

/** The same day of the month so many months later, or the last of that month. */
export function monthsLater(day, months) {
  const [year, month, number] = day.split("-").map(Number);
  const last = new Date(Date.UTC(year, month + months, 0)).getUTCDate();
  return written(new Date(Date.UTC(year, month - 1 + months, Math.min(number, last))));
}
export const monthEnd = (day) => shifted(monthsLater(monthStart(day), 1), -1);
const quarterStart = (day) => monthsLater(monthStart(day), -((Number(day.slice(5, 7)) - 1) % 3));

/** Periods by name: from today to [first day, last day]. */
export const PRESETS = {
  today: (now) => [now, now],
  yesterday: (now) => [shifted(now, -1), shifted(now, -1)],
  7: (now) => [shifted(now, -6), now],
  30: (now) => [shifted(now, -29), now],
  "last-week": (now) => [shifted(now, -6 - weekday(now)), shifted(now, -weekday(now))],
  month: (now) => [monthStart(now), now],
  "last-month": (now) => [monthsLater(monthStart(now), -1), shifted(monthStart(now), -1)],
  quarter: (now) => [quarterStart(now), now],
  "last-quarter": (now) => [monthsLater(quarterStart(now), -3), shifted(quarterStart(now), -1)],
  "12-months": (now) => [monthsLater(monthStart(now), -11), now],
  year: (now) => [`${now.slice(0, 5)}01-01`, now],
  730: (now) => [shifted(now, -729), now],
};

/** The spans that suit a period: hours of a day, months beyond 92 days. */
export function spanFor(first, last) {
  const days = daysBetween(first, last) + 1;
  return days === 1 ? "hour" : days <= 92 ? "day" : "month";
}

/** The spans that a period may be broken down by. */
export function spansFor(first, last) {
  const days = daysBetween(first, last) + 1;
  return days === 1 ? ["hour"] : ["day", ...(days > 7 ? ["week"] : []), ...(days > 31 ? ["month"] : [])];
}

/**
 * Up to which local hour the days [start, end] are compared with a period from `first` that ends
 * today: as much of them as has passed of it by `now`, a local time, to the nearest hour. Null where
 * they are compared whole.
 */
export function cutOf(first, [start, end], now) {
  const day = shifted(start, daysBetween(first, now.slice(0, 10)));
  const hour = Number(now.slice(11, 13)) + (Number(now.slice(14, 16)) >= 30 ? 1 : 0);
  return day === end && hour < 24 ? `${day}T${String(hour).padStart(2, "0")}:00:00` : null;
}

/** The period that [first, last] is compared with; null where it would begin before there is anything. */
export function comparedWith(kind, first, last) {
  const days = daysBetween(first, last) + 1;
  const found = {
    previous: () => {
      // Whole months, and a month so far, are compared with months: 30 days are not 31.
      if (first === monthStart(first) && (last === monthEnd(last) || first.slice(0, 7) === last.slice(0, 7))) {
        const months = (Number(last.slice(0, 4)) - Number(first.slice(0, 4))) * 12 + Number(last.slice(5, 7)) - Number(first.slice(5, 7)) + 1;
        const end = monthsLater(last, -months);
        return [monthsLater(first, -months), last === monthEnd(last) ? monthEnd(end) : end];
      }
      return [shifted(first, -days), shifted(first, -1)];
    },
    weekdays: () => {
      const back = Math.ceil(days / 7) * 7;
      return [shifted(first, -back), shifted(last, -back)];
    },
    year: () => [monthsLater(first, -12), monthsLater(last, -12)],
  }[kind]?.();
  return found && found[0] >= "2000-01-01" ? found : null;
}
