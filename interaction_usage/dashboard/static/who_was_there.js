// The way from an hour of a curve to the sessions behind it.

import { series } from "./catalog.js";
import { period } from "./period.js";

/** The address of the page that shows who was there in an hour of a series. */
export function whoWasThere(hour, chosen = series[0].id) {
  const { account } = document.body.dataset;
  const query = new URLSearchParams({ ...period(), series: chosen, hour });
  return `/accounts/${encodeURIComponent(account)}/evidence?${query}`;
}
