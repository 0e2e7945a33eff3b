// What the numbers of a report are called, by their places in its JSON document.

const labels = JSON.parse(document.body.dataset.labels);

/** `Interaction Flows Run: Total` for `flow_runs.total`; the place itself where it has no name. */
export const billed = (path) => labels[path] ?? path;

/** The rows of a report that are on a bill: [name, value] in its order. */
export function billedRows(report) {
  const valueAt = (path) => path.split(".").reduce((members, name) => members?.[name], report);
  return Object.keys(labels)
    .map((path) => [billed(path), valueAt(path)])
    .filter(([, value]) => value !== undefined);
}
