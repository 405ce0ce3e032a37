"""What the same bytes look like: classical codecs brought to an autoencoder's bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .knobs import Knob

TOLERANCE = 0.02
"""Bytes are called equal within this share."""

_MOST_TRIES = 24


@dataclass(frozen=True)
class Match:
    """The value of a knob that comes nearest to the bytes that were wanted.

    `deviation` is (bytes − wanted)/wanted; `note` says why it is beyond TOLERANCE, "" where it
    is not.
    """

    value: float
    nbytes: int
    deviation: float
    note: str


def match_bytes(nbytes_at: Callable[[float], int], knob: Knob, wanted: int) -> Match:
    """Return the value of a knob at which a codec's bytes are nearest to `wanted`, by bisection.

    Bytes grow from `knob.fewest_bytes` to `knob.most_bytes`; where they do not quite, the nearest
    of all values tried is taken, so that the answer is never worse than what was seen.

    Args:
        nbytes_at: the bytes at a value of the knob.
        wanted: positive.
    """
    tried: dict[float, int] = {}

    def nbytes(value: float) -> int:
        if value not in tried:
            tried[value] = nbytes_at(value)
        return tried[value]

    few, many = knob.fewest_bytes, knob.most_bytes
    if nbytes(few) < wanted < nbytes(many):
        for _ in range(_MOST_TRIES):
            middle = _between(few, many, knob)
            if middle in (few, many) or _near(min(tried.values(), key=_off(wanted)), wanted):
                break
            few, many = (middle, many) if nbytes(middle) < wanted else (few, middle)
    value = min(tried, key=lambda each: _off(wanted)(tried[each]))
    deviation = (tried[value] - wanted) / wanted
    return Match(value, tried[value], deviation, _reason(knob, value, deviation, tried, wanted))


def _between(few: float, many: float, knob: Knob) -> float:
    if knob.whole:
        return float((few + many) // 2)
    # A ratio or a distance spans decades, and its half is its geometric mean.
    middle = math.sqrt(few * many) if min(few, many) > 0 else (few + many) / 2
    return float(f"{middle:.6g}")


def _off(wanted: int) -> Callable[[int], float]:
    return lambda nbytes: abs(math.log(max(nbytes, 1) / wanted))


def _near(nbytes: int, wanted: int) -> bool:
    return abs(nbytes - wanted) <= TOLERANCE * wanted


def _reason(
    knob: Knob, value: float, deviation: float, tried: dict[float, int], wanted: int
) -> str:
    if abs(deviation) <= TOLERANCE:
        return ""
    side = "more" if deviation > 0 else "fewer"
    told = f"{100 * abs(deviation):.1f} % {side} bytes at {knob.name}={value:g}"
    if value == knob.fewest_bytes and tried[value] > wanted:
        return f"{told}, the smallest it makes"
    if value == knob.most_bytes and tried[value] < wanted:
        return f"{told}, the largest it makes"
    return f"{told}: the next value is farther off"
