/* What the pixels of a picture say: the status line, the measures of what is on screen, colours. */
"use strict";
vaebenchViewer.values = (() => {
  const { colourAt, meanIn, psnrIn } = vaebenchViewer;
  const threeDigits = (value) => Number(value.toPrecision(3));
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value)}`;

  /* Return the metric that a byte of an error map stands for. */
  const ofByte = (byte, errors) => threeDigits((byte / 255) * errors.max);

  /* Return the status line of a pixel.
   *
   * `shown` is {id, a, b, pixel, zoom}, A and B being sources; `loaded` holds the pixels by part;
   * `maps` are the sources of the error maps whose metric is told. */
  function statusLine({ id, a, b, pixel: [x, y], zoom }, loaded, maps, data) {
    const words = [id, `x ${x}, y ${y}`];
    const read = ({ part }) => loaded[part] && colourAt(loaded[part], x, y);
    const metric = ([byte]) => ofByte(byte, data.errors);
    const text = ({ isErrors }, found) => found && (isErrors ? metric(found) : found.join(" "));
    const [first, second] = [read(a), read(b)];
    words.push(`A ${a.label} ${text(a, first) ?? "–"}`, `B ${b.label} ${text(b, second) ?? "–"}`);
    if (first && second && a.isErrors === b.isErrors) {
      const apart = second.map((value, band) => value - first[band]);
      words.push(`B − A ${a.isErrors ? signed(metric(apart)) : apart.map(signed).join(" ")}`);
    }
    for (const map of maps.filter((source) => loaded[source.part])) {
      words.push(`${data.errors.label} ${data.codecs[map.codec]} ${metric(read(map))}`);
    }
    return [...words, `zoom ${threeDigits(100 * zoom)} %`].join(" · ");
  }

  /* Return rows for the table of metrics of a box, for some codecs; none without their pixels. */
  function measures(box, loaded, codecs, data) {
    const { reference } = loaded;
    if (!reference || box[2] <= box[0] || box[3] <= box[1]) return [];
    const row = (label, measure) => {
      const cell = (codec) => (codecs.includes(codec) && measure(codec)) || "–";
      return { label, best: [], cells: data.codecs.map((_, codec) => cell(codec)) };
    };
    const psnr = row("PSNR, dB", (codec) => loaded[`codec-${codec}`]
      && psnrIn(reference, loaded[`codec-${codec}`], box).toFixed(2).replace("Infinity", "inf"));
    const error = data.errors && row(`mean ${data.errors.label}`, (codec) => loaded[`errors-${codec}`]
      && String(ofByte(meanIn(loaded[`errors-${codec}`], box), data.errors)));
    return [psnr, error].filter((found) => found?.cells.some((text) => text !== "–"));
  }

  /* Colour error maps: a grey level times the gain is a place on the scale of colours.
   *
   * The overlay's filter also makes the map as opaque as the place is far up the scale. */
  function colourMaps(filter, overlay, { colours, max, top }, gain) {
    const placeOf = (grey) => Math.min(255, Math.round((grey * gain * max) / top));
    const places = Array.from({ length: 256 }, (_, grey) => placeOf(grey));
    const table = (value) => places.map((place) => value(place).toFixed(3)).join(" ");
    for (const target of [filter, overlay]) {
      ["R", "G", "B"].forEach((name, band) => {
        const channel = (place) => parseInt(colours.slice(6 * place + 2 * band).slice(0, 2), 16) / 255;
        target.querySelector(`feFunc${name}`).setAttribute("tableValues", table(channel));
      });
    }
    overlay.querySelector("feFuncA").setAttribute("tableValues", table((place) => place / 255));
  }

  /* Draw the scale's colours, a pixel a step. */
  function drawScale(canvas, { colours }) {
    const context = canvas.getContext("2d");
    for (let place = 0; place < 256; place++) {
      context.fillStyle = `#${colours.slice(6 * place, 6 * place + 6)}`;
      context.fillRect(place, 0, 1, 1);
    }
  }

  return { statusLine, measures, colourMaps, drawScale, threeDigits };
})();
