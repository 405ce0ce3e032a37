"""Whether one codec is better than another on the same pictures: statistics of paired differences.

Everything here is pure: differences in, verdicts out. tests/benchmarks/interval_coverage.py shows
how often the intervals cover and how often a verdict is given where there is no difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final, Literal

import numpy as np
from scipy import optimize, stats

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
POWER: Final = 0.8
FEWEST_FOR_BOOTSTRAP: Final = 6
"""Below this many pictures the resampled means cannot leave the range of the data often enough
for 95 % (at 5 a mean lies outside it with 2/2⁵ = 6 %), and no Wilcoxon p is below 5 %."""

_ELEMENTS_AT_ONCE: Final = 4_000_000
_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class PairedResult:
    """What the differences (codec minus baseline, in the metric's unit) of one row say.

    `n_images` counts all pairs, `n_infinite` those of them where one side alone is +inf: these are
    in `share_won` and `p`, not in the mean and its interval. A number is None where it cannot be
    had, `note` then says why. `p` is not yet corrected for the family.
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
    low, high = interval or (None, None)
    return PairedResult(
        n_images=n_images,
        mean_diff=float(finite.mean()) if finite.size else None,
        ci_low=low,
        ci_high=high,
        p=wilcoxon_p(row),
        share_won=float((won + 1).mean() / 2) if n_images else None,
        smallest_detectable=smallest_detectable(finite),
        note=_note(n_images, int(finite.size)),
        n_infinite=n_images - int(finite.size),
    )


def _note(n_images: int, n_finite: int) -> str:
    notes: list[str] = []
    if not n_images:
        notes.append("no picture has both values")
    if n_finite < n_images:
        left_out = n_images - n_finite
        notes.append(
            f"{left_out} of {n_images} pictures infinite on one side alone, left out of the mean"
        )
    if n_finite == 1:
        notes.append("one picture has no interval")
    elif 1 < n_finite < FEWEST_FOR_BOOTSTRAP:
        notes.append(f"fewer than {FEWEST_FOR_BOOTSTRAP} pictures: Student's interval")
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
    return float(answer.pvalue)


def smallest_detectable(differences: np.ndarray) -> float | None:
    """Return the mean difference that pictures like these show with 80 % power; None below two.

    It is that of a single two-sided paired t test at 5 %, before any correction for a family,
    solved with the noncentral distribution of t² (noncentral F).
    Source: Cohen (1988), Statistical Power Analysis, ch. 2; n = 24: 0.597 standard deviations.
    """
    if differences.size < 2:
        return None
    return _detectable_effect(int(differences.size)) * float(differences.std(ddof=1))


@lru_cache(maxsize=1024)
def _detectable_effect(n: int) -> float:
    """Return the detectable difference of n pictures in standard deviations."""
    freedom = n - 1
    critical = stats.t.ppf(1 - SIGNIFICANCE / 2, freedom)

    def missing_power(noncentrality: float) -> float:
        # t² is F of 1 and n-1 degrees, so one tail of it is both of t.
        return float(stats.ncf.sf(critical**2, 1, freedom, noncentrality**2)) - POWER

    noncentrality: Any = optimize.brentq(missing_power, 0.5, 2 * critical, xtol=1e-10)
    return float(noncentrality) / math.sqrt(n)


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


def holm(p: Sequence[float]) -> list[float]:
    """Return the p values corrected so that the chance of any false rejection stays bounded.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    corrected = [1.0] * len(p)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = highest
    return corrected


def verdict_of(
    result: PairedResult, p_holm: float, higher_is_better: bool, margin: float | None
) -> Verdict:
    """Return the one word for a row.

    `same` where the whole interval lies within ±margin; else `better` or `worse` where `p_holm` is
    below 5 % and the interval excludes 0; else `undecided`. Where pictures are infinite on one side
    alone, the row is never the same, and most pictures must go the way of the mean; where all are,
    they must all go one way.
    """
    low, high, won = result.ci_low, result.ci_high, result.share_won
    low = math.nan if low is None else low
    high = math.nan if high is None else high
    is_inside = margin is not None and -margin <= low and high <= margin
    if is_inside and not result.n_infinite:
        return "same"
    if p_holm >= SIGNIFICANCE or won is None:
        return "undecided"
    if result.n_infinite == result.n_images:
        return "better" if won == 1 else "worse" if won == 0 else "undecided"
    # Without an interval (NaN) neither holds.
    if not (low > 0 or high < 0):
        return "undecided"
    gains = (low > 0) == higher_is_better
    if result.n_infinite and (won > 0.5) != gains:
        return "undecided"
    return "better" if gains else "worse"
