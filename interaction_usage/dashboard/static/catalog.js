// What the server says of series, applications, services and sections: labels, order, colours.

const { series, applications, outcomes, services, turnedTo, sections } = JSON.parse(document.body.dataset.catalog);

export { applications, outcomes, sections, series, services, turnedTo };

const byId = (rows) => Object.fromEntries(rows.map((row) => [row.id, row]));

/** Each by its id: its label, its colour, and the applications that a series is made of. */
export const SERIES = byId(series);
export const APPLICATIONS = byId(applications);
export const SERVICES = byId(services);
