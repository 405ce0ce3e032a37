"""The page of a command that answers one question: gate.html, explain.html, ladder.html.

It is made from what the command's `--json` prints, opens from disk, and has no script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ..render import render
from ..tables.reading import Section

UNFOLDED_ROWS = 12
VERDICTS = {"pass": "better", "fail": "worse", "inconclusive": "undecided"}
"""The tone of each verdict."""


@dataclass(frozen=True)
class Interval:
    """Where an estimate, its interval and a limit lie on one axis, in per cent of its width.

    `allowed` is the part of the axis that keeps the rule, from and to.
    """

    low: float
    high: float
    estimate: float
    limit: float
    allowed: tuple[float, float]


@dataclass(frozen=True)
class Answer:
    """One page: a question, the answer in a word or figure, and what it rests on."""

    kind: str
    title: str
    question: str
    figure: str
    tone: str
    answer: str
    protocol: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    intervals: tuple[Interval | None, ...] = ()
    plot: str | None = None
    caption: str = ""
    notices: tuple[str, ...] = ()
    reading: tuple[tuple[str, str], ...] = ()
    command: str = ""

    def html(self) -> str:
        """Return the page."""
        told = {"tones": VERDICTS, "unfolded": UNFOLDED_ROWS, "version": version("vaebench")}
        return render("answer.html.j2", {"page": self, **told})
