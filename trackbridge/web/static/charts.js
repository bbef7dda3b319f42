// Charts: the server draws them; here they are shown, pointed at, and zoomed.

import { ask, make, printable, show } from "./dom.js";
import { choice, letter, slider } from "./controls.js";
import * as state from "./state.js";

export const VIEW = ["axis", "range", "smoothing", "log", "group"];
const MIN_BRUSH_PX = 6;
const KEY_STEP = 1 / 50;

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = charts.get(entry.target);
    chart.isVisible = entry.isIntersecting;
    if (chart.isVisible && chart.isStale) load(chart);
  }
}, { rootMargin: "200px" });
const charts = new Map();

// The controls that all charts of a page share.
export function tools() {
  const axes = [["step", "step"], ["epoch", "epoch"], ["time", "time"]];
  const reset = make("button", { type: "button", "data-tool": "reset", onclick: () => state.set({ range: null }) }, "Reset zoom");
  reset.hidden = !state.get("range");
  return [
    choice("axis", "axis", axes, "step"),
    slider("smoothing", "smoothing", { min: 0, max: 0.99, step: 0.01 }),
    letter("log x", "log", "x"),
    letter("log y", "log", "y"),
    reset,
  ];
}

// A chart in `place`; `query` gives the runs to draw.
export function mount(place, metric, query) {
  const picture = make("div", { class: "picture", tabindex: 0, role: "group" });
  picture.setAttribute("aria-label", `${printable(metric)}: arrow keys read values, plus and minus zoom, Escape resets`);
  const cursor = make("div", { class: "cursor", hidden: true });
  const brush = make("div", { class: "brush", hidden: true });
  const reading = make("div", { class: "reading", role: "status", hidden: true });
  const drawing = make("div", {});
  const words = make("figcaption", { class: "muted" });
  picture.append(drawing, cursor, brush, reading);
  place.replaceChildren(make("figure", {}, picture, words));
  const chart = { place, metric, query, picture, drawing, cursor, brush, reading, words, isStale: true, isVisible: false };
  charts.set(place, chart);
  listen(chart);
  observer.observe(place);
  return chart;
}

// Draws all charts anew that are in sight, the others when they come into sight.
export function refresh() {
  for (const chart of charts.values()) {
    if (!chart.place.isConnected) {
      observer.unobserve(chart.place);
      charts.delete(chart.place);
      continue;
    }
    chart.isStale = true;
    if (chart.isVisible) load(chart);
  }
}

async function load(chart) {
  chart.isStale = false;
  chart.place.setAttribute("aria-busy", "true");
  const width = Math.max(240, Math.round(chart.picture.clientWidth));
  try {
    const answer = await ask(chart, "/data/chart", { ...questionOf(chart), width });
    if (!answer) return;
    show(chart.drawing, answer.svg);
    chart.words.textContent = answer.words;
    chart.frame = answer.svg ? frameOf(chart.drawing.firstElementChild) : null;
  } catch (error) {
    chart.words.textContent = error.message;
  }
  chart.place.setAttribute("aria-busy", "false");
}

const questionOf = (chart) => ({ ...state.pick(...VIEW), ...chart.query(), metric: chart.metric });

function frameOf(svg) {
  const [left, top, right, bottom] = svg.dataset.plot.split(" ").map(Number);
  const [low, high] = svg.dataset.x.split(" ").map(Number);
  return { svg, left, top, right, bottom, low, high, isLog: svg.dataset.xScale === "log" };
}

// Where in the plot a pointer is, as a share of its width, and the place on the axis a share stands for.
function shareAt(chart, clientX) {
  const { svg, left, right } = chart.frame;
  const box = svg.getBoundingClientRect();
  const x = ((clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
  return Math.min(1, Math.max(0, (x - left) / (right - left)));
}

function placeAt({ low, high, isLog }, share) {
  const place = low + share * (high - low);
  return isLog ? 10 ** place : place;
}

function pixelsAt(chart, share) {
  const { svg, left, right } = chart.frame;
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return (left + share * (right - left)) * scale;
}

function listen(chart) {
  const { picture } = chart;
  let from = null;
  picture.addEventListener("pointermove", (event) => {
    if (!chart.frame) return;
    const share = shareAt(chart, event.clientX);
    if (from === null) read(chart, share);
    else drag(chart, from, share);
  });
  picture.addEventListener("pointerdown", (event) => {
    if (!chart.frame || event.button) return;
    from = shareAt(chart, event.clientX);
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = shareAt(chart, event.clientX);
    if (Math.abs(pixelsAt(chart, to) - pixelsAt(chart, from)) >= MIN_BRUSH_PX) zoom(chart, from, to);
    from = null;
    chart.brush.hidden = true;
  });
  picture.addEventListener("pointercancel", () => { from = null; chart.brush.hidden = true; });
  picture.addEventListener("pointerleave", () => { if (from === null) hide(chart); });
  picture.addEventListener("blur", () => hide(chart));
  picture.addEventListener("dblclick", () => state.set({ range: null }));
  picture.addEventListener("keydown", (event) => pressed(chart, event));
}

function pressed(chart, event) {
  const by = { ArrowLeft: -KEY_STEP, ArrowRight: KEY_STEP }[event.key];
  if (!chart.frame) return;
  const at = chart.share ?? 0.5;
  if (by) read(chart, Math.min(1, Math.max(0, at + by)));
  else if (event.key === "+" || event.key === "=") zoom(chart, Math.max(0, at - 0.25), Math.min(1, at + 0.25));
  else if (event.key === "-" || event.key === "Escape") state.set({ range: null });
  else return;
  event.preventDefault();
}

function drag(chart, from, to) {
  const [left, right] = [pixelsAt(chart, from), pixelsAt(chart, to)].sort((a, b) => a - b);
  chart.brush.style.left = `${left}px`;
  chart.brush.style.width = `${right - left}px`;
  chart.brush.hidden = false;
  hide(chart);
}

function zoom(chart, from, to) {
  const [low, high] = [placeAt(chart.frame, from), placeAt(chart.frame, to)].sort((a, b) => a - b);
  const isSteps = state.get("axis", "step") === "step";
  // Steps are whole numbers; a range that has none in it would show nothing.
  const range = isSteps ? [Math.floor(low), Math.max(Math.ceil(high), Math.floor(low) + 1)] : [low, high].map((one) => +one.toPrecision(7));
  state.set({ range: range.join("..") }, { step: true });
}

async function read(chart, share) {
  chart.share = share;
  const x = pixelsAt(chart, share);
  chart.cursor.style.left = `${x}px`;
  chart.cursor.hidden = false;
  const answer = await ask(chart.reading, "/data/reading", { ...questionOf(chart), at: placeAt(chart.frame, share) }).catch(() => null);
  if (!answer || chart.cursor.hidden) return;
  show(chart.reading, `<table><caption></caption><tbody>${answer.rows}</tbody></table>`);
  chart.reading.querySelector("caption").textContent = answer.where;
  chart.reading.classList.toggle("leftwards", x > chart.picture.clientWidth / 2);
  chart.reading.style.left = `${x}px`;
  chart.reading.hidden = !answer.rows;
}

function hide(chart) {
  chart.cursor.hidden = true;
  chart.reading.hidden = true;
  chart.share = undefined;
}

// A picture is drawn for a width; another one wants another picture.
let resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(refresh, 150);
});
