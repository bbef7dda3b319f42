// Listens for runs that change, and says whether the server is still there.

import { byId } from "./dom.js";

// Calls back with the ids of the runs that changed; with null after a pause, when anything may have changed.
export function follow(changed) {
  const sign = byId("live");
  let source = null;
  let wasOpen = false;
  const listen = () => {
    source?.close();
    source = new EventSource("/data/changes");
    source.addEventListener("open", () => {
      say(sign, "live", "good");
      if (wasOpen) changed(null);
      wasOpen = true;
    });
    source.addEventListener("error", () => say(sign, "not connected", "bad"));
    source.addEventListener("changed", (event) => changed(JSON.parse(event.data).runs));
  };
  // A browser opens six connections to a server at most, over all of its tabs: those out of sight need none.
  document.addEventListener("visibilitychange", () => (document.hidden ? source.close() : listen()));
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  listen();
}

function say(sign, words, tone) {
  sign.textContent = words;
  sign.className = `live ${tone}`;
}
