// The page of refused events, of an account or of all: by cause with how to fix it, by id, each
// with its bytes; operators replay a cause after a question.

import { below, get, post } from "./api.js";
import { callout, count, element, empty, moment, several } from "./format.js";

const { account } = document.body.dataset;
const mayReplay = "mayReplay" in document.body.dataset;
const $ = (name) => document.querySelector(`#${name}`);
const at = (path = "", query = {}) => {
  if (account) return below(account, `/refused-events${path}`, query);
  const given = Object.entries(query).filter(([, value]) => value);
  return `/api/refused-events${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
};
const bdi = (text) => element("bdi", {}, text);

function facts(rows) {
  return element("dl", { class: "facts" }, ...rows.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, typeof value === "string" ? bdi(value) : value))));
}

function state(record) {
  const again = record.replays ? `, replayed ${record.replays === 1 ? "once" : `${record.replays} times`}` : "";
  return record.is_open ? `Not counted${again}` : "Replayed and not refused since: it is counted, or will be";
}

/** What a record says of its event, and a button for its bytes. */
function about(record) {
  const bytes = element("div", {});
  const show = element("button", { class: "button small", type: "button" }, "Show the record", element("span", { class: "sr" }, ` ${record.origin}`));
  show.addEventListener("click", async () => {
    show.disabled = true;
    try {
      const found = await get(at("/record", { origin: record.origin }));
      bytes.replaceChildren(...content(found));
      show.hidden = true;
    } catch (problem) {
      bytes.replaceChildren(callout(problem.message));
      show.disabled = false;
    }
  });
  return [
    facts([
      ["Id", record.id],
      ["Source", record.source],
      ["Type", record.type],
      ["Time", record.time],
      ["Account", account ? null : record.account],
      ["Place in Kafka", element("code", {}, record.origin)],
      ["Refused", `${moment(record.refused_at)} UTC`],
      ["Missing", record.left_out],
    ]),
    show,
    bytes,
  ];
}

function content({ key, headers, value, is_cut: isCut }) {
  const pieces = [];
  if (key !== null) pieces.push(facts([["Key", key]]));
  if (headers.length) pieces.push(facts(headers.map(([name, text]) => [name, text ?? "null"])));
  pieces.push(value === null ? element("p", { class: "muted" }, "The value is not shown here.") : element("pre", { tabindex: "0", "aria-label": "Value", role: "region" }, pretty(value)));
  if (isCut) pieces.push(element("p", { class: "muted" }, "Only the beginning is shown; usage dead-letters show has all of it."));
  return pieces;
}

/** JSON with a line for each member; anything else as it is. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2) || text;
  } catch {
    return text || "(empty)";
  }
}

function cause(group) {
  const details = element("details", { class: "cause" });
  const accounts = account || !group.accounts.length ? "" : ` · ${group.accounts.join(", ")}${group.accounts.length >= 5 ? " and others" : ""}`;
  const body = element("div", { class: "details" });
  const actions = element("div", { class: "row-actions" });
  if (mayReplay) {
    const replay = element("button", { class: "button small", type: "button" }, `Replay ${several(group.records, "record")} …`);
    replay.addEventListener("click", () => ask(group));
    actions.append(replay);
  }
  details.append(
    element("summary", {},
      element("b", { class: "many" }, `${count(group.records)}×`),
      element("span", { class: "what" }, bdi(group.cause), element("small", {}, element("code", {}, group.reason), ` · last ${moment(group.last_at)} UTC`, bdi(accounts))),
    ),
    body,
  );
  body.append(
    element("p", {}, element("b", {}, "What it means: "), group.means),
    element("p", {}, element("b", {}, "How to fix it: "), group.to_do),
    element("h3", {}, group.records === 1 ? "The record" : "The newest of them"),
    ...(group.sample.sentence === group.cause ? [] : [element("p", {}, bdi(group.sample.sentence))]),
    ...about(group.sample),
    actions,
  );
  return details;
}

function show(found) {
  const older = found.is_complete ? "" : " Only the newest are counted here; usage dead-letters list reads all.";
  const again = found.replayed ? ` ${several(found.replayed, "record")} replayed and not refused since.` : "";
  $("count").textContent = found.total ? `${several(found.total, "record")} not counted, ${several(found.groups.length, "cause")}.${again}${older}` : `${again}${older}`.trim() || "\u00a0";
  $("causes").replaceChildren(
    ...(found.groups.length ? found.groups.map(cause) : [empty("Nothing is refused", "Every event that arrived and is not counted would be here, with the reason.")]),
  );
  $("causes").setAttribute("aria-busy", "false");
}

function showFound(wanted, records) {
  $("found").hidden = !wanted;
  if (!wanted) return;
  $("found").replaceChildren(
    ...(records.length
      ? records.map((record) =>
          element("article", { class: "record" },
            element("h2", {}, element("code", {}, record.reason), " · ", bdi(record.sentence)),
            element("p", {}, element("b", {}, `${state(record)}. `), record.is_open ? record.to_do : ""),
            ...about(record),
          ))
      : [empty(`No refused event has the id "${wanted}"`, "If it was sent, it is counted, or on its way. Ids are compared character by character.")]),
  );
}

async function load() {
  const wanted = $("id").value.trim();
  try {
    const found = await get(at("", { id: wanted }));
    $("problem").replaceChildren();
    show(found);
    showFound(wanted, found.found);
  } catch (problem) {
    $("problem").replaceChildren(callout(problem.message));
    $("causes").setAttribute("aria-busy", "false");
  }
}

$("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = $("id").value.trim();
  history.pushState(null, "", wanted ? `?${new URLSearchParams({ id: wanted })}` : location.pathname);
  await load();
});

function fromAddress() {
  $("id").value = new URLSearchParams(location.search).get("id") ?? "";
  return load();
}
window.addEventListener("popstate", fromAddress);

// --------------------------------------------------------------------------------- replay

let asked = null;

function ask(group) {
  asked = group;
  $("confirm-what").replaceChildren(
    `${several(group.records, "record")}${account ? ` of ${account}` : ""} refused as ${group.reason}: `, bdi(group.cause),
    ". Each is published again, unchanged, to the topic it came from. An event counts once, however often it is published; what is still wrong is refused again.",
  );
  $("confirm-error").textContent = "";
  $("confirm").showModal();
}

$("cancel")?.addEventListener("click", () => $("confirm").close());
$("replay")?.addEventListener("click", async () => {
  $("replay").disabled = true;
  $("confirm-error").textContent = "";
  try {
    const done = await post("/api/refused-events/replay", { reason: asked.reason, cause: asked.cause, account: account ?? null });
    $("confirm").close();
    await load();
    $("problem").replaceChildren(
      callout(`${several(done.replayed, "record")} replayed. What is refused again is listed again within seconds.`, "good"),
      ...done.problems.map((each) => callout(each)),
    );
  } catch (problem) {
    $("confirm-error").textContent = problem.message;
  }
  $("replay").disabled = false;
});

await fromAddress();
