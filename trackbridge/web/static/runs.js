// The page of all runs.

import { byId } from "./dom.js";
import { follow } from "./live.js";
import { menu } from "./controls.js";
import * as panels from "./panels.js";
import * as state from "./state.js";
import * as table from "./table.js";

const TYPING_MS = 200;
let drawnFor = "";

function tie(id, name, value) {
  const box = byId(id);
  const read = () => { box.checked = state.get(name) === value; };
  box.addEventListener("change", () => state.set({ [name]: box.checked ? value : null }));
  state.on([name], read);
  read();
}

function tieFilter() {
  const field = byId("where");
  let typing;
  field.value = state.get("where");
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => state.set({ where: field.value || null }), TYPING_MS);
  });
  state.on(["where"], () => { if (document.activeElement !== field) field.value = state.get("where"); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input[type=search], select, textarea")) return;
    event.preventDefault();
    field.focus();
  });
}

// After the table has rows: the panels follow where the runs they show are others than before.
function tableLoaded(answer) {
  const place = byId("columns");
  const made = JSON.stringify([answer.all_columns, answer.columns]);
  if (place.dataset.made !== made) {
    place.dataset.made = made;
    const change = (names) => state.set({ columns: state.joined(names) || null });
    const isOpen = byId("columns").parentElement.open;
    const choices = menu("", answer.all_columns, answer.columns, change).lastElementChild;
    place.replaceChildren(...choices.childNodes);
    place.onchange = () => change([...place.querySelectorAll("input:checked")].map((box) => box.value));
    place.parentElement.open = isOpen;
  }
  drawAnew();
}

function drawAnew() {
  const now = JSON.stringify([table.picked, state.get("pinned"), state.get("group"), table.newest()?.metrics]);
  if (now === drawnFor) return;
  drawnFor = now;
  panels.refresh();
}

tie("group", "group", "replicates");
tie("constant", "constant", "show");
tieFilter();
panels.start();
// A run that is ticked need not wait for the table.
state.on(["runs"], drawAnew);
table.start(tableLoaded);
follow(async (changed) => {
  await table.load(tableLoaded);
  if (!changed || changed.some((id) => table.picked.includes(id))) panels.refresh();
});
