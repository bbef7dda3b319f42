// The page of one run.

import { ask, byId, show } from "./dom.js";
import { follow } from "./live.js";
import * as charts from "./charts.js";
import * as state from "./state.js";

const run = document.querySelector("main").dataset.run;
const PAUSE_MS = 80;

function mountCharts() {
  const tools = byId("tools");
  if (!tools) return;
  tools.replaceChildren(...charts.tools());
  for (const place of document.querySelectorAll(".chart")) charts.mount(place, place.dataset.metric, () => ({ runs: run }));
  state.on(charts.VIEW, () => {
    tools.querySelector("[data-tool=reset]").hidden = !state.get("range");
    charts.refresh();
  });
}

function mountMedia(place) {
  const slider = place.querySelector("input[type=range]");
  const told = place.querySelector("output");
  const shown = place.querySelector(".shown");
  const load = async () => {
    shown.setAttribute("aria-busy", "true");
    const step = slider ? slider.dataset.steps.split(" ")[Number(slider.value)] : "";
    try {
      const answer = await ask(place, `/run/${run}/media`, { name: place.dataset.media, step });
      if (!answer) return;
      show(shown, answer.html);
      told.textContent = `step ${answer.step}`;
    } catch (error) {
      shown.textContent = error.message;
    }
    shown.setAttribute("aria-busy", "false");
  };
  let moving;
  slider?.addEventListener("input", () => {
    clearTimeout(moving);
    moving = setTimeout(load, PAUSE_MS);
  });
  load();
}

mountCharts();
document.querySelectorAll(".media").forEach(mountMedia);
follow((changed) => { if (!changed || changed.includes(run)) charts.refresh(); });
