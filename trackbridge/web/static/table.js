// The run table. The server makes the rows; only those near the visible ones are in the page, however many there are.

import { ask, byId, make, show } from "./dom.js";
import * as state from "./state.js";

const PARAMETERS = ["where", "sort", "columns", "constant", "group", "unfolded", "pinned", "runs"];
const ROWS_AROUND = 30;
const HEAD_AND_BAR_PX = 64;

const place = byId("table");
const [columns, head, body] = ["colgroup", "thead", "tbody"].map((name) => place.querySelector(name));
let loaded = { from: 0, to: 0, total: 0 };
let latest = null;

// The ids of the picked runs, each at the place of its colour; "" where one was taken out.
export let picked = [];
export const newest = () => latest;

export function start(afterLoading) {
  state.on(["where", "sort", "group"], () => { place.scrollTop = 0; });
  state.on(PARAMETERS, () => load(afterLoading));
  place.addEventListener("scroll", () => scrolled(afterLoading), { passive: true });
  place.addEventListener("click", clicked);
  place.addEventListener("change", ticked);
  place.addEventListener("keydown", moved);
  new ResizeObserver(() => scrolled(afterLoading)).observe(place);
  return load(afterLoading);
}

export async function load(afterLoading) {
  const height = rowHeight();
  const first = Math.max(0, Math.floor(place.scrollTop / height) - ROWS_AROUND);
  const limit = Math.ceil(place.clientHeight / height) + 2 * ROWS_AROUND;
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await ask("table", "/data/runs", { ...state.pick(...PARAMETERS), offset: first, limit });
    if (!answer) return;
    complain("");
    draw(answer, height);
    place.setAttribute("aria-busy", "false");
    afterLoading(answer);
  } catch (error) {
    complain(error.message);
    place.setAttribute("aria-busy", "false");
  }
}

function draw(answer, height) {
  latest = answer;
  picked = answer.picked;
  if (columns.dataset.widths !== String(answer.widths)) {
    columns.dataset.widths = String(answer.widths);
    columns.replaceChildren(...answer.widths.map((width) => make("col", { class: width })));
  }
  show(head, answer.head);
  show(body, answer.body);
  loaded = { from: answer.offset, to: Math.min(answer.n_rows, answer.offset + body.rows.length), total: answer.n_rows };
  body.prepend(spacer(answer.offset * height));
  body.append(spacer((answer.n_rows - loaded.to) * height));
  // A short table is no taller than its rows.
  place.style.maxHeight = `${Math.max(1, answer.n_rows) * height + HEAD_AND_BAR_PX}px`;
  place.querySelector("table").setAttribute("aria-rowcount", answer.n_rows + 1);
  const matching = answer.n_matching === answer.n_runs ? "" : `${answer.n_matching} of `;
  byId("count").textContent = `${matching}${answer.n_runs} ${answer.n_runs === 1 ? "run" : "runs"}`;
}

function spacer(height) {
  const row = make("tr", { class: "spacer", "aria-hidden": "true" }, make("td", { colspan: 2 }));
  row.style.height = `${Math.max(0, height)}px`;
  return row;
}

function scrolled(afterLoading) {
  const height = rowHeight();
  const first = Math.floor(place.scrollTop / height);
  const last = Math.min(loaded.total, first + Math.ceil(place.clientHeight / height));
  if (first < loaded.from || last > loaded.to) load(afterLoading);
}

function rowHeight() {
  return parseFloat(getComputedStyle(place).getPropertyValue("--row"));
}

function clicked(event) {
  const button = event.target.closest("button");
  if (!button) return;
  const { sort, pin, fold } = button.dataset;
  if (sort) state.set({ sort });
  if (pin) state.set({ pinned: toggled(state.list("pinned"), pin) });
  if (fold) state.set({ unfolded: toggled(state.list("unfolded"), fold) });
}

function toggled(names, name) {
  const others = names.filter((one) => one !== name);
  return (others.length < names.length ? others : [...names, name]).join(",") || null;
}

function ticked(event) {
  const { all, pick } = event.target.dataset;
  if (all) state.set({ runs: event.target.checked ? null : "" });
  if (!pick) return;
  const ids = pick.split(",");
  const kept = picked.map((id) => (ids.includes(id) ? "" : id));
  // A run that comes takes the first free place, so that the others keep their colours.
  for (const id of event.target.checked ? ids : []) {
    const before = picked.indexOf(id);
    const free = before >= 0 ? before : kept.indexOf("");
    kept[free >= 0 ? free : kept.length] = id;
  }
  while (kept.length && !kept.at(-1)) kept.pop();
  picked = kept;
  state.set({ runs: kept.join(",") });
}

// Arrow keys go to the same control of the next row.
function moved(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target.closest("tbody tr");
  if (!by || !row) return;
  const kind = ["pick", "pin", "fold"].find((name) => name in event.target.dataset);
  const wanted = kind ? `[data-${kind}]` : "th a, [data-fold]";
  for (let next = row; (next = by > 0 ? next.nextElementSibling : next.previousElementSibling); ) {
    const control = next.querySelector(wanted);
    if (control) {
      event.preventDefault();
      control.focus({ preventScroll: true });
      next.scrollIntoView({ block: "nearest" });
      return;
    }
  }
}

export function complain(words) {
  const trouble = byId("trouble");
  trouble.textContent = words;
  trouble.hidden = !words;
}
