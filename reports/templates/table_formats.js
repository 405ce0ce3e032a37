// What a cell's text is to a program: its number, and the whole table as CSV, Markdown or LaTeX.
"use strict";
window.vaebenchTables = (() => {
  const NONE = new Set(["–", "unavailable", ""]);

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // Numbers are written with a true minus on the page, and with a hyphen for other programs.
  const plain = (text) => text.replaceAll("−", "-");
  const shown = (text) => text.replaceAll("-", "−");

  // What a number sorts by; NaN, which is always last, where there is none.
  function numberOf(text) {
    if (NONE.has(text)) return NaN;
    const [, sign, isInfinite] = /^([+-]?)(inf)?/.exec(plain(text));
    if (isInfinite) return sign === "-" ? -Infinity : Infinity;
    return Number.parseFloat(plain(text).replaceAll(",", "")) * (text.includes("GiB") ? 1024 : 1);
  }

  const MARKDOWN = /[\\`*_[\]|#~]/g;
  const LATEX = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#",
    "%": "\\%", _: "\\_", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}",
    "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", "–": "--",
  };

  function asCsv(columns, rows) {
    const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    return `${[columns.map((column) => column.name), ...rows]
      .map((row) => row.map(cell).join(",")).join("\n")}\n`;
  }

  function asMarkdown(columns, rows) {
    const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
    const cell = (text) => text.replace(/[&<>]/g, (sign) => entities[sign])
      .replace(MARKDOWN, "\\$&").replaceAll("\n", " ");
    const line = (row) => `| ${row.map(cell).join(" | ")} |\n`;
    const rule = columns.map((column) => (column.isNumber ? "--:" : ":--")).join("|");
    return `${line(columns.map((column) => column.name))}|${rule}|\n${rows.map(line).join("")}`;
  }

  function asLatex(columns, rows) {
    const cell = (text) => [...text.replaceAll("\n", " ")].map((sign) => LATEX[sign] ?? sign)
      .join("");
    const line = (row) => `${row.map(cell).join(" & ")} \\\\\n`;
    const places = columns.map((column) => (column.isNumber ? "r" : "l")).join("");
    return `% \\usepackage{booktabs}\n\\begin{tabular}{${places}}\n\\toprule\n`
      + `${line(columns.map((column) => column.name))}\\midrule\n${rows.map(line).join("")}`
      + "\\bottomrule\n\\end{tabular}\n";
  }

  const FORMATS = { CSV: asCsv, Markdown: asMarkdown, LaTeX: asLatex };

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without leave for the clipboard, the old way still works from a click.
      const field = make("textarea", { value: text, className: "offscreen" });
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  return { FORMATS, copy, make, numberOf, plain, shown };
})();
