"""Tables as CSV (full precision), Markdown and LaTeX (digits for reading, reasons as notes)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from .columns import UNAVAILABLE
from .reading import Section

SubjectT = TypeVar("SubjectT")


@dataclass(frozen=True)
class Table:
    """A table as its files hold it.

    `frame` is for a program, numbers in full: a null of a `measured` column (of a pair, its first
    part) is a loss that is told, elsewhere an empty cell. `parts` are for reading, with captions
    that begin with `owner`, the name of the run or comparison.
    """

    name: str
    owner: str
    frame: pd.DataFrame
    parts: Sequence[Section]
    measured: Collection[str] = ()


Makers = Mapping[
    str, tuple[Callable[[SubjectT], pd.DataFrame], Callable[[SubjectT], Sequence[Section]]]
]
"""How each table is made, in full and for reading, by name."""


def made_tables(
    makers: Makers[SubjectT], subject: SubjectT, owner: str, measured: Collection[str]
) -> Iterator[Table]:
    """Yield the tables that have rows."""
    for name, (frame_of, parts_of) in makers.items():
        frame = frame_of(subject)
        if not frame.empty:
            yield Table(name, owner, frame, parts_of(subject), measured)


def to_csv(table: Table) -> str:
    """Return CSV at full precision, `unavailable` for what could not be had."""
    flat: dict[str, pd.Series] = {}
    for place, name in enumerate(table.frame.columns):
        parts = name if isinstance(name, tuple) else (name,)
        # Objects, so that a float is written by repr: the shortest text that reads back the same.
        values = table.frame.iloc[:, place].astype(object)
        known = values.notna() | (parts[0] not in table.measured)
        flat[" ".join(map(str, parts))] = values.where(known, UNAVAILABLE)
    frame = pd.DataFrame(flat, index=table.frame.index)
    return frame.to_csv(index=any(frame.index.names), lineterminator="\n")


def to_markdown(table: Table) -> str:
    """Return GitHub-flavoured Markdown: a table a section, its notes below."""
    blocks: list[str] = []
    for part in table.parts:
        if len(table.parts) > 1:
            blocks.append(f"### {markdown_text(part.title)}")
        blocks.append(markdown_table(part.header, part.rows, part.is_number))
        blocks.extend(
            f"*{markdown_text(word)}*: {markdown_text(note)}" for word, note in part.notes
        )
    return "\n\n".join(blocks) + "\n"


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], is_number: Sequence[bool]
) -> str:
    """Return one table of Markdown, all text escaped; columns of numbers stand to the right."""
    head, *below = (" | ".join(map(markdown_text, cells)) for cells in (header, *rows))
    rule = "|".join("--:" if number else ":--" for number in is_number)
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {row} |" for row in below)])


def to_latex(table: Table) -> str:
    """Return LaTeX for the packages booktabs and longtable: a table a section, notes below."""
    blocks = ["% \\usepackage{booktabs,longtable}"]
    for part in table.parts:
        alignment = "".join("r" if number else "l" for number in part.is_number)
        blocks.append(f"\\begin{{longtable}}{{{alignment}}}")
        blocks.append(f"\\caption{{{latex_text(f'{table.owner}: {part.title}')}}}\\\\")
        blocks.append(f"\\toprule\n{_latex_row(part.header)}\n\\midrule\n\\endhead")
        blocks.append("\\bottomrule\n\\endfoot")
        blocks.extend(_latex_row(row) for row in part.rows)
        blocks.append("\\end{longtable}")
        blocks.extend(
            f"\\noindent{{\\footnotesize\\emph{{{latex_text(word)}}}: {latex_text(note)}\\par}}"
            for word, note in part.notes
        )
    return "\n".join(blocks) + "\n"


WRITERS: dict[str, Callable[[Table], str]] = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
"""How each kind of file is written, by its ending."""


def markdown_text(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    line = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def _greek(letter: str) -> str:
    """Return a Greek letter's name in LaTeX, lambda or Sigma, from Unicode's."""
    name = unicodedata.name(letter).rpartition(" ")[2].replace("LAMDA", "LAMBDA")
    return name.lower() if letter.islower() else name.title()


_SIGNS = {
    **{letter: _greek(letter) for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"},
    **{"≤": "leq", "≥": "geq", "≈": "approx", "≠": "neq", "∞": "infty", "√": "surd", "∆": "Delta"},
    **{"⌈": "lceil", "⌉": "rceil", "⌊": "lfloor", "⌋": "rfloor", "∑": "sum"},
}
_SET_AS_IT_IS = "–—−‘’“”…•€™←→↑↓"
"""What pdfLaTeX knows beyond the Latin letters."""

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
    **{sign: rf"\ensuremath{{\{name}}}" for sign, name in _SIGNS.items()},
}
_LAST_LATIN = 0x17F


def latex_text(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line.

    pdfLaTeX stops at a letter of a script that it has no font for: its number stands there.
    """
    return "".join(_LATEX.get(character) or _latin(character) for character in _one_line(text))


def _latin(character: str) -> str:
    is_known = ord(character) <= _LAST_LATIN or character in _SET_AS_IT_IS
    return character if is_known else f"[U+{ord(character):04X}]"


def _latex_row(cells: Sequence[str]) -> str:
    first, *rest = map(latex_text, cells)
    # LaTeX takes a bracket or star at the start of a row for an argument of the row before.
    first = f"{{{first}}}" if first.startswith(("[", "*")) else first
    return " & ".join([first, *rest]) + r" \\"


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
