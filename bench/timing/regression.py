"""Is one side slower than the other? A sequential test on interleaved blocks of fresh processes.

The unit that is repeated is a pair: a fresh process of each side, from which single samples are
drawn in turns, A B B A. What a process brings with it (memory layout, chosen kernels) so becomes
noise that is averaged, instead of a difference that is believed; what drifts with time cancels
within each A B B A. A pair gives one number, the median logarithm of the ratios of neighbouring
samples, and the test looks at the pairs' trimmed mean after each group of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy import stats

Verdict = Literal["regressed", "clean", "faster", "inconclusive"]

TRIM = 0.2
"""The share of pairs that the trimmed mean leaves out at each end: a process that is slow for all
of its life must not decide."""


@dataclass(frozen=True)
class Rule:
    """When to stop, and with which verdict.

    `threshold` is the slowdown that matters, as a share. `looks` says after how many pairs the
    samples are looked at; `low_levels` and `high_levels` are the errors that each look may spend on
    the lower bound, which can raise an alarm, and on the upper, which can clear. They add up to the
    error of the whole test, whatever the looks have in common (the union bound, so conservative);
    spending little early is the idea of Lan and DeMets (1983), Biometrika 70, 659-663. `block`
    samples of each side are drawn in a pair, an even number.
    """

    threshold: float = 0.03
    looks: tuple[int, ...] = (4, 8, 12, 16, 24, 32)
    low_levels: tuple[float, ...] = (0.001, 0.0015, 0.0015, 0.002, 0.002, 0.002)
    high_levels: tuple[float, ...] = (0.003, 0.004, 0.004, 0.004, 0.005, 0.005)
    block: int = 20

    @property
    def confidence(self) -> float:
        """The confidence of the interval, over all looks."""
        return 1 - sum(self.low_levels) - sum(self.high_levels)

    def estimate(self, look: int, log_ratios: Sequence[float]) -> Estimate:
        """Return the effect with its bounds at a look (0 is the first)."""
        return estimate_effect(log_ratios, self.low_levels[look], self.high_levels[look])


@dataclass(frozen=True)
class Estimate:
    """HEAD over BASE minus 1: the estimate, and its lower and upper confidence bounds."""

    effect: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """What was found: the verdict, the effect as a share, and what it rests on."""

    verdict: Verdict
    effect: float
    low: float
    high: float
    confidence: float
    threshold: float
    pairs: int
    samples_per_side: int
    base_median_ms: float
    head_median_ms: float


class SampleSource(Protocol):
    """One side: fresh processes, one after the other, that give samples."""

    def start(self) -> None:
        """Start a fresh process; do not wait for it."""
        ...

    def warm_up(self) -> None:
        """Warm the process up, and wait until that is done."""
        ...

    def draw(self, count: int) -> Sequence[float]:
        """Return the next `count` samples, in ms."""
        ...

    def stop(self) -> None:
        """End the process."""
        ...


@dataclass(frozen=True)
class Pair:
    """A fresh process of each side: their samples in ms, in the order in which they were drawn."""

    base_ms: tuple[float, ...]
    head_ms: tuple[float, ...]

    @property
    def log_ratio(self) -> float:
        """The median, over neighbouring samples, of the logarithm of HEAD's time over BASE's."""
        return float(np.median(np.log(self.head_ms) - np.log(self.base_ms)))


def judge(
    base: SampleSource,
    head: SampleSource,
    rule: Rule,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Decision:
    """Draw pairs until a verdict is sure, or until the last look.

    Args:
        progress: told how many pairs are drawn and how many there are at most.
    """
    pairs: list[Pair] = []
    for look, count in enumerate(rule.looks):
        while len(pairs) < count:
            pairs.append(draw_pair(base, head, rule.block, base_first=len(pairs) % 2 == 0))
            progress(len(pairs), rule.looks[-1])
        estimate = rule.estimate(look, [pair.log_ratio for pair in pairs])
        verdict = verdict_of(estimate, rule.threshold)
        if verdict != "inconclusive" or look == len(rule.looks) - 1:
            return _decision(verdict, estimate, rule, pairs)
    raise ValueError("a rule needs at least one look")


def draw_pair(base: SampleSource, head: SampleSource, block: int, base_first: bool) -> Pair:
    """Start a process of each side and draw in the order A B B A, in which a linear drift cancels.

    Both start at once, and are warmed up one after the other.

    Args:
        block: samples of each side; two in each A B B A.
        base_first: whether A is BASE.
    """
    first, second = (base, head) if base_first else (head, base)
    outer: list[float] = []
    inner: list[float] = []
    try:
        first.start()
        second.start()
        first.warm_up()
        second.warm_up()
        for _ in range(block // 2):
            outer += first.draw(1)
            inner += second.draw(2)
            outer += first.draw(1)
    finally:
        first.stop()
        second.stop()
    return Pair(tuple(outer), tuple(inner)) if base_first else Pair(tuple(inner), tuple(outer))


def estimate_effect(log_ratios: Sequence[float], low_level: float, high_level: float) -> Estimate:
    """Return the trimmed mean of log ratios, with one-sided bounds that are wrong with a level.

    Source: Tukey and McLaughlin (1963), Sankhya A 25, 331-352: Student's t with h-1 degrees of
    freedom of the h values that are left, the standard error from the winsorised variance.
    """
    values = np.sort(np.asarray(log_ratios, dtype=np.float64))
    count = len(values)
    cut = int(TRIM * count)
    left = count - 2 * cut
    centre = float(np.mean(values[cut : count - cut]))
    winsorised = np.clip(values, values[cut], values[count - cut - 1])
    scale = float(np.std(winsorised, ddof=1)) * count / left / np.sqrt(count)
    below, above = (float(stats.t.isf(level, left - 1)) for level in (low_level, high_level))
    bounds = (centre, centre - below * scale, centre + above * scale)
    return Estimate(*(float(np.expm1(value)) for value in bounds))


def verdict_of(estimate: Estimate, threshold: float) -> Verdict:
    """Return what an estimate allows to say.

    `faster`: surely faster, and by half the threshold or more. `clean`: surely not slower by the
    threshold. `regressed`: surely slower, by half the threshold or more as far as one can tell, and
    the threshold cannot be excluded. Else `inconclusive`: go on, or stop and say so.
    """
    if estimate.high < 0 and estimate.effect <= -threshold / 2:
        return "faster"
    if estimate.high < threshold:
        return "clean"
    if estimate.low > 0 and estimate.effect >= threshold / 2:
        return "regressed"
    return "inconclusive"


def _decision(verdict: Verdict, estimate: Estimate, rule: Rule, pairs: Sequence[Pair]) -> Decision:
    return Decision(
        verdict=verdict,
        effect=estimate.effect,
        low=estimate.low,
        high=estimate.high,
        confidence=rule.confidence,
        threshold=rule.threshold,
        pairs=len(pairs),
        samples_per_side=len(pairs) * rule.block,
        base_median_ms=float(np.median([sample for pair in pairs for sample in pair.base_ms])),
        head_median_ms=float(np.median([sample for pair in pairs for sample in pair.head_ms])),
    )
