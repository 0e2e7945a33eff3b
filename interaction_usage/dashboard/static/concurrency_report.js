// The concurrency card: most sessions of the series that is chosen, and hour of the day by span.

import { comparing, draw, keepTable, legend } from "./cards.js";
import { SERIES, series } from "./catalog.js";
import { common, heading, rowsOf } from "./flow_reports.js";
import { average, spanInWords, clock, count, element, hourInWords, instantOf, table } from "./format.js";
import { heatmap } from "./heatmap.js";
import { whoWasThere } from "./who_was_there.js";

const $ = (selector) => document.querySelector(selector);
const { timezone } = document.body.dataset;

/** Shows the buttons that choose a series; a click is `choose(id)`. */
export function seriesButtons(choose) {
  for (const { id, button: label } of series) {
    const button = element("button", { type: "button", "data-name": id }, label);
    button.addEventListener("click", () => choose(id));
    $("#series").append(button);
  }
}

/** A local hour as its day needs it: with the date, where the span has several days. */
const when = (hour, { by }) => (by === "week" || by === "month" ? hourInWords(hour) : clock(hour));

export function concurrency(answer, before, view, chosen) {
  for (const each of $("#series").children) each.setAttribute("aria-pressed", String(each.dataset.name === chosen));
  const card = $("#concurrency");
  const curve = answer.series[chosen];
  const earlier = before?.series[chosen];
  const { color: token, label: name } = SERIES[chosen];
  legend(card, [
    { label: "Maximum", token, value: count(curve.max) },
    { label: "Average", token: "--ink-2", value: average(curve.average) },
    { label: "Busiest hour", value: curve.busiest_hour ? hourInWords(curve.busiest_hour) : "–", href: curve.busiest_hour && whoWasThere(curve.busiest_hour, chosen) },
    { label: "Hours with sessions", value: count(curve.reported_hours) },
  ]);
  draw(card, curve.max, "No session in this period", "Try another series, or other days.", {
    ...common(view, earlier?.days.map(({ max }) => max)),
    label: `${name}, most sessions per ${view.by}, at most ${count(curve.max)}`,
    layers: [{ token, values: curve.days.map(({ max }) => max) }],
    line: view.by === "hour" ? null : { token: "--ink-2", values: curve.days.map((each) => (each.max ? each.average : null)) },
    rows: (index) => {
      const each = curve.days[index];
      return [
        { label: "Maximum", token, value: count(each.max), before: earlier?.days[index] && count(earlier.days[index].max) },
        ...(view.by === "hour" ? [] : [
          { label: "in the hour of", value: each.hour ? when(each.hour, view) : "–" },
          { label: "Average", token: "--ink-2", value: average(each.average), before: earlier?.days[index] && average(earlier.days[index].average) },
        ]),
      ];
    },
  });
  if (view.by !== "hour") {
    heatmap($("#heatmap"), {
      spans: view.spans, by: view.by, peaks: answer.heat.peaks[chosen], token, scale: $("#heat-scale"),
      title: (index) => spanInWords(view.spans[index]),
      pick: (index, hour) => location.assign(whoWasThere(instantOf(`${view.spans[index].day}T${String(hour).padStart(2, "0")}:00:00`, timezone), chosen)),
    });
  }
  keepTable(card, () => asTable(answer, before, view));
}

/** All series side by side: the maximum, its hour, the average; and the maximum before. */
function asTable(answer, before, view) {
  const names = series.map(({ id }) => id);
  const { cells, head } = comparing(before);
  const row = ({ max, average: mean }, hour, then) => [count(max), hour, average(mean), ...cells(max, then?.max)];
  const columns = names.flatMap((each) => {
    const { label } = SERIES[each];
    return [label, `${label} hour`, `${label} average`, ...head(label)];
  });
  const rows = rowsOf(view, (index) => names.flatMap((each) => {
    const span = answer.series[each].days[index];
    return row(span, span.hour ? when(span.hour, view) : "–", before?.series[each].days[index]);
  }));
  const whole = names.flatMap((each) => row(answer.series[each], answer.series[each].busiest_hour ? hourInWords(answer.series[each].busiest_hour) : "–", before?.series[each]));
  return table([heading(view), ...columns], rows, ["Whole period", ...whole]);
}
