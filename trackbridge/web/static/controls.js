// Controls that are tied to one parameter of the address.

import { make } from "./dom.js";
import * as state from "./state.js";

// A browser counts how often an address is changed, and a server how often it is asked.
const MOVING_MS = 60;

export function choice(words, name, options, otherwise = "") {
  const chosen = state.get(name, otherwise);
  const entries = options.map(([value, label]) => make("option", { value, selected: value === chosen }, label));
  const change = (event) => state.set({ [name]: event.target.value === otherwise ? null : event.target.value });
  return make("label", {}, `${words} `, make("select", { "data-tool": name, onchange: change }, ...entries));
}

export function tick(words, name, value) {
  const change = (event) => state.set({ [name]: event.target.checked ? value : null });
  const box = make("input", { type: "checkbox", "data-tool": name, checked: state.get(name) === value, onchange: change });
  return make("label", {}, box, ` ${words}`);
}

// One letter of a parameter such as `log=xy`.
export function letter(words, name, one) {
  const change = (event) => {
    const others = state.get(name).replaceAll(one, "");
    state.set({ [name]: (event.target.checked ? [...others, one].sort().join("") : others) || null });
  };
  const box = make("input", { type: "checkbox", "data-tool": name + one, checked: state.get(name).includes(one), onchange: change });
  return make("label", {}, box, ` ${words}`);
}

export function slider(words, name, { min, max, step }) {
  const told = make("output", {}, state.get(name, "0"));
  let moving;
  const input = (event) => {
    told.textContent = event.target.value;
    clearTimeout(moving);
    moving = setTimeout(() => state.set({ [name]: Number(event.target.value) ? event.target.value : null }), MOVING_MS);
  };
  const range = make("input", { type: "range", min, max, step, value: state.get(name, "0"), "data-tool": name, oninput: input });
  return make("label", {}, `${words} `, range, " ", told);
}

// A menu closes when something else is pressed, or with Escape.
addEventListener("pointerdown", (event) => {
  for (const open of document.querySelectorAll(".menu[open]")) open.open = open.contains(event.target);
});
addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector(".menu[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

// A menu of names to tick; `chosen` are those ticked now, `change` is told the new ones in the menu's order.
export function menu(words, names, chosen, change) {
  const boxes = names.map((name) => {
    const box = make("input", { type: "checkbox", value: name, checked: chosen.includes(name) });
    return make("label", {}, box, ` ${name}`);
  });
  const choices = make("div", { class: "choices" }, ...boxes);
  choices.addEventListener("change", () => {
    change([...choices.querySelectorAll("input:checked")].map((box) => box.value));
  });
  return make("details", { class: "menu" }, make("summary", {}, words), choices);
}
