// The Account Information page: shows the settings, saves them, says beside the field what is wrong.

import { below, get, put } from "./api.js";
import { combobox } from "./combobox.js";
import { SERIES, duration, element, offset } from "./words.js";

const { account } = document.body.dataset;
const form = document.querySelector("#information");
const saved = document.querySelector("#saved");
const field = (name) => form.elements[name];

let zones;
const zone = combobox(document.querySelector("#timezone-combo"), {
  options: async () => {
    zones ??= get("/api/timezones");
    return (await zones).map(({ name, offset: seconds }) => ({ value: name, label: name, note: offset(seconds) }));
  },
  chosen: () => tell({}),
  free: true,
});

function show(told) {
  field("name").value = told.name;
  zone.set(told.timezone);
  field("dnis").checked = told.dnis;
  field("sms").checked = told.sms;
  document.querySelector("#limits").replaceChildren(
    ...Object.entries(told.session_limits).map(([name, seconds]) => element("div", {}, element("dt", {}, SERIES[name]), element("dd", {}, duration(seconds)))),
  );
}

function tell(fields) {
  for (const name of ["name", "timezone"]) {
    document.querySelector(`#${name}-error`).textContent = fields[name] ?? "";
    if (fields[name]) field(name).setAttribute("aria-invalid", "true");
    else field(name).removeAttribute("aria-invalid");
  }
  const first = ["name", "timezone"].find((name) => fields[name]);
  if (first) field(first).focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  saved.textContent = "Saving …";
  saved.className = "muted";
  document.querySelector("#save").disabled = true;
  try {
    show(
      await put(below(account), {
        name: field("name").value,
        timezone: field("timezone").value,
        dnis: field("dnis").checked,
        sms: field("sms").checked,
      }),
    );
    tell({});
    saved.textContent = "Saved";
  } catch (problem) {
    tell(problem.fields);
    saved.textContent = Object.keys(problem.fields).length ? "Not saved" : problem.message;
    saved.className = "error";
  }
  document.querySelector("#save").disabled = false;
});

try {
  show(await get(below(account)));
} catch (problem) {
  saved.textContent = problem.message;
  saved.className = "error";
}
form.setAttribute("aria-busy", "false");
