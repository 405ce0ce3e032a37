/* The stage: up to three panes over or beside one another that move and zoom as one.
 *
 * Each pane holds one <img> that is moved and scaled by a CSS transform alone, which Chromium
 * composites without painting it again: an <img> alone in its layer also stays crisp. */
"use strict";
vaebenchViewer.Stage = (() => {
  const MOST_ZOOM = 32;
  const FLIGHT_MS = 350;
  // How much of the stage a box takes after a flight to it.
  const BOX_SHARE = 0.4;
  const GRIP_PX = 14;

  class Stage {
    /* `panes` are {a, b, errors}: elements with a .viewer-layer that holds an <img>. */
    constructor(element, panes, divider, told) {
      Object.assign(this, { element, panes, divider, told });
      this.size = [1, 1];
      this.centre = [0.5, 0.5];
      this.hover = null;
      this.zoom = null;
      this.mode = "slider";
      this.blinkOn = false;
      this.marks = Object.values(panes).map((pane) => ({
        box: pane.querySelector(".viewer-box"), pixel: pane.querySelector(".viewer-pixel"),
      }));
      this.pointers = new Map();
      this.listen();
      // Measured here alone: asking for it in every frame would lay the page out again.
      this.extent = [element.clientWidth, element.clientHeight];
      new ResizeObserver(() => {
        this.extent = [element.clientWidth, element.clientHeight];
        this.draw();
      }).observe(element);
    }

    /* Pixels of the picture are shown this many CSS pixels wide; 100 % is a device pixel. */
    get scale() { return this.shownZoom / devicePixelRatio; }
    get shownZoom() { return this.zoom ?? this.fitZoom; }
    get fitZoom() {
      const [width, height] = this.paneSize;
      const fit = Math.min(width / this.size[0], height / this.size[1]) * devicePixelRatio;
      // Enlarged by a whole number, the pixels of a small picture are all alike.
      return Math.min(MOST_ZOOM, fit < 1 ? fit : Math.floor(fit));
    }

    /* The pixel that is read out: under the pointer, or in the middle. */
    get pixel() {
      const middle = this.centre.map((at, axis) => Math.min(this.size[axis] - 1, Math.floor(at)));
      return (this.hover && this.pixelAt(this.hover)) || middle;
    }

    get isStacked() {
      const [width, height] = this.extent;
      const fit = (w, h) => Math.min(w / this.size[0], h / this.size[1]);
      return this.mode === "side" && fit(width, height / 2) > fit(width / 2, height);
    }

    get paneSize() {
      const [width, height] = this.extent;
      if (this.mode !== "side") return [width, height];
      return this.isStacked ? [width, height / 2] : [width / 2, height];
    }

    /* The part of the picture that is seen: x0, y0, x1, y1 in whole pixels, end-exclusive. */
    get view() {
      const half = this.paneSize.map((side) => side / 2 / this.scale);
      const low = this.centre.map((at, axis) => Math.floor(at - half[axis] + 1e-6));
      const high = this.centre.map((at, axis) => Math.ceil(at + half[axis] - 1e-6));
      const clip = (at, axis) => Math.max(0, Math.min(this.size[axis], at));
      return [clip(low[0], 0), clip(low[1], 1), clip(high[0], 0), clip(high[1], 1)];
    }

    setPicture(width, height) {
      this.size = [width, height];
      this.fit();
    }

    setMode(mode) {
      this.mode = mode;
      this.blinkOn = false;
      this.draw();
    }

    setBox(box) { this.box = box; this.draw(); }
    setBlink(isOn) { this.blinkOn = isOn; this.draw(); }

    fit() { this.look(this.size.map((side) => side / 2), null); }

    /* Look at a place of the picture; a zoom of null fits the picture into the pane. */
    look(centre, zoom) {
      this.flight = null;
      this.place(centre, zoom);
    }

    place(centre, zoom) {
      const least = Math.min(1, this.fitZoom);
      this.zoom = zoom === null ? null : Math.min(MOST_ZOOM, Math.max(least, zoom));
      this.centre = centre.map((at, axis) => {
        const isWhole = this.shownZoom <= this.fitZoom;
        return isWhole ? this.size[axis] / 2 : Math.min(this.size[axis], Math.max(0, at));
      });
      this.draw();
    }

    /* Zoom by a factor; a point of the pane, in CSS pixels, stays on its pixel. */
    zoomBy(factor, point = this.paneSize.map((side) => side / 2)) {
      const held = this.toPicture(point);
      const least = Math.min(1, this.fitZoom);
      const zoom = Math.min(MOST_ZOOM, Math.max(least, this.shownZoom * factor));
      const scale = zoom / devicePixelRatio;
      const centre = held.map((at, axis) => at - (point[axis] - this.paneSize[axis] / 2) / scale);
      this.look(centre, zoom);
    }

    panBy(dx, dy) {
      this.look([this.centre[0] + dx / this.scale, this.centre[1] + dy / this.scale], this.zoom);
    }

    /* Fly to a box of the picture. */
    flyTo([x0, y0, x1, y1]) {
      const share = Math.min(this.paneSize[0] / (x1 - x0), this.paneSize[1] / (y1 - y0));
      const zoom = Math.min(MOST_ZOOM, BOX_SHARE * share * devicePixelRatio);
      const centre = [(x0 + x1) / 2, (y0 + y1) / 2];
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (still || !this.extent[0]) return this.look(centre, zoom);
      const from = { centre: this.centre, zoom: this.shownZoom, start: performance.now() };
      const flight = (this.flight = (now) => {
        if (this.flight !== flight) return;
        const time = Math.min(1, Math.max(0, (now - from.start) / FLIGHT_MS));
        const share = 1 - (1 - time) ** 3;
        const reached = from.zoom * (zoom / from.zoom) ** share;
        // The place moves with the magnification, so that the box comes near on a straight line.
        const passed = (1 / from.zoom - 1 / reached) / (1 / from.zoom - 1 / zoom);
        const way = zoom === from.zoom ? share : passed;
        const between = (at, axis) => from.centre[axis] + (at - from.centre[axis]) * way;
        this.place(centre.map(between), reached);
        if (time < 1) requestAnimationFrame(flight);
        else this.look(centre, zoom);
      });
      requestAnimationFrame(flight);
    }

    /* Where the picture's upper left corner is painted in a pane, in CSS pixels. */
    get corner() {
      return this.centre.map((at, axis) => {
        const start = this.paneSize[axis] / 2 - at * this.scale;
        // Whole device pixels, so that the picture's pixels have crisp edges.
        const whole = Math.round(start * devicePixelRatio) / devicePixelRatio;
        return this.shownZoom >= 1 ? whole : start;
      });
    }

    toPicture(point) {
      const fromMiddle = (axis) => (point[axis] - this.paneSize[axis] / 2) / this.scale;
      return this.centre.map((at, axis) => at + fromMiddle(axis));
    }

    /* Return the pixel under a point of a pane, or null outside of the picture. */
    pixelAt(point) {
      const pixel = this.corner.map((start, axis) => Math.floor((point[axis] - start) / this.scale));
      return pixel.every((at, axis) => at >= 0 && at < this.size[axis]) ? pixel : null;
    }

    draw() {
      if (this.asked) return;
      this.asked = requestAnimationFrame(() => {
        this.asked = 0;
        this.paint();
        this.told.view();
      });
    }

    paint() {
      const [width, height] = this.paneSize;
      const { scale, mode } = this;
      const [left, top] = this.corner;
      for (const pane of Object.values(this.panes)) {
        pane.style.width = `${width}px`;
        pane.style.height = `${height}px`;
        const layer = pane.querySelector(".viewer-layer");
        layer.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
      }
      this.element.classList.toggle("crisp", this.shownZoom >= 1);
      this.element.style.touchAction = this.zoom === null ? "pan-y" : "none";
      const { a, b, errors } = this.panes;
      const stacked = this.isStacked;
      b.style.left = mode === "side" && !stacked ? `${width}px` : "0";
      b.style.top = stacked ? `${height}px` : "0";
      b.style.clipPath = mode === "slider" ? `inset(0 0 0 ${this.divider.value}%)` : "none";
      a.hidden = mode === "blink" && this.blinkOn;
      b.hidden = mode === "overlay" || (mode === "blink" && !this.blinkOn);
      errors.hidden = mode !== "overlay";
      const [x, y] = this.pixel;
      for (const { box, pixel } of this.marks) {
        outline(box, this.box, left, top, scale);
        outline(pixel, scale >= 4 && [x, y, x + 1, y + 1], left, top, scale);
      }
    }

    listen() {
      const { element } = this;
      element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      element.addEventListener("pointerdown", (event) => this.press(event));
      element.addEventListener("pointermove", (event) => this.move(event));
      element.addEventListener("pointerleave", () => {
        if (!this.pointers.size) this.point(null);
      });
      for (const name of ["pointerup", "pointercancel"]) {
        element.addEventListener(name, (event) => this.release(event));
      }
    }

    /* Point at a place of a pane, or at none. */
    point(place) {
      this.hover = place;
      this.draw();
    }

    /* Return a pointer's place in its pane, in CSS pixels. */
    placeOf(event) {
      const rect = this.element.getBoundingClientRect();
      const [width, height] = this.paneSize;
      const [x, y] = [event.clientX - rect.left, event.clientY - rect.top];
      return [x >= width ? x - width : x, y >= height ? y - height : y];
    }

    wheel(event) {
      if (event.target === this.divider) return;
      // Where there is nothing to zoom out of, the wheel goes on to scroll the page.
      if (event.deltaY > 0 && this.zoom === null) return;
      event.preventDefault();
      const lines = event.deltaMode ? 16 : 1;
      const factor = Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002));
      if (this.shownZoom * factor <= this.fitZoom) this.fit();
      else this.zoomBy(factor, this.placeOf(event));
    }

    press(event) {
      if (event.target === this.divider || event.button > 0) return;
      this.element.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.placeOf(event));
      const line = (this.divider.value / 100) * this.extent[0];
      const isNear = Math.abs(this.placeOf(event)[0] - line) <= GRIP_PX;
      this.movesDivider = this.mode === "slider" && isNear && this.pointers.size === 1;
    }

    move(event) {
      const before = this.pointers.get(event.pointerId);
      const point = this.placeOf(event);
      if (!before) return this.point(point);
      if (this.movesDivider) {
        this.told.divider(Math.round((100 * point[0]) / this.extent[0]));
      } else if (this.pointers.size === 1) {
        if (this.zoom !== null) this.panBy(before[0] - point[0], before[1] - point[1]);
      } else {
        const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
        const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
        // A pinch pans by half of each finger's way, about the middle of both.
        const middle = [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
        this.panBy((before[0] - point[0]) / 2, (before[1] - point[1]) / 2);
        this.zoomBy(apart(point) / Math.max(1, apart(before)), middle);
      }
      this.pointers.set(event.pointerId, point);
      this.point(point);
    }

    release(event) {
      this.pointers.delete(event.pointerId);
      // A finger that was lifted points at nothing.
      if (event.pointerType !== "mouse") this.point(null);
      this.movesDivider = false;
    }
  }

  function outline(mark, box, left, top, scale) {
    mark.hidden = !box;
    if (!box) return;
    mark.style.left = `${left + box[0] * scale}px`;
    mark.style.top = `${top + box[1] * scale}px`;
    mark.style.width = `${(box[2] - box[0]) * scale}px`;
    mark.style.height = `${(box[3] - box[1]) * scale}px`;
  }

  return Stage;
})();
