// The way to the API: JSON in, JSON out, and what went wrong as an error with a sentence.

export class Problem extends Error {
  /** @param {number} status @param {string} sentence @param {Record<string, string>} fields */
  constructor(status, sentence, fields = {}) {
    super(sentence);
    this.status = status;
    this.fields = fields;
  }
}

const formKey = document.querySelector('meta[name="form-key"]')?.content ?? "";

export async function get(path, signal) {
  return answer(await reach(path, { signal }));
}

/** One page of the accounts that have a text in their name, id or zone, and how many there are. */
export async function accounts(search, { limit = 100, cursor = "", sort = "id" } = {}) {
  const response = await reach(`/api/accounts?${new URLSearchParams({ search, cursor, limit, sort })}`, {});
  const found = await answer(response);
  return { found, total: Number(response.headers.get("X-Total-Count")) };
}

export async function put(path, body) {
  const headers = { "Content-Type": "application/json", "X-Form-Key": formKey };
  return answer(await reach(path, { method: "PUT", headers, body: JSON.stringify(body) }));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Form-Key": formKey };
  return answer(await reach(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

export async function remove(path) {
  return answer(await reach(path, { method: "DELETE", headers: { "X-Form-Key": formKey } }));
}

/** How often a busy server is asked again, and for how long it may want to be left alone, in s. */
const TRIES = 3;
const MOST_WAIT = 5;

async function reach(path, options) {
  try {
    for (let tries = 1; ; tries += 1) {
      const response = await fetch(path, options);
      const wait = Number(response.headers.get("Retry-After"));
      const busy = (response.status === 429 || response.status === 503) && wait > 0 && wait <= MOST_WAIT;
      if (!busy || tries === TRIES) return response;
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer. It may be restarting.");
  }
}

/** To the login page, and back here with all that is in the address. */
export function toLogin() {
  location.assign(`/login?${new URLSearchParams({ next: location.pathname + location.search })}`);
}

async function answer(response) {
  if (response.status === 401) toLogin();
  const data = await response.json().catch(() => null);
  if (response.ok) return data;
  if (!Array.isArray(data?.detail)) {
    throw new Problem(response.status, data?.detail ?? `The server failed (${response.status}).`);
  }
  const fields = {};
  for (const each of data.detail) fields[each.loc.at(-1)] = sentence(each.msg);
  throw new Problem(response.status, Object.values(fields).join(" "), fields);
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** The address of something below an account. */
export function below(account, path = "", query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const tail = given.length ? `?${new URLSearchParams(given)}` : "";
  return `/api/accounts/${encodeURIComponent(account)}${path}${tail}`;
}
