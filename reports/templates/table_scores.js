// All scores of a run as the rows of one table, from the compact form of score_table.py.
"use strict";
(() => {
  const { make, numberOf, shown } = window.vaebenchTables;
  // More would be no list to choose from; kinds are few, and a search finds a picture.
  const MOST_NAMES = 200;
  const ARROWS = { 1: " ↑", 0: "", "-1": " ↓" };

  class ScoreRows {
    constructor(table, data) {
      this.table = table;
      this.data = data;
      this.values = data.values.map((text) => text.split(" "));
      this.count = this.values[0].length;
      const named = [
        { name: "picture", label: "Picture", of: (row) => this.picture(row) },
        { name: "region", label: "Region", of: (row) => this.region(row)[0] },
        { name: "codec", label: "Codec", of: (row) => this.codec(row) },
      ].map((column) => ({ ...column, isNumber: false, better: 0 }));
      const numbers = data.columns.map((column, at) => (
        { ...column, name: column.variant, isNumber: true, of: (row) => this.word(at, row) }));
      this.columns = [...named, ...numbers];
      this.numbers = numbers;
      this.first = data.first === null ? null : { column: data.first + named.length };
      this.filters = this.makeFilters();
      const heads = this.columns.map((column) => this.head(column));
      table.tHead.replaceChildren(make("tr", {}, ...heads));
    }

    place(row) { return 2 * Math.floor(row / this.data.codecs.length); }

    picture(row) { return this.data.pictures[this.data.places[this.place(row)]]; }

    region(row) { return this.data.regions[this.data.places[this.place(row) + 1]]; }

    codec(row) { return this.data.codecs[row % this.data.codecs.length]; }

    isWhole(row) { return this.data.places[this.place(row) + 1] === 0; }

    word(at, row) {
      const text = this.values[at][row];
      return text === this.data.missing ? this.data.unavailable : text;
    }

    textOf(row, column) { return this.columns[column].of(row); }

    makeFilters() {
      const { regions, codecs } = this.data;
      const kinds = [...new Set(regions.slice(1).map(([, kind]) => kind))];
      const places = [["whole", "whole pictures"]];
      if (regions.length > 1) {
        places.push(["regions", "all regions"], ["any", "pictures and regions"]);
        places.push(...kinds.map((kind) => [`kind:${kind}`, `${kind} (all)`]));
        const names = new Set(regions.slice(1).map(([name]) => name));
        const listed = names.size > MOST_NAMES ? [] : [...names];
        places.push(...listed.map((name) => [`name:${name}`, name]));
      }
      return [
        { name: "picture", label: "Picture", initial: "",
          passes: (row, text) => this.picture(row).toLowerCase().includes(text) },
        { name: "region", label: "Region", initial: "whole", options: places,
          passes: (row, wanted) => this.isIn(row, wanted) },
        { name: "codec", label: "Codec", initial: "",
          options: [["", "all codecs"], ...codecs.map((name) => [name, name])],
          passes: (row, name) => this.codec(row) === name },
      ];
    }

    isIn(row, wanted) {
      if (wanted === "any") return true;
      if (this.isWhole(row)) return wanted === "whole";
      const [name, kind] = this.region(row);
      return wanted === "regions" || wanted === `kind:${kind}` || wanted === `name:${name}`;
    }

    // Whole pictures have no gap to themselves.
    chosen([, place]) { this.table.classList.toggle("wholes", place === "whole"); }

    classOf(column) {
      return `${column.isNumber ? "number" : ""}${column.regional ? " regional" : ""}`;
    }

    head(column) {
      const unit = column.unit && column.better ? `, ${column.unit}` : "";
      const textContent = `${column.label}${ARROWS[column.better]}${unit}`;
      const cell = make("th", { className: this.classOf(column), scope: "col", textContent });
      const variant = (column.variant ?? "").replaceAll("/", "/\u200b");
      if (variant) cell.append(make("small", { textContent: variant }));
      column.head = cell;
      return cell;
    }

    // Whether no other codec is better on the same picture or region.
    isBest(column, row) {
      const { length } = this.data.codecs;
      const start = row - (row % length);
      const value = (at) => column.better * numberOf(column.of(start + at));
      const all = Array.from({ length }, (_, at) => value(at));
      const known = all.filter((one) => !Number.isNaN(one));
      return column.better !== 0 && known.length > 1 && all[row - start] === Math.max(...known);
    }

    address(row) {
      const parts = { picture: this.picture(row), a: "reference", b: this.codec(row) };
      if (!this.isWhole(row)) [parts.region] = this.region(row);
      const pairs = Object.entries(parts).map((pair) => pair.map(encodeURIComponent).join("="));
      return `#${pairs.join("&")}`;
    }

    cell(column, row) {
      const text = column.of(row);
      const className = text === this.data.unavailable ? "missing" : "";
      const best = this.isBest(column, row) ? " best" : "";
      return make("td", { className: `${this.classOf(column)}${best}` },
        make("span", { textContent: shown(text), className }));
    }

    render(row) {
      const [name, kind] = this.region(row);
      const link = make("a", { textContent: this.picture(row), href: this.address(row) });
      const small = this.isWhole(row) ? [] : [make("small", { textContent: kind })];
      return make("tr", {}, make("th", { scope: "row" }, link), make("td", {}, name, ...small),
        make("td", { textContent: this.codec(row) }),
        ...this.numbers.map((column) => this.cell(column, row)));
    }
  }

  window.vaebenchTables.ScoreRows = ScoreRows;
})();
