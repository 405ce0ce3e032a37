/* What the viewer shows is loaded part by part, on demand: the facts of a picture and its pixels.
 *
 * A page opened from disk may neither fetch a neighbour nor read an <img> of one back, so every
 * part is a small script beside the page that calls `receive`; in a single file it is a block of
 * JSON inside the page. */
"use strict";
window.vaebenchViewer = (() => {
  const PICTURES_IN_MEMORY = 8;
  const asked = new Map();
  const receivers = new Map();
  const decoded = new Map();

  /* Return a promise of a part ("7/facts", "7/codec-0"), or of null where it was not written. */
  function part(key) {
    const inside = inline(key);
    if (inside !== null) return Promise.resolve(inside);
    if (!asked.has(key)) asked.set(key, beside(key));
    return asked.get(key);
  }

  /* Return a part that is inside of the page, or null. */
  function inline(key) {
    const block = document.getElementById(`viewer-part-${key}`);
    return block && JSON.parse(block.textContent);
  }

  function beside(key) {
    return new Promise((resolve) => {
      const script = document.createElement("script");
      receivers.set(key, resolve);
      script.onload = () => script.remove();
      script.onerror = () => { script.remove(); resolve(null); };
      script.src = `viewer/${key}.js`;
      document.head.append(script);
    });
  }

  function receive(key, value) {
    receivers.get(key)?.(value);
    receivers.delete(key);
  }

  /* Return a promise of {width, height, data} (RGBA bytes) of a part that holds a picture. */
  function pixels(key) {
    const known = decoded.get(key) ?? part(key).then((uri) => uri && decode(uri));
    decoded.delete(key);
    decoded.set(key, known);
    // The oldest goes, with its base64, which can be loaded again.
    for (const oldest of [...decoded.keys()].slice(0, -PICTURES_IN_MEMORY)) {
      decoded.delete(oldest);
      asked.delete(oldest);
    }
    return known;
  }

  async function decode(uri) {
    const [head, body] = uri.split(",");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const type = head.slice("data:".length, head.indexOf(";"));
    // Without conversion the bytes are those of the file.
    const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(new Blob([bytes], { type }), exact);
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  }

  /* Return [red, green, blue] of a pixel. */
  function colourAt(image, x, y) {
    const start = 4 * (y * image.width + x);
    return [...image.data.subarray(start, start + 3)];
  }

  /* Return the mean of the red bytes (a grey map's values) in a box, 0..255. */
  function meanIn(image, [x0, y0, x1, y1]) {
    let sum = 0;
    for (let y = y0; y < y1; y++) {
      const end = 4 * (y * image.width + x1);
      for (let at = 4 * (y * image.width + x0); at < end; at += 4) sum += image.data[at];
    }
    return sum / ((x1 - x0) * (y1 - y0));
  }

  /* Return the PSNR in dB of a box of two 8-bit pictures: 10·log10(255²/MSE). */
  function psnrIn(first, second, [x0, y0, x1, y1]) {
    let sum = 0;
    for (let y = y0; y < y1; y++) {
      const end = 4 * (y * first.width + x1);
      for (let at = 4 * (y * first.width + x0); at < end; at += 4) {
        for (let band = 0; band < 3; band++) {
          sum += (first.data[at + band] - second.data[at + band]) ** 2;
        }
      }
    }
    return 10 * Math.log10((255 ** 2 * 3 * (x1 - x0) * (y1 - y0)) / sum);
  }

  return { part, inline, receive, pixels, colourAt, meanIn, psnrIn };
})();
