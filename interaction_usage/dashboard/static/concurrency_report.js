// The concurrency card: most sessions per day of the series that is chosen, and hour by day.

import { draw, legend } from "./cards.js";
import { SERIES, series } from "./catalog.js";
import { heatmap } from "./charts.js";
import { average, clock, count, dayInWords, element, hourInWords, instantOf, table } from "./format.js";
import { period } from "./period.js";

const $ = (selector) => document.querySelector(selector);

const { account, timezone } = document.body.dataset;
let chosen = series[0].id;

/** The address of the page that shows who was there in an hour of the chosen series. */
function whoWasThere(hour) {
  const query = new URLSearchParams({ ...period(), series: chosen, hour });
  return `/accounts/${encodeURIComponent(account)}/evidence?${query}`;
}
let lastConcurrency;

for (const { id: name, button: label } of series) {
  const button = element("button", { type: "button", "data-name": name, "aria-pressed": String(name === chosen) }, label);
  button.addEventListener("click", () => {
    chosen = name;
    for (const each of $("#series").children) each.setAttribute("aria-pressed", String(each === button));
    if (lastConcurrency) concurrency(lastConcurrency);
  });
  $("#series").append(button);
}

export function concurrency(answer) {
  lastConcurrency = answer;
  const card = $("#concurrency");
  const curve = answer.series[chosen];
  const { color: token, label: name } = SERIES[chosen];
  legend(card, [
    { label: "Maximum", token, value: count(curve.max) },
    { label: "Average", token: "--ink-2", value: average(curve.average) },
    { label: "Busiest hour", value: curve.busiest_hour ? hourInWords(curve.busiest_hour) : "–", href: curve.busiest_hour && whoWasThere(curve.busiest_hour) },
    { label: "Hours with sessions", value: count(curve.reported_hours) },
  ]);
  draw(card, curve.max, "No session in this period", "Try another series, or other days.", {
    label: `${name}, most sessions per day, at most ${count(curve.max)}`,
    days: curve.days.map(({ day }) => day),
    layers: [{ token, values: curve.days.map(({ max }) => max) }],
    line: { token: "--ink-2", values: curve.days.map((each) => (each.max ? each.average : null)) },
    pick: (index) => curve.days[index].hour && location.assign(whoWasThere(curve.days[index].hour)),
    rows: (index) => {
      const day = curve.days[index];
      return [
        { label: "Maximum", token, value: count(day.max) },
        { label: "in the hour of", value: day.hour ? clock(day.hour) : "–" },
        { label: "Average", token: "--ink-2", value: average(day.average) },
      ];
    },
  });
  heatmap($("#heatmap"), { days: answer.heat.days, peaks: answer.heat.peaks[chosen], token, scale: $("#heat-scale"),
    pick: (day, hour) => location.assign(whoWasThere(instantOf(`${answer.heat.days[day]}T${String(hour).padStart(2, "0")}:00:00`, timezone))),
  });
  const names = series.map(({ id }) => id);
  const cells = ({ max, average: mean, hour }) => [count(max), hour ? clock(hour) : "–", average(mean)];
  const head = element(
    "thead",
    {},
    element("tr", {}, element("th", { scope: "col" }, "Day"), ...names.flatMap((each) => ["", " hour", " average"].map((tail) => element("th", { scope: "col" }, `${SERIES[each].label}${tail}`)))),
  );
  const made = table(
    [],
    answer.heat.days.map((day, index) => [dayInWords(day), ...names.flatMap((each) => cells(answer.series[each].days[index]))]),
    ["Whole period", ...names.flatMap((each) => {
      const { max, average: mean, busiest_hour: hour } = answer.series[each];
      return [count(max), hour ? hourInWords(hour) : "–", average(mean)];
    })],
  );
  made.replaceChild(head, made.tHead);
  card.querySelector("[data-as-table]").replaceChildren(made);
}
