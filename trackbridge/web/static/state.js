// The state of the page is its address: what is shown can be bookmarked, sent, and gone back to.

const listeners = [];
let parameters = new URLSearchParams(location.search);

export const get = (name, otherwise = "") => parameters.get(name) ?? otherwise;
export const has = (name) => parameters.has(name);

// Lists of names are parted by commas, which a name may have as well.
export const list = (name) => get(name).split(",").filter(Boolean).map((one) => one.replaceAll("%2C", ",").replaceAll("%25", "%"));
export const joined = (names) => names.map((one) => one.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",");

// The named parameters that are set, as a query for the server.
export function pick(...names) {
  return Object.fromEntries(names.filter(has).map((name) => [name, get(name)]));
}

// Calls back after any of these parameters changed.
export function on(names, callback) {
  listeners.push({ names: new Set(names), callback });
}

// Changes parameters; null takes one out. A `step` is one the back button undoes.
export function set(changes, { step = false } = {}) {
  const changed = Object.entries(changes).filter(([name, value]) => (value ?? null) !== parameters.get(name));
  if (!changed.length) return;
  for (const [name, value] of changed) {
    if (value === null || value === undefined) parameters.delete(name);
    else parameters.set(name, value);
  }
  const query = parameters.toString();
  history[step ? "pushState" : "replaceState"](null, "", query ? `?${query}` : location.pathname);
  tell(changed.map(([name]) => name));
}

function tell(names) {
  for (const { names: wanted, callback } of listeners) {
    if (names.some((name) => wanted.has(name))) callback();
  }
}

addEventListener("popstate", () => {
  const before = parameters;
  parameters = new URLSearchParams(location.search);
  const names = new Set([...before.keys(), ...parameters.keys()]);
  tell([...names].filter((name) => before.get(name) !== parameters.get(name)));
});
