"""The smallest difference that a verdict would show: of normal differences, with 80 % power.

Pure. tests/bench/compare/test_power.py draws pictures of that difference and judges them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

import numpy as np
from scipy import optimize, stats

POWER: Final = 0.8
EFFICIENCY: Final = 3 / math.pi
"""Of Wilcoxon's test beside the t test where differences are normal (Lehmann 1975, ch. 4)."""

MOST_EXACT: Final = 50
"""Up to so many pictures, Wilcoxon's critical value is found from its exact distribution."""

_DRAWS: Final = 4000


def least_p(n: int) -> float:
    """Return the least two-sided p that the signs of n differences other than 0 can give: 2/2ⁿ."""
    return min(1.0, 2.0 ** (1 - n))


def smallest_detectable(
    differences: np.ndarray, family: int = 1, significance: float = 0.05
) -> float | None:
    """Return the mean difference that pictures like these would show as better with 80 % power.

    What is shown is the verdict's: Wilcoxon's p below 5 % after the family's correction, and an
    interval of the mean that excludes 0.

    Args:
        differences: float [n], finite; their deviation is taken, and that they are normal.
        family: how many rows the verdict is corrected for.
    Returns: None where so few pictures can have no verdict in such a family.
    Source: up to 50 pictures, signed ranks of the same normal deviates (fixed seed), moved until
        80 % of the draws are decided, the interval as Student's. Beyond, the paired t test with n
        times Wilcoxon's efficiency (Cohen 1988, ch. 2).
    """
    n = int(differences.size)
    level = significance / max(1, family)
    if least_p(n) >= level:
        return None
    effect = _effect_of_draws if n <= MOST_EXACT else _effect_of_t
    return effect(n, level) * float(differences.std(ddof=1))


@lru_cache(maxsize=1024)
def _effect_of_t(n: int, level: float) -> float:
    """Return the detectable difference in standard deviations, by the noncentral t² (F)."""
    critical = stats.t.ppf(1 - level / 2, n - 1)

    def missing_power(noncentrality: float) -> float:
        return float(stats.ncf.sf(critical**2, 1, n - 1, noncentrality**2)) - POWER

    found: Any = optimize.brentq(missing_power, 0.5, 2 * critical + 2, xtol=1e-10)
    return float(found) / math.sqrt(EFFICIENCY * n)


@lru_cache(maxsize=1024)
def _effect_of_draws(n: int, level: float) -> float:
    """Return the detectable difference in standard deviations, by drawing pictures."""
    deviates = np.random.default_rng(n).standard_normal((_DRAWS, n))
    most_lost = _critical_sum(n, level)
    quantile = float(stats.t.ppf(0.975, n - 1)) / math.sqrt(n)
    ranks = np.arange(1, n + 1)

    def power(shift: float) -> float:
        moved = deviates + shift
        order = np.argsort(np.abs(moved), axis=1)
        lost = (np.take_along_axis(moved < 0, order, axis=1) * ranks).sum(axis=1)
        excludes = moved.mean(axis=1) > quantile * moved.std(axis=1, ddof=1)
        return float(((lost <= most_lost) & excludes).mean())

    low, high = 0.0, 1.0
    while power(high) < POWER:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


@lru_cache(maxsize=1024)
def _critical_sum(n: int, level: float) -> int:
    """Return the largest sum of negative ranks whose two-sided p is below the level."""
    ways = np.ones(1)
    for rank in range(1, n + 1):
        grown = np.concatenate([ways, np.zeros(rank)])
        grown[rank:] += ways
        ways = grown
    p = 2 * np.cumsum(ways) / 2.0**n
    return int(np.searchsorted(p, level, side="left")) - 1
