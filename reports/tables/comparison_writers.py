"""Tables of a comparison as CSV (full precision), Markdown and LaTeX (digits for reading)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from .columns import UNAVAILABLE
from .comparison_rows import QUOTED
from .reading import Section
from .writers import latex_text, markdown_text

_MEASURED = (
    "mean_diff",
    "ci_low",
    "ci_high",
    "smallest_detectable",
    "share_won",
    "baseline_mean",
    "codec_mean",
    "mean",
)
"""Columns of numbers that every row would have; elsewhere an empty cell is no loss."""


def to_csv(table: pd.DataFrame) -> str:
    """Return CSV at full precision, `unavailable` for what could not be had."""
    text = table.astype(object)
    computed = text["verdict"] != QUOTED if "verdict" in text else pd.Series(True, text.index)
    for name in _MEASURED:
        if name in text:
            text[name] = text[name].mask(text[name].isna() & computed, UNAVAILABLE)
    return text.to_csv(index=False, lineterminator="\n")


def to_markdown(parts: Sequence[Section]) -> str:
    """Return GitHub-flavoured Markdown: a table a section, its notes below."""
    blocks: list[str] = []
    for part in parts:
        if len(parts) > 1:
            blocks.append(f"### {markdown_text(part.title)}")
        rule = "|" + "|".join("--:" if number else ":--" for number in part.is_number) + "|"
        rows = [_markdown_row(row) for row in part.rows]
        blocks.append("\n".join([_markdown_row(part.header), rule, *rows]))
        blocks.extend(
            f"*{markdown_text(word)}*: {markdown_text(note)}" for word, note in part.notes
        )
    return "\n\n".join(blocks) + "\n"


def to_latex(name: str, parts: Sequence[Section]) -> str:
    """Return LaTeX for the packages booktabs and longtable: a table a section, notes below.

    Args:
        name: of the comparison, for the captions.
    """
    blocks = ["% \\usepackage{booktabs,longtable}"]
    for part in parts:
        alignment = "".join("r" if number else "l" for number in part.is_number)
        blocks.append(f"\\begin{{longtable}}{{{alignment}}}")
        blocks.append(f"\\caption{{{latex_text(f'{name}: {part.title}')}}}\\\\")
        blocks.append(f"\\toprule\n{_latex_row(part.header)}\n\\midrule\n\\endhead")
        blocks.append("\\bottomrule\n\\endfoot")
        blocks.extend(_latex_row(row) for row in part.rows)
        blocks.append("\\end{longtable}")
        blocks.extend(
            f"\\noindent{{\\footnotesize\\emph{{{latex_text(word)}}}: {latex_text(note)}\\par}}"
            for word, note in part.notes
        )
    return "\n".join(blocks) + "\n"


WRITERS: dict[str, Callable[[str, pd.DataFrame, Sequence[Section]], str]] = {
    "csv": lambda name, table, parts: to_csv(table),
    "md": lambda name, table, parts: to_markdown(parts),
    "tex": lambda name, table, parts: to_latex(name, parts),
}
"""How each kind of file is written from a comparison's name, a table and its sections."""


def _markdown_row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"


def _latex_row(cells: tuple[str, ...]) -> str:
    first, *rest = map(latex_text, cells)
    # LaTeX takes a bracket or star at the start of a row for an argument of the row before.
    first = f"{{{first}}}" if first.startswith(("[", "*")) else first
    return " & ".join([first, *rest]) + r" \\"
