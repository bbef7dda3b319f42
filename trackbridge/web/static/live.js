// Listens for runs that change, and says whether the server is still there.

import { byId } from "./dom.js";

// Calls back with the ids of the runs that changed.
export function follow(changed) {
  const sign = byId("live");
  const source = new EventSource("/data/changes");
  source.addEventListener("open", () => say(sign, "live", "good"));
  source.addEventListener("error", () => say(sign, "not connected", "bad"));
  source.addEventListener("changed", (event) => changed(JSON.parse(event.data).runs));
  // A page that is left open in another tab need not hold a connection while it is put away.
  addEventListener("pagehide", () => source.close());
}

function say(sign, words, tone) {
  sign.textContent = words;
  sign.className = `live ${tone}`;
}
