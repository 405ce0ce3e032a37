/* The viewer: what is compared and how, by buttons, keys and the address's hash. */
"use strict";
(async () => {
  const block = document.getElementById("viewer-data");
  if (!block) return;
  const { panel, values, Stage, part, pixels } = vaebenchViewer;
  const state = window.vaebenchState;
  const data = JSON.parse(block.textContent);
  const at = (id) => document.getElementById(`viewer-${id}`);
  const MODES = ["slider", "blink", "side", "overlay"];
  const PAN_PX = 64;
  const ZOOM_STEP = 1.5;
  const REST_MS = 200;

  const say = (text) => { at("status").textContent = text; };
  const listed = await part("pictures");
  if (!listed) return say("The list of pictures is gone; make the report again.");
  const pictures = listed.map(([key, id, width, height]) => ({ key, id, width, height }));
  /* Everything that A and B may be: the part that holds it, its name in the hash and to a reader. */
  const reference = {
    part: "reference", id: "reference", label: "reference", codec: null, isErrors: false,
  };
  const decoded = data.codecs.map((name, codec) => (
    { part: `codec-${codec}`, id: name, label: name, codec, isErrors: false }));
  // A codec's name holds no slash, so that no codec is taken for a map.
  const maps = data.codecs.map((name, codec) => (
    { part: `errors-${codec}`, id: `map/${name}`, label: `${name}, error map`, codec, isErrors: true }));
  const sources = [reference, ...decoded, ...(data.errors ? maps : [])];

  const panes = { a: at("pane-a"), b: at("pane-b"), errors: at("pane-errors") };
  const ranges = { divider: at("divider"), gain: at("gain"), rate: at("rate") };
  const stage = new Stage(at("stage"), panes, ranges.divider, {
    view: viewChanged,
    divider: (value) => { ranges.divider.value = value; rangeChanged("divider"); remember(); },
  });
  const list = new panel.PictureList(pictures, at("pictures"), at("search"), at("pages"));

  let picture = pictures[0];
  let facts = null;
  let chosen = { a: reference, b: reference };
  let mode = "slider";
  let region = null;
  let loaded = {};
  let note = "";
  let isNear = false;
  let remembered = "";
  let restTimer = 0;
  let blinkTimer = 0;

  const isKept = (source) => Boolean(source && facts && source.part in facts.sources);
  const codecsShown = () => (
    [...new Set([chosen.a.codec, chosen.b.codec])].filter((codec) => codec !== null));
  const viewText = () => `${picture.key} ${stage.zoom} ${stage.centre}`;

  async function showPicture(next, view) {
    const known = picture === next && facts;
    [picture, facts, note] = [next, known, ""];
    list.choose(picture);
    stage.setPicture(picture.width, picture.height);
    const found = known || (await part(`${picture.key}/facts`));
    if (picture !== next) return;
    facts = found;
    if (!facts) return say(`The facts of ${picture.id} are gone; make the report again.`);
    showSources();
    showRegions(view.region);
    const [x, y, zoom] = [view.x, view.y, view.zoom].map(Number);
    if ([x, y, zoom].every(Number.isFinite)) stage.look([x, y], zoom);
    else if (region) stage.flyTo(region.box);
  }

  function showSources() {
    for (const side of ["a", "b"]) {
      at(side).value = chosen[side].id;
      [...at(side).options].forEach((option, place) => { option.disabled = !isKept(sources[place]); });
      show(panes[side], chosen[side], `${side.toUpperCase()} ${chosen[side].label}`);
    }
    const errors = chosen.b.codec === null ? null : maps[chosen.b.codec];
    show(panes.errors, errors, errors ? `${chosen.a.label}, errors of ${data.codecs[errors.codec]}`
      : "choose a codec as B to see its errors");
    loaded = {};
    loadPixels();
    showAreas();
    showPatches();
    panel.latents(at("latents"), codecsShown().map((codec) => facts.latents[codec]).filter(Boolean));
    at("latents-title").hidden = !at("latents").children.length;
  }

  async function show(pane, source, text) {
    const image = pane.querySelector("img");
    const wanted = isKept(source) ? `${picture.key}/${source.part}` : "";
    pane.querySelector(".viewer-tag").textContent = source && !wanted ? `${text}: not kept` : text;
    image.alt = wanted ? `${source.label} of ${picture.id}` : "";
    image.classList.toggle("viewer-coloured", Boolean(source?.isErrors));
    if (pane.dataset.shows === wanted) return;
    pane.dataset.shows = wanted;
    image.removeAttribute("src");
    if (!wanted) return;
    const address = facts.sources[source.part] ?? (await part(wanted));
    if (pane.dataset.shows === wanted) image.src = address;
  }

  /* Load the pixels of what is shown and measured, once the viewer is near the window. */
  async function loadPixels() {
    if (!isNear || !facts?.hasPixels) return read();
    const { key } = picture;
    const measured = codecsShown().flatMap((codec) => [decoded[codec], maps[codec]]);
    const wanted = new Set([chosen.a, chosen.b, reference, ...measured].filter(isKept));
    await Promise.all([...wanted].map(async (source) => {
      const image = await pixels(`${key}/${source.part}`);
      if (picture.key === key && image) loaded[source.part] = image;
    }));
    read();
    showAreas();
  }

  function showRegions(name) {
    const regions = facts.areas.filter((area) => area.box);
    at("regions-line").hidden = !regions.length;
    panel.chips(at("regions"), regions, (next) => go(next.box, next));
    press(regions.find((area) => area.name === name) ?? null);
  }

  function press(next) {
    region = next;
    for (const chip of at("regions").children) {
      chip.setAttribute("aria-pressed", String(chip.textContent === region?.name));
    }
    stage.setBox(region?.box ?? null);
  }

  /* Fly to a box: a region's, or that of a patch. */
  function go(box, next = null) {
    press(next);
    stage.setBox(box);
    stage.flyTo(box);
    remember();
  }

  /* Return the chosen region while any of it is seen, else the one nearest to the middle. */
  function regionInView() {
    const [x0, y0, x1, y1] = stage.view;
    const isSeen = ({ box }) => box && box[0] < x1 && box[2] > x0 && box[1] < y1 && box[3] > y0;
    if (region && isSeen(region)) return region;
    if (stage.zoom === null) return null;
    const distance = ({ box }) => Math.hypot(
      (box[0] + box[2]) / 2 - stage.centre[0], (box[1] + box[3]) / 2 - stage.centre[1]);
    return facts.areas.filter(isSeen).sort((one, two) => distance(one) - distance(two))[0];
  }

  function showAreas() {
    if (!facts) return;
    const scored = [facts.areas.find((area) => !area.box), regionInView()].filter(Boolean);
    const areas = scored.map((area) => ({
      title: area.box ? `Region ${area.name}` : "Whole picture",
      rows: area.rows.map((row) => ({ ...row, label: data.columns[row.column] })),
    }));
    const seen = values.measures(stage.view, loaded, codecsShown(), data);
    if (seen.length) areas.push({ title: "Part on screen", rows: seen });
    const letters = data.codecs.map((_, codec) => (
      ["a", "b"].filter((side) => chosen[side].codec === codec).map((side) => side.toUpperCase())));
    panel.metrics(at("metrics"), at("more"), data.codecs, areas, letters);
  }

  function showPatches() {
    const codec = chosen.b.codec ?? chosen.a.codec;
    const found = isKept(decoded[codec]) ? facts.patches[codec] ?? [] : [];
    at("patches-title").hidden = !found.length;
    at("patches-title").textContent = `Worst patches of ${data.codecs[codec]}`;
    const name = `codec-${codec}`;
    const address = found.length && (facts.sources[name] ?? part(`${picture.key}/${name}`));
    panel.patches(at("patches"), data.codecs[codec], found, {
      address, label: data.errors?.label, size: [picture.width, picture.height],
    }, go);
  }

  function showMode() {
    stage.setMode(mode);
    for (const button of document.querySelectorAll("#viewer [data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    }
    at("frame").dataset.shows = mode;
    at("rate-label").hidden = mode !== "blink";
    at("gain-label").hidden = mode !== "overlay" && !chosen.a.isErrors && !chosen.b.isErrors;
    clearInterval(blinkTimer);
    let isB = false;
    const flip = () => stage.setBlink((isB = !isB));
    if (mode === "blink") blinkTimer = setInterval(flip, 1000 / ranges.rate.value);
  }

  function rangeChanged(name) {
    const { value, nextElementSibling: output } = ranges[name];
    if (name === "divider") {
      at("line").style.left = `${value}%`;
      return stage.draw();
    }
    output.textContent = name === "gain" ? `×${value}` : `${value} / s`;
    if (name === "rate") return showMode();
    if (!data.errors) return;
    values.colourMaps(at("errors"), at("overlay"), data.errors, Number(value));
    at("scale").lastElementChild.textContent = (
      `${values.threeDigits(data.errors.top / value)} and more, ${data.errors.label}`);
  }

  function setMode(next) {
    mode = next === mode ? "slider" : next;
    showMode();
    remember();
  }

  function choose(next) {
    chosen = { ...chosen, ...next };
    if (facts) showSources();
    showMode();
    remember();
  }

  function step(by) {
    const next = pictures[pictures.indexOf(picture) + by];
    if (next) showPicture(next, {}).then(remember);
  }

  function viewChanged() {
    read();
    clearTimeout(restTimer);
    restTimer = setTimeout(() => {
      showAreas();
      // The address changes with what a reader does, not with the page's opening.
      if (facts && remembered && viewText() !== remembered) remember();
    }, REST_MS);
  }

  function remember() {
    remembered = viewText();
    const round = (value, digits) => (stage.zoom === null ? null : Number(value.toFixed(digits)));
    const [x, y] = stage.centre.map((place) => round(place, 2));
    const unlessUsual = ({ value, defaultValue }) => (value === defaultValue ? null : value);
    state.set({
      picture: picture.id, a: chosen.a.id, b: chosen.b.id, mode, region: region?.name ?? null,
      x, y, zoom: round(stage.shownZoom, 4),
      ...Object.fromEntries(Object.entries(ranges).map(([name, range]) => [name, unlessUsual(range)])),
    });
  }

  /* Show what a hash says; what it does not name is as at first. */
  async function restore(view) {
    const named = (id) => sources.find((source) => source.id === id);
    chosen = { a: named(view.a) ?? reference, b: named(view.b) ?? decoded[0] ?? reference };
    mode = MODES.includes(view.mode) ? view.mode : "slider";
    for (const [name, range] of Object.entries(ranges)) {
      range.value = view[name] ?? range.defaultValue;
      rangeChanged(name);
    }
    showMode();
    const asked = pictures.find((entry) => entry.id === view.picture);
    await showPicture(asked ?? picture, view);
    remembered = viewText();
    if (view.picture && !asked) note = `${view.picture} is not among the pictures that were kept. `;
    read();
  }

  /* Read out the pixel under the pointer, or the one in the middle. */
  function read() {
    if (!facts) return;
    const { pixel, hover } = stage;
    // A screen reader is told of moves by key, not of every place that the pointer passes.
    at("status").setAttribute("aria-live", hover ? "off" : "polite");
    const shown = { id: picture.id, ...chosen, pixel, zoom: stage.shownZoom };
    const without = facts.hasPixels ? "" : " · values were written for the worst pictures only";
    const told = data.errors ? codecsShown().map((codec) => maps[codec]) : [];
    say(note + values.statusLine(shown, loaded, told, data) + without);
  }

  const KEYS = {
    b: () => setMode("blink"), s: () => setMode("side"), o: () => setMode("overlay"),
    d: () => setMode("slider"), x: () => choose({ a: chosen.b, b: chosen.a }),
    n: () => step(1), p: () => step(-1),
    "+": () => stage.zoomBy(ZOOM_STEP), "=": () => stage.zoomBy(ZOOM_STEP),
    "-": () => zoomOut(), 0: () => stage.fit(), 1: () => stage.look(stage.centre, 1),
  };
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function zoomOut() {
    if (stage.shownZoom / ZOOM_STEP <= stage.fitZoom) stage.fit();
    else stage.zoomBy(1 / ZOOM_STEP);
  }

  function keyPressed(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Letters are words in a text field and a search in a list; elsewhere on the page they rest.
    if (target.matches("input:not([type=range]), select, textarea")) return;
    if (target !== document.body && !target.closest("#viewer")) return;
    if (target === at("stage") && WAYS[key]) {
      stage.hover = null;
      const by = event.shiftKey ? stage.scale : PAN_PX;
      stage.panBy(WAYS[key][0] * by, WAYS[key][1] * by);
    } else if (KEYS[key.toLowerCase()]) KEYS[key.toLowerCase()]();
    else return;
    event.preventDefault();
  }

  for (const side of ["a", "b"]) {
    at(side).append(...sources.map(({ id, label }) => new Option(label, id)));
    at(side).addEventListener("change", () => (
      choose({ [side]: sources.find((source) => source.id === at(side).value) })));
  }
  for (const [name, range] of Object.entries(ranges)) {
    range.addEventListener("input", () => { rangeChanged(name); remember(); });
  }
  at("swap").addEventListener("click", KEYS.x);
  for (const button of document.querySelectorAll("#viewer [data-mode]")) {
    button.addEventListener("click", () => setMode(button.dataset.mode));
  }
  const zooms = { in: KEYS["+"], out: zoomOut, fit: KEYS[0], 100: KEYS[1] };
  for (const button of document.querySelectorAll("#viewer [data-zoom]")) {
    button.addEventListener("click", () => zooms[button.dataset.zoom]());
  }
  document.addEventListener("keydown", keyPressed);
  if (data.errors) values.drawScale(at("scale").querySelector("canvas"), data.errors);
  new IntersectionObserver(([entry], observer) => {
    if (!entry.isIntersecting) return;
    observer.disconnect();
    isNear = true;
    loadPixels();
  }, { rootMargin: "200px" }).observe(at("stage"));

  const scroll = () => document.getElementById("viewer").scrollIntoView();
  state.onChange((view, keys) => {
    if (keys.includes("picture")) restore(view).then(scroll);
  });
  restore(state.all()).then(() => state.get("picture") && scroll());
})();
