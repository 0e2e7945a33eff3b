// The page of an account without events: puts the time into its example, and waits for the first.

import { below, get } from "./api.js";

const { account } = document.body.dataset;
document.querySelector("#first-time").textContent = `${new Date().toISOString().slice(0, 19)}Z`;

setInterval(async () => {
  try {
    if ((await get(below(account))).counted) location.reload();
  } catch {
    // It does not exist yet, or the server is away; the next look comes.
  }
}, 3000);
