/* What the page loads on demand, part by part: scores, the list of pictures, a picture's pixels.
 *
 * A page opened from disk may neither fetch a neighbour nor read an <img> of one back, so every
 * part is a small script beside the page that calls `receive`; in a single file it is a block of
 * JSON inside the page. */
"use strict";
window.vaebenchViewer = (() => {
  const asked = new Map();
  const receivers = new Map();

  /* Return a promise of a part ("7/facts", "7/codec-0"), or of null where it was not written. */
  function part(key, folder = "viewer") {
    const inside = inline(key);
    if (inside !== null) return Promise.resolve(inside);
    if (!asked.has(key)) asked.set(key, beside(key, folder));
    return asked.get(key);
  }

  /* Return a part that is inside of the page, or null. */
  function inline(key) {
    const block = document.getElementById(`part-${key}`);
    return block && JSON.parse(block.textContent);
  }

  function beside(key, folder) {
    return new Promise((resolve) => {
      const script = document.createElement("script");
      receivers.set(key, resolve);
      script.onload = () => script.remove();
      script.onerror = () => { script.remove(); resolve(null); };
      script.src = `${folder}/${key}.js`;
      document.head.append(script);
    });
  }

  function receive(key, value) {
    receivers.get(key)?.(value);
    receivers.delete(key);
  }

  /* Let a part go, that can be loaded again. */
  const forget = (key) => asked.delete(key);

  return { part, inline, receive, forget };
})();
