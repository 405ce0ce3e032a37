"""Whether one codec is better than another on the same pictures: statistics of paired differences.

Everything here is pure: differences in, verdicts out. tests/benchmarks/interval_coverage.py shows
how often the intervals cover and how often a verdict is given where there is no difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from scipy import stats

from .intervals import FEWEST_FOR_BOOTSTRAP, mean_intervals
from .power import least_p, smallest_detectable

Verdict = Literal["better", "worse", "same", "undecided"]

MARGINS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "psnr": 0.1,
        "ssim": 0.002,
        "ms-ssim": 0.002,
        "lpips": 0.002,
        "flip": 0.002,
        "ciede2000": 0.05,
    }
)
"""Within what difference two codecs are called the same, by metric, in its unit. A metric that is
not here is never called the same."""

SIGNIFICANCE: Final = 0.05


@dataclass(frozen=True)
class PairedResult:
    """What the differences (codec minus baseline, in the metric's unit) of one row say.

    `n_images` counts all pairs, `n_infinite` those of them where one side alone is +inf: these are
    in `share_won`, `p` and the verdict, not in the mean and its interval; where they are half of
    the pictures or more there is no mean. `n_won` and `n_lost` count pictures without ties,
    `n_infinite_won` those of `n_infinite` that the codec won. A number is None where it cannot be
    had, `note` then says why. `p` is not yet corrected for the family, and `smallest_detectable`
    is that of a row alone.
    """

    n_images: int
    mean_diff: float | None
    ci_low: float | None
    ci_high: float | None
    p: float
    share_won: float | None
    smallest_detectable: float | None
    note: str
    n_infinite: int = 0
    n_won: int = 0
    n_lost: int = 0
    n_infinite_won: int = 0

    @property
    def least_p(self) -> float:
        """The least p that the row could have had, whatever its pictures' signs."""
        return least_p(self.n_won + self.n_lost)

    @property
    def is_tie(self) -> bool:
        """Whether the two are exactly alike on every picture."""
        is_even = self.share_won == 0.5 and not self.n_infinite
        return is_even and not self.n_won and not self.n_lost


def paired_differences(codec: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    """Return codec minus baseline, [n]; 0 where both are infinite alike (both without error)."""
    alike = np.isinf(codec) & (codec == baseline)
    with np.errstate(invalid="ignore"):
        return np.where(alike, 0.0, codec - baseline)


def compare_pairs(
    differences: np.ndarray,
    higher_is_better: bool,
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> PairedResult:
    """Return mean, interval, p, share won and smallest detectable difference of one row.

    Args:
        differences: float [n], codec minus baseline of each picture; ±inf where one side alone is
            infinite, never NaN.
        higher_is_better: of the metric; decides who wins a picture, not the sign of the mean.
        seed, resamples: of the bootstrap. confidence: of its two-sided interval.
    Raises: ValueError where a difference is NaN.
    """
    return compare_rows([differences], [higher_is_better], seed, resamples, confidence)[0]


def compare_rows(
    rows: Sequence[np.ndarray],
    higher_is_better: Sequence[bool],
    seed: int = 0,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> list[PairedResult]:
    """Return `compare_pairs` of every row; rows of as many pictures share their resamples."""
    finite = [row[np.isfinite(row)] for row in rows]
    intervals = mean_intervals(finite, seed, resamples, confidence)
    return [
        _result(row, is_higher, interval)
        for row, is_higher, interval in zip(rows, higher_is_better, intervals, strict=True)
    ]


def _result(
    row: np.ndarray, higher_is_better: bool, interval: tuple[float, float] | None
) -> PairedResult:
    if np.isnan(row).any():
        raise ValueError("a difference is NaN; leave out the pictures without both values")
    n_images = int(row.size)
    finite = row[np.isfinite(row)]
    won = np.sign(row) if higher_is_better else -np.sign(row)
    has_mean = 2 * finite.size > n_images
    low, high = (interval if has_mean else None) or (None, None)
    return PairedResult(
        n_images=n_images,
        mean_diff=float(finite.mean()) if has_mean else None,
        ci_low=low,
        ci_high=high,
        p=wilcoxon_p(row),
        share_won=float((won + 1).mean() / 2) if n_images else None,
        smallest_detectable=smallest_detectable(finite),
        note=_note(row, int(finite.size)),
        n_infinite=n_images - int(finite.size),
        n_won=int((won > 0).sum()),
        n_lost=int((won < 0).sum()),
        n_infinite_won=int((np.isinf(row) & (won > 0)).sum()),
    )


def _note(row: np.ndarray, n_finite: int) -> str:
    notes: list[str] = []
    n_images = int(row.size)
    if not n_images:
        notes.append("no picture has both values")
    if n_finite < n_images:
        alone = f"{n_images - n_finite} of {n_images} pictures infinite on one side alone"
        if 2 * n_finite <= n_images:
            ours, theirs = int(np.isposinf(row).sum()), int(np.isneginf(row).sum())
            sides = ((ours, "lossless"), (theirs, "the baseline lossless"))
            told = " and ".join(f"{side} on {count}" for count, side in sides if count)
            return f"{told} of {n_images} pictures, the other not: {alone}, so no mean"
        notes.append(f"{alone}, left out of the mean")
    if n_finite == 1:
        notes.append("one picture has no interval")
    elif 1 < n_finite < FEWEST_FOR_BOOTSTRAP:
        notes.append(
            f"fewer than {FEWEST_FOR_BOOTSTRAP} pictures: Student's interval, and no p below 5 %"
        )
    return "; ".join(notes)


def wilcoxon_p(differences: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test, 1 where all differences are 0.

    Zeros are left out (`zero_method="wilcox"`), so the p of few other differences is exact:
    flipping the sign of a zero changes nothing. Pratt's ranks would need the normal approximation,
    which is too bold there (6 gains beside 18 zeros: 0.015 instead of 2/2⁶ = 0.031). Infinite
    differences have the highest ranks.
    Source: Wilcoxon (1945); scipy.stats.wilcoxon, exact up to 50 differences without ties.
    """
    decided = differences[differences != 0]
    if not decided.size:
        return 1.0
    answer: Any = stats.wilcoxon(decided, zero_method="wilcox")
    # Of equal sizes it is approximated, which may come out below what signs can give.
    return max(float(answer.pvalue), least_p(int(decided.size)))


def holm(p: Sequence[float], least: Sequence[float] | None = None) -> list[float]:
    """Return the p values corrected so that the chance of any false rejection stays bounded.

    Args:
        least: the least p that each row could have had, 0 where none is given. Rows whose own can
            never be below 5 % after the correction leave the family, as long as they cannot: they
            decide nothing, and only make the others harder to decide.
    Returns: 1 of a row that can never be decided.
    Source: Holm (1979), A simple sequentially rejective multiple test procedure; Tarone (1990), A
        modified Bonferroni method for discrete data, taken step by step by Hommel and Krummenauer
        (1998).
    """
    bounds = [0.0] * len(p) if least is None else list(least)
    corrected = [1.0] * len(p)
    left = sorted(range(len(p)), key=p.__getitem__)
    highest = 0.0
    while left:
        family = family_size([bounds[index] for index in left])
        able = [index for index in left if bounds[index] < SIGNIFICANCE / family]
        if not able:
            break
        highest = max(highest, min(1.0, family * p[able[0]]))
        corrected[able[0]] = highest
        left.remove(able[0])
    return corrected


def family_size(least: Sequence[float]) -> int:
    """Return how many rows count: the first k of which at most k can be below 5 % / k; at least 1.

    Source: Tarone (1990).
    """
    if not least:
        return 1
    sizes = np.arange(1, len(least) + 1)
    counts = np.searchsorted(np.sort(least), SIGNIFICANCE / sizes, side="left")
    return int(sizes[counts <= sizes][0])


def verdict_of(
    result: PairedResult, p_holm: float, higher_is_better: bool, margin: float | None
) -> Verdict:
    """Return the one word for a row.

    `same` where the two are alike on every picture or the whole interval lies within ±margin; else
    `better` or `worse` where `p_holm` is below 5 % and the interval excludes 0; else `undecided`.
    Where pictures are infinite on one side alone, the row is never the same. It then follows p and
    sign where no picture goes the other way, or where half of them or more are infinite on one
    side and none on the other; else most pictures must go the way of the mean.
    """
    low, high, won = result.ci_low, result.ci_high, result.share_won
    low = math.nan if low is None else low
    high = math.nan if high is None else high
    is_inside = margin is not None and -margin <= low and high <= margin
    if result.is_tie or (is_inside and not result.n_infinite):
        return "same"
    if p_holm >= SIGNIFICANCE or won is None:
        return "undecided"
    if result.n_infinite and _is_one_way(result, won):
        return "better" if won > 0.5 else "worse"
    # Without an interval (NaN) neither holds.
    if not (low > 0 or high < 0):
        return "undecided"
    gains = (low > 0) == higher_is_better
    if result.n_infinite and (won > 0.5) != gains:
        return "undecided"
    return "better" if gains else "worse"


def _is_one_way(result: PairedResult, won: float) -> bool:
    """Whether a row with pictures infinite on one side alone says the same whatever its mean."""
    if won in (0, 1) or bool(result.n_won) != bool(result.n_lost):
        return True
    is_won = result.n_infinite_won > 0
    are_most = result.mean_diff is None and result.n_infinite_won in (0, result.n_infinite)
    return are_most and won != 0.5 and (won > 0.5) == is_won
