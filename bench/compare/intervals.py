"""Confidence intervals of mean differences: the bootstrap over pictures, at the level that covers.

Pure: differences in, intervals out. tests/benchmarks/interval_coverage.py shows how often they
cover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Final

import numpy as np
from scipy import stats

FEWEST_FOR_BOOTSTRAP: Final = 6
"""Below this many pictures the resampled means cannot leave the range of the data often enough
for 95 % (at 5 a mean lies outside it with 2/2⁵ = 6 %), and no Wilcoxon p is below 5 %."""

_ELEMENTS_AT_ONCE: Final = 4_000_000
_ROUNDING: Final = 1e-12


def mean_intervals(
    rows: Sequence[np.ndarray], seed: int = 0, resamples: int = 10_000, confidence: float = 0.95
) -> list[tuple[float, float] | None]:
    """Return the confidence interval of each row's mean; None of a row of fewer than two values.

    BCa bootstrap at the level that makes it cover, Student's interval below
    FEWEST_FOR_BOOTSTRAP, a point where all values are equal.

    Source: Efron (1987), Better bootstrap confidence intervals; scipy.stats.bootstrap.
    """
    intervals: list[tuple[float, float] | None] = [None] * len(rows)
    by_size: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        if row.size < 2:
            continue
        if _all_equal(row):
            intervals[index] = (float(row.mean()), float(row.mean()))
        elif row.size < FEWEST_FOR_BOOTSTRAP:
            intervals[index] = _student_interval(row, confidence)
        else:
            by_size.setdefault(int(row.size), []).append(index)
    for chosen in by_size.values():
        resampled = _resample([rows[index] for index in chosen], seed, resamples)
        for index, (means, variances) in zip(chosen, resampled, strict=True):
            level = _covering_level(rows[index], means, variances, confidence)
            intervals[index] = _bca_interval(rows[index], means, level)
    return intervals


def _bca_interval(row: np.ndarray, means: np.ndarray, level: float) -> tuple[float, float]:
    """Return scipy's BCa interval of a row's mean from its resampled means."""
    answer = stats.bootstrap(
        (row,),
        np.mean,
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=means),
        batch=max(1, _ELEMENTS_AT_ONCE // row.size),
        vectorized=True,
        confidence_level=level,
        method="BCa",
    ).confidence_interval
    return float(answer.low), float(answer.high)


def _covering_level(
    row: np.ndarray, means: np.ndarray, variances: np.ndarray, confidence: float
) -> float:
    """Return the nominal level at which the BCa interval of a row of n covers `confidence`.

    Resampled means have (n-1)/n of the variance of means, and Φ has lighter tails than t: hence
    1 - 2·Φ(-√(n/(n-1))·t). For t, the quantile of the resampled |t| where that is larger than
    Student's, because it also knows the row's skew and outliers. At most the level at which five
    resamples lie outside on each side: past that, resamples cannot tell.
    Source: Hesterberg (2015), What teachers should know about the bootstrap (expanded interval);
    Hall (1988), On symmetric bootstrap confidence intervals (resampled |t|).
    """
    n = row.size
    off, spread = np.abs(means - row.mean()), np.sqrt(variances / (n - 1))
    resampled_t = np.divide(off, spread, out=np.full_like(off, np.inf), where=spread > 0)
    own = np.quantile(resampled_t, confidence, method="higher")
    quantile = max(float(own), float(stats.t.ppf((1 + confidence) / 2, n - 1)))
    level = 1 - 2 * float(stats.norm.sf(math.sqrt(n / (n - 1)) * quantile))
    return max(confidence, min(level, 1 - 10 / means.size))


def _resample(
    rows: Sequence[np.ndarray], seed: int, resamples: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the means and variances, [resamples] each, of every row drawn with replacement.

    They need only how often each value was drawn. These counts are drawn once for all rows, which
    makes a hundred rows cost little more than one, and a row's interval is the same whatever rows
    are beside it: einsum, unlike a matrix product, adds up in one order.
    """
    n = int(rows[0].size)
    random = np.random.default_rng(seed)
    found = [(np.empty(resamples), np.empty(resamples)) for _ in rows]
    at_once = max(1, _ELEMENTS_AT_ONCE // n)
    for start in range(0, resamples, at_once):
        draws = random.integers(0, n, (min(at_once, resamples - start), n))
        rank = np.arange(draws.shape[0])[:, None]
        flat = np.bincount((draws + rank * n).ravel(), minlength=draws.size)
        share = flat.reshape(draws.shape) / n
        part = slice(start, start + draws.shape[0])
        for row, (means, variances) in zip(rows, found, strict=True):
            mean = row.mean()
            means[part] = np.einsum("rn,n->r", share, row)
            squares = np.einsum("rn,n->r", share, (row - mean) ** 2)
            variances[part] = np.maximum(squares - (means[part] - mean) ** 2, 0)
    for row, (means, _) in zip(rows, found, strict=True):
        # BCa asks how many resamples lie below the mean: rounding must not break their ties.
        means[np.abs(means - row.mean()) <= _ROUNDING * np.abs(row).max()] = row.mean()
    return found


def _student_interval(row: np.ndarray, confidence: float) -> tuple[float, float]:
    quantile = float(stats.t.ppf((1 + confidence) / 2, row.size - 1))
    half = quantile * float(row.std(ddof=1)) / math.sqrt(row.size)
    return float(row.mean()) - half, float(row.mean()) + half


def _all_equal(row: np.ndarray) -> bool:
    """Whether the values differ by no more than the rounding of the subtraction that made them."""
    return float(np.ptp(row)) <= _ROUNDING * float(np.abs(row).max())
