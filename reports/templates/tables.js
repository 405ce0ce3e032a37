// Tables that can be sorted, filtered, paged and copied; the state of each is in the address.
"use strict";
(() => {
  const PAGE_ROWS = 25;
  const FILTERED_ROWS = 12;
  const { FORMATS, ScoreRows, copy, make, numberOf, plain } = window.vaebenchTables;
  const state = window.vaebenchState;
  const words = new Intl.Collator(undefined, { numeric: true });

  function labelled(text, control, id) {
    control.id = id;
    const label = make("label", { htmlFor: id, textContent: text });
    return make("span", { className: "field" }, label, control);
  }

  // Words are compared once for each that differs, and there are as many rows of each as codecs.
  function ranksOf(texts) {
    const ordered = [...new Set(texts)].sort(words.compare);
    const ranks = new Map(ordered.map((text, rank) => [text, rank]));
    return texts.map((text) => ranks.get(text));
  }

  // A table that the page holds already: its rows are moved, never made anew.
  function elementsOf(table) {
    const textOf = (cell) => [...cell.childNodes].map((node) => node.textContent.trim())
      .filter(Boolean).join(" ");
    const rows = [...table.tBodies[0].rows];
    const columns = [...table.tHead.rows[0].cells].map((head) => ({
      name: head.dataset.name ?? textOf(head),
      isNumber: head.classList.contains("number"),
      better: Number(head.dataset.better ?? 0),
      head,
    }));
    const texts = rows.map((row) => [...row.cells].map(textOf));
    const has = (row, text) => texts[row].some((cell) => cell.toLowerCase().includes(text));
    const filters = rows.length > FILTERED_ROWS
      ? [{ name: "filter", label: "Filter rows", initial: "", passes: has }] : [];
    return {
      columns,
      filters,
      count: rows.length,
      first: null,
      textOf: (row, column) => texts[row][column] ?? "",
      render: (row) => rows[row],
    };
  }

  class Table {
    constructor(root, source) {
      this.root = root;
      this.key = root.dataset.table;
      this.source = source;
      this.body = root.querySelector("tbody");
      this.keys = new Map();
      this.fields = new Map();
      this.page = 0;
      root.prepend(this.tools());
      root.append(this.pager());
      source.columns.forEach((column, at) => this.makeSortable(column, at));
      this.read();
      const own = ["sort", "page", ...source.filters.map((filter) => filter.name)];
      if (!state.get("picture") && own.some((name) => this.get(name) !== null)) this.reveal();
      state.onChange(() => { if (this.read()) this.reveal(); });
    }

    reveal() {
      this.root.closest("details")?.setAttribute("open", "");
      this.root.scrollIntoView({ block: "nearest" });
    }

    makeSortable(column, at) {
      const button = make("button", { type: "button", className: "sort" });
      button.append(...column.head.childNodes);
      button.addEventListener("click", () => this.sortBy(at));
      column.head.replaceChildren(button);
    }

    tools() {
      const filters = this.source.filters.map((filter) => this.makeFilter(filter));
      const told = make("span", { className: "told" });
      told.setAttribute("aria-live", "polite");
      const buttons = Object.entries(FORMATS).map(([name, format]) => {
        const button = make("button", { type: "button", textContent: name });
        button.setAttribute("aria-label", `Copy as ${name}`);
        button.addEventListener("click", async () => {
          await copy(format(this.source.columns, this.rows.map((row) => this.texts(row))));
          told.textContent = `${this.rows.length} rows copied`;
        });
        return button;
      });
      return make("div", { className: "tools" }, ...filters,
        make("span", { className: "copy" }, told, "Copy ", ...buttons));
    }

    makeFilter(filter) {
      const options = (filter.options ?? []).map(([value, textContent]) => (
        make("option", { value, textContent })));
      const field = options.length ? make("select", {}, ...options)
        : make("input", { type: "search", spellcheck: false });
      field.addEventListener("input", () => {
        const value = field.value === filter.initial ? null : field.value;
        this.put({ [filter.name]: value, page: null });
      });
      this.fields.set(filter, field);
      return labelled(filter.label, field, `${this.key}-${filter.name}`);
    }

    pager() {
      this.where = make("span", {});
      this.where.setAttribute("aria-live", "polite");
      this.steps = [["Previous", -1], ["Next", 1]].map(([name, step]) => {
        const button = make("button", { type: "button", textContent: name });
        button.addEventListener("click", () => {
          if (button.getAttribute("aria-disabled") === "true") return;
          // The first page is 1, and what is usual is not in the address.
          this.put({ page: this.page + step === 0 ? null : this.page + step + 1 });
        });
        return button;
      });
      this.pages = make("div", { className: "pages" }, this.where, ...this.steps);
      return this.pages;
    }

    put(values) {
      const named = Object.entries(values).map(([name, value]) => [`${this.key}.${name}`, value]);
      state.set(Object.fromEntries(named));
      this.read();
    }

    get(name) {
      return state.get(`${this.key}.${name}`);
    }

    texts(row) {
      return this.source.columns.map((column, at) => {
        const text = this.source.textOf(row, at);
        return column.isNumber ? plain(text) : text;
      });
    }

    // The first click on a column brings what is worst to the top.
    usual(at) {
      const { better, isNumber } = this.source.columns[at];
      return better > 0 || !isNumber ? "ascending" : "descending";
    }

    sortBy(at) {
      const other = this.order === "ascending" ? "descending" : "ascending";
      const order = this.sorted === at ? other : this.usual(at);
      this.put({ sort: `${this.source.columns[at].name}:${order}`, page: null });
    }

    // Follow the state; return whether anything changed.
    read() {
      const [, name, order] = /^([^]*):(ascending|descending)$/.exec(this.get("sort") ?? "") ?? [];
      const at = this.source.columns.findIndex((column) => column.name === name);
      const first = this.source.first?.column ?? null;
      this.sorted = at < 0 ? first : at;
      this.order = at < 0 ? (first === null ? null : this.usual(first)) : order;
      const chosen = this.source.filters.map((filter) => this.get(filter.name) ?? filter.initial);
      this.page = (Number(this.get("page")) || 1) - 1;
      const view = JSON.stringify([this.sorted, this.order, chosen, this.page]);
      if (view === this.view) return false;
      this.view = view;
      this.select(chosen);
      this.show();
      return true;
    }

    select(chosen) {
      const { filters, count } = this.source;
      filters.forEach((filter, at) => {
        const field = this.fields.get(filter);
        if (field.value !== chosen[at]) field.value = chosen[at];
      });
      this.source.chosen?.(chosen);
      const wanted = filters.map((filter, at) => (
        filter.options ? chosen[at] : chosen[at].trim().toLowerCase()));
      const passes = (row) => filters.every((filter, at) => (
        wanted[at] === "" || filter.passes(row, wanted[at])));
      this.rows = Array.from({ length: count }, (_, row) => row).filter(passes);
      if (this.sorted !== null) this.rows.sort(this.comparison());
    }

    comparison() {
      const keys = this.keysOf(this.sorted);
      const sign = this.order === "ascending" ? 1 : -1;
      const order = (a, b) => Number(a > b) - Number(a < b);
      return (a, b) => (
        Number.isNaN(keys[a]) - Number.isNaN(keys[b]) || sign * order(keys[a], keys[b]));
    }

    keysOf(at) {
      if (!this.keys.has(at)) {
        const { columns, count } = this.source;
        const texts = Array.from({ length: count }, (_, row) => this.source.textOf(row, at));
        this.keys.set(at, columns[at].isNumber ? texts.map(numberOf) : ranksOf(texts));
      }
      return this.keys.get(at);
    }

    show() {
      const last = Math.max(0, Math.ceil(this.rows.length / PAGE_ROWS) - 1);
      this.page = Math.min(Math.max(0, this.page), last);
      const start = this.page * PAGE_ROWS;
      const rows = this.rows.slice(start, start + PAGE_ROWS);
      this.body.replaceChildren(...rows.map((row) => this.source.render(row)));
      this.source.columns.forEach((column, at) => {
        if (at === this.sorted) column.head.setAttribute("aria-sort", this.order);
        else column.head.removeAttribute("aria-sort");
      });
      this.pages.hidden = this.rows.length === this.source.count && last === 0;
      const total = this.rows.length;
      const range = `Rows ${start + 1}–${start + rows.length} of ${total}`;
      this.where.textContent = total ? range : "No row fits the filters";
      this.steps.forEach((button, at) => {
        button.setAttribute("aria-disabled", String(at ? this.page === last : this.page === 0));
        button.hidden = last === 0;
      });
    }
  }

  /* Fill a table whose rows are in a part, which is larger than all else of the page. */
  async function load(root, table) {
    const [folder, key] = root.dataset.part.split("/");
    const data = await window.vaebenchViewer.part(key, folder);
    root.removeAttribute("aria-busy");
    if (data) new Table(root, new ScoreRows(table, data));
    else root.textContent = `${root.dataset.part}.js is gone; make the report again.`;
  }

  for (const root of document.querySelectorAll("[data-table]")) {
    const table = root.querySelector("table");
    if (root.dataset.part) load(root, table);
    else new Table(root, elementsOf(table));
  }
})();
