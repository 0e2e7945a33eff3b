// An earlier period as far as one that has not ended goes: to the same hour of the same of its days.

import { below, get } from "./api.js";
import { cutOf } from "./days.js";
import { instantOf, wallTime } from "./format.js";

const { account, timezone } = document.body.dataset;

/** The local hour up to which the days `other` are compared with the period from `first`; null: whole. */
export const cutNow = (first, other) => other && cutOf(first, other, wallTime(new Date(), timezone));

/**
 * What the figures are compared with: `before`, the answer of the days `other`, without what came
 * after the local hour `cut`. Of the counters the hours of one day are left out; maxima are of hours.
 */
export async function soFar(before, [first, last], cut, { flow, signal }) {
  const day = cut.slice(0, 10);
  const [hours, report] = await Promise.all([
    get(below(account, "/dashboard", { from: day, to: day, by: "hour", flow }), signal),
    get(below(account, "/report", { from: first, to: last, as_of: instantOf(cut, timezone) }), signal),
  ]);
  /** The totals of a part, less what came later in the day. */
  const less = (part, name) => {
    const { total } = before[part];
    const late = hours[part].days.filter(({ begins }) => begins.slice(0, 16) >= cut.slice(0, 16));
    return { ...before[part], total: { ...total, [name]: total[name] === null ? null : late.reduce((left, each) => left - each[name], total[name]) } };
  };
  return { ...before, usage: less("usage", "begun"), resolution: less("resolution", "turned"), report: { ...before.report, concurrency: report.concurrency } };
}
