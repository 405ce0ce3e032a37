"""What a comparison says, in sentences computed from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from ..tables.comparison_rows import VERDICTS, ComparedRow, compared_codecs, compared_rows, place_of

MOST_EXCEPTIONS = 6
MOST_NAMES = 6
_OPPOSITE = {"better": "worse", "worse": "better"}
_PHRASES = {
    "better": "is better than",
    "worse": "is worse than",
    "same": "is the same as",
    "undecided": "is not told apart from",
}


@dataclass(frozen=True)
class Headline:
    """A codec's leading row, its sentence without the codec's name, and what the others say.

    `exceptions` names rows that go another way than the leading one; `counts` are (verdict, rows).
    """

    row: ComparedRow
    figure: str
    phrase: str
    exceptions: str
    counts: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """How many rows the codec has."""
        return sum(number for _, number in self.counts)

    @property
    def sentence(self) -> str:
        """The whole sentence: `after is better than before: +0.42 dB PSNR [0.31, 0.55] over …`."""
        told = f"{self.row.codec} {self.phrase} {self.row.baseline}: {self.evidence}"
        return f"{told}; {self.exceptions}." if self.exceptions else f"{told}."

    @property
    def evidence(self) -> str:
        """The difference, its interval and how many pictures it is of."""
        row = self.row
        pictures = f"{row.n_images} picture{'' if row.n_images == 1 else 's'}"
        where = (
            f"over {pictures}" if row.region == WHOLE else f"{place_of(row.region)} of {pictures}"
        )
        within = f", all within {row.margin_text}" if row.verdict == "same" and row.margin else ""
        return f"{row.quantity} {where}{within}"


def headlines(comparison: StoredComparison) -> list[Headline]:
    """Return a headline a codec: its first metric over whole pictures leads."""
    rows = compared_rows(comparison)
    return [
        _headline([row for row in rows if row.codec == codec])
        for codec in compared_codecs(comparison)
    ]


def _headline(rows: Sequence[ComparedRow]) -> Headline:
    known = (row for row in rows if row.mean_diff is not None or any(row.lossless))
    leading = next(known, rows[0])
    unit = f" {leading.column.unit}" if leading.column.unit else ""
    counted = Counter(row.verdict for row in rows)
    return Headline(
        leading,
        leading.difference if leading.mean_diff is None else f"{leading.difference}{unit}",
        _PHRASES[leading.verdict],
        _exceptions(leading, rows),
        tuple((verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict]),
    )


def _exceptions(leading: ComparedRow, rows: Sequence[ComparedRow]) -> str:
    """Return where the codec wins or loses otherwise than in the leading row."""
    wanted = [_OPPOSITE[leading.verdict]] if leading.verdict in _OPPOSITE else ["worse", "better"]
    parts: list[str] = []
    for verdict in wanted:
        chosen = [row for row in rows if row.verdict == verdict]
        if chosen:
            parts.append(f"{verdict} in {_places(chosen)}")
    return " and ".join(parts)


def _places(rows: Sequence[ComparedRow]) -> str:
    """Return metrics and places: `LPIPS at the eyes and at the text, FLIP over whole pictures`."""
    by_metric: dict[str, list[str]] = {}
    for row in rows:
        by_metric.setdefault(row.column.label, []).append(place_of(row.region))
    texts = [f"{metric} {_joined(places)}" for metric, places in by_metric.items()]
    more = len(texts) - MOST_EXCEPTIONS
    return ", ".join(texts[:MOST_EXCEPTIONS]) + (f" and {more} more metrics" if more > 0 else "")


def _joined(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]}"


@dataclass(frozen=True)
class LeftOut:
    """What was left out for one reason: the first names, and how many more."""

    what: str
    reason: str
    names: tuple[str, ...]
    more: int


def left_out(comparison: StoredComparison) -> list[LeftOut]:
    """Return what was left out of the comparison, an entry a reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in comparison.record["mismatches"]:
        groups.setdefault((entry["what"], entry["reason"]), []).append(str(entry["where"]))
    return [
        LeftOut(what, reason, tuple(names[:MOST_NAMES]), max(0, len(names) - MOST_NAMES))
        for (what, reason), names in groups.items()
    ]
