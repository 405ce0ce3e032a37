"""Where a series changed its level: E-divisive with a permutation test.

Source: Matteson and James (2014), A nonparametric approach for multiple change point analysis of
multivariate data, JASA 109, 334-345; for performance tests: Daly et al. (2020), The use of change
point detection to identify software performance regressions in a continuous integration system,
ICPE 2020, 67-75.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_SEGMENT = 5
"""Fewer values on either side of a change are no level."""

SIGNIFICANCE = 0.01
"""A change stands where at most this share of the permutations, itself among them, is as strong."""

_PERMUTATIONS = 499


def change_points(values: Sequence[float], seed: int = 0) -> list[int]:
    """Return the indices at which a new level begins, in order.

    Positive values are compared by their logarithms, so that a step is a ratio and a slow outlier
    weighs no more than a fast one; where one is zero or negative, all are compared as they are.
    Outliers make no step, but a few of three times the level or more can hide one of 5 %.

    Args:
        values: finite numbers, oldest first; their scale plays no part.
        seed: of the permutations.
    Raises: ValueError where a value is not finite.
    """
    series = np.asarray(values, dtype=np.float64)
    if not np.isfinite(series).all():
        raise ValueError("change points need finite values")
    if (series > 0).all():
        series = np.log(series)
    random = np.random.default_rng(seed)
    found: list[int] = []
    segments = [(0, len(series))]
    while segments:
        begin, end = segments.pop()
        place = _significant_split(series[begin:end], random)
        if place is not None:
            found.append(begin + place)
            segments += [(begin, begin + place), (begin + place, end)]
    return sorted(found)


def _significant_split(series: NDArray[np.float64], random: np.random.Generator) -> int | None:
    """Return the best split of a segment where few shuffled segments have one as good."""
    if len(series) < 2 * MIN_SEGMENT or np.ptp(series) == 0:
        return None
    distances = np.abs(series[:, None] - series[None, :])
    place, strength = _best_split(distances)
    as_good = 0
    for _ in range(_PERMUTATIONS):
        order = random.permutation(len(series))
        as_good += _best_split(distances[np.ix_(order, order)])[1] >= strength
        if (1 + as_good) / (1 + _PERMUTATIONS) > SIGNIFICANCE:
            return None
    return place


def _best_split(distances: NDArray[np.float64]) -> tuple[int, float]:
    """Return where the energy distance between the two sides is largest, and how large it is.

    With n values on the left and m on the right the statistic is nm/(n+m) times twice the mean
    distance across minus the mean distances within (equations 5 and 6 of the paper, exponent 1).
    """
    size = len(distances)
    left = np.arange(MIN_SEGMENT, size - MIN_SEGMENT + 1)
    right = size - left
    # Sums over the rows of the left side: of all distances, and of those within the left side.
    rows = np.cumsum(distances.sum(axis=1))
    within_left = 2 * np.cumsum(np.tril(distances).sum(axis=1))[left - 1]
    across = rows[left - 1] - within_left
    within_right = rows[-1] - rows[left - 1] - across
    statistic = (left * right / size) * (
        2 * across / (left * right)
        - within_left / (left * (left - 1))
        - within_right / (right * (right - 1))
    )
    best = int(np.argmax(statistic))
    return int(left[best]), float(statistic[best])
