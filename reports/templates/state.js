/* The state of the page in the address's hash, so that any view has a permanent link.
 *
 * #picture=kodim23.png&a=reference&b=taef2&mode=slider: names and values percent-encoded. A hash
 * without "=" is the id of a section and none of ours. Where the address cannot be written (a
 * notebook's frame), the state lives in memory alone. */
"use strict";
window.vaebenchState = (() => {
  // Browsers refuse address changes that come too quickly one after another.
  const WRITE_EVERY_MS = 300;
  // A link to another picture must not bring the view of the one before along.
  const VIEW_OF_A_PICTURE = ["region", "x", "y", "zoom"];
  const callbacks = [];
  let state = read(location.hash);
  let timer = 0;

  function read(hash) {
    if (!hash.includes("=")) return {};
    const pairs = hash.replace(/^#/, "").split("&").map((part) => part.split("="));
    return Object.fromEntries(pairs.map(([key, ...value]) => [decode(key), decode(value.join("="))]));
  }

  function decode(text) {
    try { return decodeURIComponent(text); } catch { return text; }
  }

  function written() {
    const pairs = Object.entries(state).map((pair) => pair.map(encodeURIComponent).join("="));
    return pairs.length ? `#${pairs.join("&")}` : "";
  }

  function merge(changes) {
    const merged = { ...state };
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") delete merged[key];
      else merged[key] = String(value);
    }
    const changed = JSON.stringify(merged) !== JSON.stringify(state);
    state = merged;
    return changed;
  }

  function write() {
    timer = 0;
    // An empty hash would leave the address as it was.
    try { history.replaceState(history.state, "", written() || "#"); } catch { /* see above */ }
  }

  function tell(keys) {
    for (const callback of callbacks) callback({ ...state }, keys);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (!link || !link.hash.includes("=") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const changes = read(link.hash);
    const forgotten = "picture" in changes ? VIEW_OF_A_PICTURE : [];
    merge({ ...Object.fromEntries(forgotten.map((key) => [key, null])), ...changes });
    clearTimeout(timer);
    timer = 0;
    try { history.pushState(null, "", written()); } catch { /* see above */ }
    tell(Object.keys(changes));
  });

  window.addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return;
    const before = state;
    state = read(location.hash);
    tell(Object.keys({ ...before, ...state }));
  });

  return {
    get: (key) => state[key] ?? null,
    all: () => ({ ...state }),
    /* Change some keys (null removes one); tells nobody, as the caller knows. */
    set(changes) {
      if (merge(changes) && !timer) timer = setTimeout(write, WRITE_EVERY_MS);
    },
    /* Call back with the whole state, and the keys that were asked for, after a link was followed
     * or the address was changed. */
    onChange: (callback) => callbacks.push(callback),
  };
})();
