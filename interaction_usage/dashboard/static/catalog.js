// What the server says of series, applications, services and sections: labels, order, colours.

const read = JSON.parse(document.body.dataset.catalog);
const numbered = (rows) => rows.map((row, pattern) => ({ ...row, pattern }));

export const { turnedTo, sections } = read;
export const [series, applications, outcomes, services] = [read.series, read.applications, read.outcomes, read.services].map(numbered);

const byId = (rows) => Object.fromEntries(rows.map((row) => [row.id, row]));

/** Each by its id: its label, its colour and pattern, and the applications that a series is made of. */
export const SERIES = byId(series);
export const APPLICATIONS = byId(applications);
export const SERVICES = byId(services);
