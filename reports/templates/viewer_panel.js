/* What stands around the stage: the list of pictures, region chips, metrics, patches, latents.
 *
 * Every text from the run is set as text, never as markup. */
"use strict";
vaebenchViewer.panel = (() => {
  const { inline } = vaebenchViewer;
  const PICTURES_A_PAGE = 48;
  const THUMBNAIL_PX = 64;

  /* Return a new element with properties (or attributes, where a name has a dash) and children. */
  function element(tag, properties, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.includes("-") || name === "role" || name === "scope") made.setAttribute(name, value);
      else made[name] = value;
    }
    made.append(...children);
    return made;
  }

  class PictureList {
    /* `pictures` are {key, id}, in the order in which they are listed. */
    constructor(pictures, list, search, pages) {
      Object.assign(this, { pictures, list, pages, first: 0, found: pictures });
      const [back, , on] = pages.children;
      search.addEventListener("input", () => this.search(search.value.trim().toLowerCase()));
      back.addEventListener("click", () => this.turn(-PICTURES_A_PAGE));
      on.addEventListener("click", () => this.turn(PICTURES_A_PAGE));
    }

    search(words) {
      this.found = this.pictures.filter((picture) => picture.id.toLowerCase().includes(words));
      this.first = 0;
      this.draw();
    }

    turn(step) {
      this.first = Math.max(0, this.first + step);
      this.draw();
    }

    choose(chosen) {
      this.chosen = chosen;
      const place = this.found.indexOf(chosen);
      if (place >= 0) this.first = place - (place % PICTURES_A_PAGE);
      this.draw();
      const link = this.list.querySelector("[aria-current]");
      if (link) this.list.scrollLeft = link.offsetLeft - this.list.clientWidth / 2;
    }

    draw() {
      const shown = this.found.slice(this.first, this.first + PICTURES_A_PAGE);
      this.list.replaceChildren(...shown.map((picture) => element("li", {}, this.link(picture))));
      const [back, range, on] = this.pages.children;
      this.pages.hidden = this.found.length <= PICTURES_A_PAGE && this.found.length > 0;
      back.disabled = this.first === 0;
      on.disabled = this.first + PICTURES_A_PAGE >= this.found.length;
      range.textContent = shown.length
        ? `${this.first + 1}–${this.first + shown.length} of ${this.found.length}`
        : "No picture has this in its name.";
    }

    link(picture) {
      const href = `#picture=${encodeURIComponent(picture.id)}`;
      const link = element("a", { href, title: picture.id });
      // The row keeps its height while a thumbnail is on its way.
      const image = element("img", { loading: "lazy", alt: "", height: 46 });
      image.src = inline(`${picture.key}/thumbnail`) ?? `viewer/${picture.key}/thumbnail.jpg`;
      link.append(image);
      link.append(element("span", { textContent: picture.id }));
      if (picture === this.chosen) link.setAttribute("aria-current", "true");
      return link;
    }
  }

  /* Fill the chips: a button a region. */
  function chips(list, regions, go) {
    list.replaceChildren(...regions.map((region) => element("button", {
      type: "button", textContent: region.name, title: region.kind,
      "aria-pressed": "false", onclick: () => go(region),
    })));
  }

  /* Fill the table of metrics: a column a codec, a group of rows an area.
   *
   * `hint` is shown where not all columns are. `areas` are {title, rows}, each row {label, cells, best}; `letters` are those of A and B that a
   * codec has. */
  function metrics(table, hint, codecs, areas, letters) {
    const mark = (letter) => element("b", { textContent: letter });
    const head = codecs.map((name, at) => element("th", { scope: "col", title: name },
      element("span", { textContent: name }), ...letters[at].map(mark)));
    const cell = (text, isBest) => element("td", {
      textContent: text, className: isBest ? "best" : text === "unavailable" ? "missing" : "" });
    const colSpan = codecs.length + 1;
    const groups = areas.map(({ title, rows }) => element("tbody", {},
      element("tr", {}, element("th", { scope: "rowgroup", colSpan },
        element("span", { textContent: title }))),
      ...rows.map(({ label, cells, best }) => element("tr", {},
        element("th", { scope: "row", textContent: label }),
        ...cells.map((text, at) => cell(text, best.includes(at))),
      )),
    ));
    const header = element("tr", {}, element("td", {}), ...head);
    table.replaceChildren(element("thead", {}, header), ...groups);
    const scroll = table.parentElement;
    hint.hidden = scroll.scrollWidth <= scroll.clientWidth;
    scroll.tabIndex = hint.hidden ? -1 : 0;
    // What is compared is in view, until a reader scrolls elsewhere.
    if (table.dataset.letters === String(letters)) return;
    table.dataset.letters = letters;
    for (const cell of head.filter((_, at) => letters[at].length)) {
      const covered = table.querySelector("tbody tr:last-child th").offsetWidth;
      const [left, right] = [cell.offsetLeft - covered, cell.offsetLeft + cell.offsetWidth];
      scroll.scrollLeft = Math.min(left, Math.max(scroll.scrollLeft, right - scroll.clientWidth));
    }
  }

  /* Fill the worst patches: a button each, showing its part of the picture at `address`. */
  async function patches(list, codec, found, { address, label, size }, go) {
    list.replaceChildren();
    const filling = (list.filling = {});
    const source = await address;
    // Another picture may have been chosen meanwhile.
    if (list.filling !== filling) return;
    const buttons = found.map(({ box, value }, place) => {
      const [x0, y0, x1, y1] = box;
      const scale = THUMBNAIL_PX / Math.max(x1 - x0, y1 - y0);
      const picture = element("img", { alt: "", src: source, loading: "lazy" });
      picture.style.width = `${size[0] * scale}px`;
      picture.style.transform = `translate(${-x0 * scale}px, ${-y0 * scale}px)`;
      const name = `Worst patch ${place + 1} of ${codec}: x ${x0}, y ${y0}, ${label} ${value}`;
      const shown = element("span", { className: "viewer-patch" }, picture);
      return element("button", {
        type: "button", "aria-label": name, title: name, onclick: () => go(box),
      }, shown, element("small", { textContent: value }));
    });
    list.replaceChildren(...buttons);
  }

  /* Fill the latents: the sheet of channels of each codec that has one. */
  function latents(place, sheets) {
    place.replaceChildren(...sheets.map(({ address, caption }) => element("figure", {},
      element("figcaption", { textContent: caption }),
      element("img", { alt: caption, src: address, loading: "lazy" }),
    )));
  }

  return { PictureList, chips, metrics, patches, latents };
})();
