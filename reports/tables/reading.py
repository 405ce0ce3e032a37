"""What a reader sees of a table: rectangles of text, and numbers in digits that tell something."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .columns import NOT_APPLICABLE

_KIB = 1024


@dataclass(frozen=True)
class Section:
    """A rectangle of text under one title; `is_number` says which columns stand to the right.

    `notes` are (word, sentence) pairs: what a word in the rectangle means there.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_number: tuple[bool, ...]
    notes: tuple[tuple[str, str], ...] = ()


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number with at least so many significant digits and no exponent; a dash for None."""
    if value is None:
        return NOT_APPLICABLE
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    # 9.9996 in four digits is 10.000, one too many.
    grown = decimals and len(text.lstrip("-0.").replace(".", "")) > digits
    return f"{value:.{decimals - 1}f}" if grown else text


def milliseconds(value: float | None) -> str:
    """Return a time in ms without its unit: four digits, no finer than a microsecond."""
    if value is None:
        return NOT_APPLICABLE
    return f"{value:.3f}" if value < 1 else significant(value, 4)


def byte_count(value: float | None) -> str:
    """Return a number of bytes in MiB or GiB; a dash for None."""
    if value is None:
        return NOT_APPLICABLE
    if value < _KIB**3:
        return f"{significant(value / _KIB**2)} MiB"
    return f"{significant(value / _KIB**3)} GiB"


def share(value: float | None, digits: int = 3) -> str:
    """Return a share of 1 in per cent; a dash for None."""
    return NOT_APPLICABLE if value is None else f"{significant(100 * value, digits)} %"


def of_pictures(text: str, known: int, pictures: int) -> str:
    """Return a mean's text, and what it is a mean of where that is not all pictures."""
    return text if known >= pictures else f"{text} ({known} of {pictures} pictures)"


def span(values: list[float], digits: int = 3) -> str:
    """Return `low to high` of values, or the one that all of them are."""
    low, high = significant(min(values), digits), significant(max(values), digits)
    return low if low == high else f"{low} to {high}"


def count_span(counts: list[int]) -> str:
    """Return `low to high` of whole numbers, or the one that all of them are."""
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def listed(names: list[str], shown: int = 3) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - shown
    return "; ".join(names[:shown]) + (f"; and {more} more" if more > 0 else "")


_PLURALS = {"eye": "eyes", "face": "faces", "beak": "beaks", "mouth": "mouths", "hand": "hands"}


def plural(kind: str) -> str:
    """Return what several regions of a kind are called."""
    return _PLURALS.get(kind, kind)
