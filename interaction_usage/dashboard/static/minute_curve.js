// The curve of one hour, a bar for each minute, with the minute of the maximum marked.

import { clock, count, several } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 160;

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The highest level of each minute; `token` is the colour of the curve. */
export function minuteCurve({ curve: { begins, minutes }, at, max }, token) {
  const top = Math.max(...minutes, 1);
  const start = Date.parse(begins);
  const marked = Math.floor((Date.parse(at) - start) / 60000);
  // The wall clock of the account: its offset stands in the text, and does not change in an hour.
  const local = Date.parse(`${begins.slice(0, 19)}Z`);
  const time = (minute) => new Date(local + minute * 60000).toISOString().slice(11, 16);
  const bars = minutes.map((level, minute) => {
    const height = (level / top) * HEIGHT;
    const title = drawn("title", {}, `${time(minute)}: at most ${several(level, "session")}`);
    return drawn(
      "rect",
      { x: minute * 10 + 1, y: HEIGHT - height, width: 8, height, rx: 1, class: minute === marked ? "marked" : "" },
      title,
    );
  });
  const label = `The highest level of each minute from ${time(0)} to ${time(minutes.length)}; ${count(max)} at ${clock(at, true)}`;
  const picture = drawn("svg", { viewBox: `0 0 ${minutes.length * 10} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...bars);
  const made = document.createElement("figure");
  made.className = "minutes";
  made.style.setProperty("--curve", `var(${token})`);
  made.style.setProperty("--at", `${((marked + 0.5) / minutes.length) * 100}%`);
  const axis = document.createElement("figcaption");
  for (const text of [time(0), `▲ ${count(max)} at ${clock(at, true)}`, time(minutes.length)]) {
    const mark = document.createElement("span");
    mark.textContent = text;
    axis.append(mark);
  }
  made.append(picture, axis);
  return made;
}
