/* The pixels of pictures, decoded, and what is read or measured in them. */
"use strict";
Object.assign(window.vaebenchViewer, (() => {
  const PICTURES_IN_MEMORY = 8;
  const { part, forget } = window.vaebenchViewer;
  const decoded = new Map();

  /* Return a promise of {width, height, data} (RGBA bytes) of a part that holds a picture. */
  function pixels(key) {
    const known = decoded.get(key) ?? part(key).then((uri) => uri && decode(uri));
    decoded.delete(key);
    decoded.set(key, known);
    // The oldest goes, with its base64, which can be loaded again.
    for (const oldest of [...decoded.keys()].slice(0, -PICTURES_IN_MEMORY)) {
      decoded.delete(oldest);
      forget(oldest);
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

  return { pixels, colourAt, meanIn, psnrIn };
})());
