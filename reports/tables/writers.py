"""Tables as CSV (full precision), Markdown and LaTeX (digits for reading, reasons as notes)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from ...bench.store.run import StoredRun
from .columns import NOT_APPLICABLE, UNAVAILABLE, Column, quality_columns, rate_columns
from .latents import latent_sections
from .reading import Section
from .run import COUNTS, unavailable
from .timings import timing_sections


def columns_by_variant(run: StoredRun) -> dict[str, Column]:
    """Return the run's columns of scores under their variants."""
    return {column.variant: column for column in (*quality_columns(run), *rate_columns(run))}


def mean_text(row: Any, column: Column, pictures: int) -> str:
    """Return a summary row's mean for reading, and what it is a mean of where that is not all.

    A set with identical pictures reads `inf (3 of 24 identical; the rest 41.20)`.
    """
    values = row[column.variant]
    text = column.number(float(values["mean"]))
    if column.is_rate or math.isnan(values["mean"]):
        return text
    notes: list[str] = []
    known, infinite = int(values["pictures"]), int(values.get("infinite", 0))
    if infinite:
        notes.append(f"{infinite} of {known} identical")
        if infinite < known:
            notes[0] += f"; the rest {column.number(float(values['mean of the finite']))}"
    if known < pictures:
        notes.append(f"{known} of {pictures} pictures")
    return f"{text} ({'; '.join(notes)})" if notes else text


def sections(name: str, table: pd.DataFrame, run: StoredRun) -> list[Section]:
    """Return a table of TABLES as sections of text: one for each variant where it has many."""
    if name == "timings":
        return timing_sections(run)
    if name == "latents":
        return latent_sections(run)
    columns = columns_by_variant(run)
    if table.columns.nlevels == 1:
        return [_section(name, table, columns)]
    variants = list(dict.fromkeys(table.columns.get_level_values(0)))
    parts = [_overview(table, columns, len(run.images))] if name == "summary" else []
    for variant in variants:
        column = columns[variant]
        if not column.is_rate:
            part = table.xs(variant, axis=1, level=0)
            parts.append(_section(f"{column.label} ({variant})", part, columns, column))
    return parts


def _overview(table: pd.DataFrame, columns: dict[str, Column], pictures: int) -> Section:
    variants = [variant for variant, statistic in table.columns if statistic == "mean"]
    rows = tuple(
        (str(codec), *(mean_text(row, columns[variant], pictures) for variant in variants))
        for codec, row in table.iterrows()
    )
    return Section("Means", ("codec", *variants), rows, (False, *(True for _ in variants)))


def _section(
    title: str, table: pd.DataFrame, columns: dict[str, Column], column: Column | None = None
) -> Section:
    flat = table.reset_index() if any(table.index.names) else table
    header = tuple(str(name) for name in flat.columns)
    owners = [column or columns.get(name) for name in header]
    keys = set(table.index.names)
    rows = tuple(
        tuple(
            _text(value, name, None if name in keys else owner)
            for value, name, owner in zip(row, header, owners, strict=True)
        )
        for row in flat.itertuples(index=False, name=None)
    )
    numeric = tuple(
        name == "rank" or pd.api.types.is_numeric_dtype(flat[name]) for name in flat.columns
    )
    return Section(title, header, rows, numeric)


def _text(value: Any, statistic: str, column: Column | None) -> str:
    if isinstance(value, str):
        return value or {"region": "(mean)", "image_id": ""}.get(statistic, NOT_APPLICABLE)
    if column is None or statistic in COUNTS:
        return str(int(value))
    return column.number(float(value), signed=statistic == "gap")


def notes(run: StoredRun) -> list[str]:
    """Return why numbers are missing and the mend, a sentence a reason."""
    lines: list[str] = []
    for row in unavailable(run).to_dict("records"):
        codec = "" if row["codec"] == "all" else f", {row['codec']}"
        pictures = "" if row["pictures"] == "all" else f", {row['pictures']}"
        lines.append(f"{row['variant']}{codec}{pictures}: {row['reason']}")
    return lines


def to_csv(table: pd.DataFrame, run: StoredRun) -> str:
    """Return CSV at full precision, `unavailable` for what could not be had."""
    columns = columns_by_variant(run)
    flat: dict[str, pd.Series] = {}
    for place, name in enumerate(table.columns):
        variant = str(name[0] if isinstance(name, tuple) else name)
        # Objects, so that a float is written by repr: the shortest text that reads back the same.
        series = table.iloc[:, place].astype(object)
        if variant in columns:
            word = "" if columns[variant].is_rate else columns[variant].missing
            series = series.where(series.notna(), word)
        flat[" ".join(name) if isinstance(name, tuple) else str(name)] = series
    frame = pd.DataFrame(flat, index=table.index)
    return frame.to_csv(index=any(table.index.names), lineterminator="\n")


def to_markdown(name: str, table: pd.DataFrame, run: StoredRun) -> str:
    """Return GitHub-flavoured Markdown: a table a section, the reasons below."""
    parts = sections(name, table, run)
    blocks: list[str] = []
    for part in parts:
        lines = [] if len(parts) == 1 else [f"### {markdown_text(part.title)}", ""]
        lines.append(_markdown_row(part.header))
        lines.append("|" + "|".join("--:" if number else ":--" for number in part.is_number) + "|")
        lines.extend(_markdown_row(row) for row in part.rows)
        blocks.append("\n".join(lines))
        blocks.extend(f"*{word}*: {markdown_text(note)}" for word, note in part.notes)
    if _lacks(parts):
        blocks.extend(f"*unavailable*: {markdown_text(note)}" for note in notes(run))
    return "\n\n".join(blocks) + "\n"


def to_latex(name: str, table: pd.DataFrame, run: StoredRun) -> str:
    """Return LaTeX for the packages booktabs and longtable: a table a section, reasons below."""
    parts = sections(name, table, run)
    remarks = notes(run) if _lacks(parts) else []
    blocks = ["% \\usepackage{booktabs,longtable}"]
    run_name = str(run.record["name"])
    for part in parts:
        alignment = "".join("r" if number else "l" for number in part.is_number)
        blocks.append(f"\\begin{{longtable}}{{{alignment}}}")
        blocks.append(f"\\caption{{{latex_text(f'{run_name}: {part.title}')}}}\\\\")
        blocks.append(f"\\toprule\n{_latex_row(part.header)}\n\\midrule\n\\endhead")
        blocks.append("\\bottomrule\n\\endfoot")
        blocks.extend(_latex_row(row) for row in part.rows)
        blocks.append("\\end{longtable}")
        blocks.extend(_latex_note(word, note) for word, note in part.notes)
    blocks.extend(_latex_note(UNAVAILABLE, note) for note in remarks)
    return "\n".join(blocks) + "\n"


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    line = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
}


def latex_text(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line."""
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


WRITERS: dict[str, Callable[[str, pd.DataFrame, StoredRun], str]] = {
    "csv": lambda name, table, run: to_csv(table, run),
    "md": to_markdown,
    "tex": to_latex,
}
"""How each kind of file is written, by its ending."""


def _latex_note(word: str, note: str) -> str:
    return f"\\noindent{{\\footnotesize\\emph{{{latex_text(word)}}}: {latex_text(note)}\\par}}"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _lacks(parts: list[Section]) -> bool:
    return any(cell == UNAVAILABLE for part in parts for row in part.rows for cell in row)


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"


def _latex_row(cells: tuple[str, ...]) -> str:
    return " & ".join(latex_text(cell) for cell in cells) + r" \\"
