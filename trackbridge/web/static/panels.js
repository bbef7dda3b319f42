// The panels below the table, one at a time.

import { ask, byId, make, show } from "./dom.js";
import { choice, menu, tick } from "./controls.js";
import * as charts from "./charts.js";
import * as state from "./state.js";
import * as table from "./table.js";

const tools = byId("tools");
const shown = byId("shown");
const panel = byId("panel");
const tabs = [...document.querySelectorAll("[role=tab]")];

const runs = () => ({ runs: table.picked.join(","), ...state.pick("pinned", "group") });

// Which parameters each panel depends on, besides the runs.
const PANELS = {
  curves: { uses: [...charts.VIEW, "metrics"], open: curves },
  comparison: { uses: ["at"], open: () => fromServer("comparison", ["at"], comparisonTools) },
  differences: { uses: ["volatile"], open: () => fromServer("differences", ["volatile"], differenceTools) },
  seeds: { uses: ["at"], open: () => fromServer("seeds", ["at"], comparisonTools) },
  importance: { uses: ["y", "where"], open: () => fromServer("importance", ["y", "where"], scoreTools) },
  parallel: { uses: ["y", "where"], open: () => fromServer("parallel", ["y", "where"], scoreTools) },
  scatter: { uses: ["x", "y", "where", "group"], open: () => fromServer("scatter", ["x", "y", "where"], scatterTools) },
};

const current = () => (state.get("panel") in PANELS ? state.get("panel") : "curves");

export function start() {
  for (const tab of tabs) {
    tab.addEventListener("click", () => state.set({ panel: tab.dataset.panel === "curves" ? null : tab.dataset.panel }, { step: true }));
    tab.addEventListener("keydown", switched);
  }
  state.on(["panel"], () => { tools.replaceChildren(); shown.replaceChildren(); refresh(); });
  for (const [name, { uses }] of Object.entries(PANELS)) {
    state.on(uses, () => { if (current() === name) refresh(); });
  }
}

export function refresh() {
  for (const tab of tabs) {
    const isCurrent = tab.dataset.panel === current();
    tab.setAttribute("aria-selected", isCurrent);
    tab.tabIndex = isCurrent ? 0 : -1;
    if (isCurrent) panel.setAttribute("aria-labelledby", tab.id);
  }
  PANELS[current()].open();
}

function switched(event) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const next = tabs[(tabs.indexOf(event.target) + by + tabs.length) % tabs.length];
  next.focus();
  next.click();
}

function curves() {
  const known = table.newest()?.metrics ?? [];
  const wanted = state.has("metrics") ? state.list("metrics") : table.newest()?.charts ?? [];
  const metrics = wanted.filter((name) => known.includes(name));
  const places = [...shown.querySelectorAll(".chart")];
  if (String(places.map((place) => place.dataset.metric)) !== String(metrics) || !places.length) {
    const made = metrics.map((metric) => make("div", { class: "chart", "data-metric": metric }));
    shown.replaceChildren(make("div", { class: "charts" }, ...made));
    made.forEach((place) => charts.mount(place, place.dataset.metric, runs));
    if (!metrics.length) shown.replaceChildren(make("p", { class: "muted" }, "No metric to draw: pick one above."));
  }
  if (!keepsTools(known)) {
    const change = (names) => state.set({ metrics: state.joined(names) });
    tools.replaceChildren(menu("Metrics", known, metrics, change), ...charts.tools());
  }
  const reset = tools.querySelector("[data-tool=reset]");
  if (reset) reset.hidden = !state.get("range");
  charts.refresh();
}

// Controls are made once for a panel, so that a slider that is being dragged stays.
function keepsTools(names) {
  const made = JSON.stringify([current(), names]);
  const isSame = tools.dataset.made === made && tools.childElementCount > 0;
  tools.dataset.made = made;
  return isSame;
}

async function fromServer(name, uses, makeTools) {
  panel.setAttribute("aria-busy", "true");
  try {
    const query = { ...runs(), ...state.pick(...uses), width: shown.clientWidth };
    const answer = await ask("panel", `/data/${name}`, query);
    if (!answer || current() !== name) return;
    if (!keepsTools([answer.metrics, answer.parameters])) tools.replaceChildren(...makeTools(answer));
    show(shown, answer.html);

    if (answer.words) shown.append(make("p", { class: "muted" }, answer.words));
  } catch (error) {
    shown.replaceChildren(make("p", { class: "bad", role: "alert" }, error.message));
  }
  panel.setAttribute("aria-busy", "false");
}

const named = (names) => names.map((name) => [name, name]);

function comparisonTools() {
  const points = [["best", "at its best"], ["last", "at its end"], ["common", "at the last common step"]];
  return [choice("each run", "at", points, "best")];
}

const differenceTools = () => [tick("also what says nothing about the training", "volatile", "show")];
const scoreTools = (answer) => [choice("score", "y", named(answer.metrics), answer.y)];
const scatterTools = (answer) => [
  choice("across", "x", named(answer.parameters), answer.x),
  choice("up", "y", named(answer.metrics), answer.y),
];
