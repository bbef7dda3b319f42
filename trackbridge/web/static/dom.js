// Asking the server and showing what it answers. Nowhere else is markup put into the page.

// A browser that enforces the page's policy takes markup from this policy only; the server escapes all it writes.
const policy = window.trustedTypes?.createPolicy("trackbridge", { createHTML: (markup) => markup });
const underway = new Map();

export const byId = (id) => document.getElementById(id);

// Markup from the server takes the place of what is there, and the focus stays on the same control.
export function show(place, markup) {
  const held = place.contains(document.activeElement) ? controlOf(document.activeElement) : null;
  place.innerHTML = policy ? policy.createHTML(markup) : markup;
  if (held) place.querySelector(held)?.focus({ preventScroll: true });
}

// A text as it may be shown: what would turn it around or hide in it is spelled out, as on the server.
export function printable(text) {
  return text.replace(/(?!\u200d)[\p{C}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (typeof child === "string" ? printable(child) : child)));
  return made;
}

// The answer to a question as data; null when the same place has asked something newer since.
export async function ask(place, path, query) {
  underway.get(place)?.abort();
  const controller = new AbortController();
  underway.set(place, controller);
  try {
    const response = await fetch(`${path}?${new URLSearchParams(query)}`, { signal: controller.signal });
    if (!response.ok) throw new Error(`the server failed (${response.status}): the terminal it runs in says why`);
    const answer = await response.json();
    if (answer.error) throw new Error(answer.error);
    return answer;
  } catch (error) {
    if (error.name === "AbortError") return null;
    throw error instanceof TypeError ? new Error("the server does not answer: is trackbridge ui still running?") : error;
  } finally {
    if (underway.get(place) === controller) underway.delete(place);
  }
}

function controlOf(element) {
  for (const name of ["all", "sort", "pick", "pin", "fold", "tool"]) {
    if (element.dataset?.[name]) return `[data-${name}="${CSS.escape(element.dataset[name])}"]`;
  }
  const address = element.getAttribute("href");
  return address ? `a[href="${CSS.escape(address)}"]` : null;
}
