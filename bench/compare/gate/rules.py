"""The rules of a gate: how they are read, and what numbers they let pass. Pure.

A rule is decided by a confidence interval, never by a mean alone: it passes where the whole
interval keeps it, fails where the whole interval breaks it, and is inconclusive in between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from ...errors import SuiteError
from ...records import STAGES, WHOLE
from ..intervals import mean_intervals
from ..statistics import PairedResult, compare_pairs

Verdict = Literal["pass", "fail", "inconclusive"]
Condition = Literal["not worse by more than", "at least", "at most"]


_FORMS: Final = (
    "METRIC [REGION]: not worse by more than NUMBER [UNIT]",
    "METRIC [REGION]: at least NUMBER [UNIT]",
    "METRIC [REGION]: at most NUMBER [UNIT]",
    "latency STAGE SIZE: clean at NUMBER %",
)
_RULE = re.compile(
    r"(?P<subject>.+?) ?: ?"
    r"(?P<words>not worse by more than|at least|at most|clean at) (?P<amount>.+)"
)
_AMOUNT = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?) ?(?P<unit>.*)")
_LATENCY = re.compile(r"latency (?P<stage>\S+) (?P<width>\d+) ?(?:²|\^2|[x×] ?(?P<height>\d+))")


@dataclass(frozen=True)
class QualityRule:
    """A limit on a metric's mean over pictures, or on how far it may fall behind the baseline.

    `metric` is a name or variant as it was written; `limit` is in the metric's unit, at least 0
    for a margin; `unit` is empty where none was written.
    """

    text: str
    metric: str
    region: str
    condition: Condition
    limit: float
    unit: str

    @property
    def is_relative(self) -> bool:
        """Whether the rule needs a baseline."""
        return self.condition == "not worse by more than"


@dataclass(frozen=True)
class LatencyRule:
    """A stage on one square picture must not be slower than the baseline's by a share."""

    text: str
    stage: str
    size_px: int
    threshold: float

    @property
    def is_relative(self) -> bool:
        """Whether the rule needs a baseline."""
        return True


Rule = QualityRule | LatencyRule


@dataclass(frozen=True)
class Finding:
    """What the numbers say about a rule: the estimate with its 95 % interval, None without one.

    `reason` says why there is no pass or fail, or what was left out; empty where nothing was.
    """

    verdict: Verdict
    estimate: float | None
    low: float | None
    high: float | None
    n_images: int
    reason: str


def parse_rule(text: str) -> Rule:
    """Read a rule such as `psnr eye: at least 24 dB` or `latency decode 1024²: clean at 3 %`.

    A region that is not named is the whole picture. A size is written 1024², 1024^2 or 1024x1024.

    Raises: SuiteError naming the rule and what was expected.
    """
    line = " ".join(text.split())
    found = _RULE.fullmatch(line)
    if found is None:
        raise _unreadable(line, f"it is none of the forms {'; '.join(_FORMS)}")
    subject, words = found["subject"], found["words"]
    amount = _AMOUNT.fullmatch(found["amount"])
    if amount is None or not math.isfinite(float(amount["number"])):
        raise _unreadable(line, f"{found['amount']!r} is no number with a unit")
    number, unit = float(amount["number"]), amount["unit"]
    if words == "clean at" or subject.split()[0] == "latency":
        return _latency_rule(line, subject, words, number, unit)
    if words == "not worse by more than" and number < 0:
        raise _unreadable(line, f"the margin {number:g} is below 0; write how much is allowed")
    metric, _, region = subject.partition(" ")
    return QualityRule(line, metric, region or WHOLE, words, number, unit)  # type: ignore[arg-type]


def _latency_rule(line: str, subject: str, words: str, number: float, unit: str) -> LatencyRule:
    found = _LATENCY.fullmatch(subject)
    if found is None or words != "clean at":
        raise _unreadable(line, f"a rule about time reads {_FORMS[-1]}, SIZE as 1024² or 1024x1024")
    if found["stage"] not in STAGES:
        raise _unreadable(line, f"the stage {found['stage']!r} is none of {', '.join(STAGES)}")
    if found["height"] not in (None, found["width"]):
        raise _unreadable(line, "latency is measured on squares; give both sides the same length")
    size_px = int(found["width"])
    if not 8 <= size_px <= 16384:
        raise _unreadable(line, f"a side of {size_px} px is not between 8 and 16384 px")
    if unit != "%" or not 0 < number < 100:
        raise _unreadable(line, "the slowdown is no share between 0 and 100 %; write, say, 3 %")
    return LatencyRule(line, found["stage"], size_px, number / 100)


def _unreadable(line: str, reason: str) -> SuiteError:
    return SuiteError(f"Cannot read the rule {line!r}: {reason}.")


def join(verdicts: Iterable[Verdict]) -> Verdict:
    """Return fail where any fails, else inconclusive where any is, else pass."""
    found = set(verdicts)
    if "fail" in found:
        return "fail"
    return "inconclusive" if "inconclusive" in found else "pass"


def judge_margin(differences: np.ndarray, higher_is_better: bool, margin: float) -> Finding:
    """Decide `not worse by more than`: passes where the whole interval of the mean keeps it.

    Args:
        differences: float [n], codec minus baseline of each picture; ±inf where one side alone is
            infinite, never NaN. These have no mean difference: where some are, the rule passes if
            every picture keeps the margin, and fails if every picture breaks it; else the others'
            mean decides, but cannot make it pass where the codec is the worse of the two there.
        margin: in the metric's unit, at least 0.
    Source: a non-inferiority test by confidence interval, e.g. ICH E9 (1998), section 3.3.2.
    """
    gains = differences if higher_is_better else -differences
    result = compare_pairs(differences, higher_is_better)
    verdict: Verdict = "inconclusive"
    reason = result.note
    lost = int(np.isneginf(gains).sum())
    if interval := _of_finite(differences):
        low, high = interval
        worst, best = (low, high) if higher_is_better else (-high, -low)
        verdict = _side(worst >= -margin, best < -margin)
    if result.n_infinite:
        each = _side(bool((gains >= -margin).all()), bool((gains < -margin).all()))
        verdict = verdict if each == "inconclusive" else each
    if lost:
        reason = f"{lost} of {gains.size} pictures lossless for the baseline alone"
        verdict = "inconclusive" if verdict == "pass" else verdict
    return _finding(verdict, result, reason)


def judge_bound(values: np.ndarray, condition: Condition, limit: float) -> Finding:
    """Decide `at least` or `at most`: passes where the whole interval of the mean keeps it.

    Args:
        values: float [n], one of each picture; +inf where nothing was lost, never NaN. Where some
            are infinite, the rule passes if every picture keeps the limit, and fails if every
            picture breaks it; else the mean of the others decides.
        limit: in the metric's unit.
    """
    is_floor = condition == "at least"
    result = compare_pairs(values, higher_is_better=is_floor)
    infinite = int(np.isinf(values).sum())
    verdict: Verdict = "inconclusive"
    if interval := _of_finite(values):
        low, high = interval
        keeps = low >= limit if is_floor else high <= limit
        verdict = _side(keeps, high < limit if is_floor else low > limit)
    if infinite:
        keeps, breaks = (
            (values >= limit, values < limit) if is_floor else (values <= limit, values > limit)
        )
        each = _side(bool(keeps.all()), bool(breaks.all()))
        verdict = verdict if each == "inconclusive" else each
    reason = result.note
    if infinite:
        reason = f"{infinite} of {values.size} pictures infinite, left out of the mean"
        if result.mean_diff is None:
            reason = f"{infinite} of {values.size} pictures infinite (lossless), so no mean"
    return _finding(verdict, result, reason)


def judge_ratio(
    values: np.ndarray, pixels: np.ndarray, condition: Condition, limit: float
) -> Finding:
    """Decide `at least` or `at most` of a set's ratio, see `rate_of_set`, by its reciprocal.

    That is a mean over pictures: of what each stores for its share of all pixels.

    Args:
        values: float [n], the ratio of each picture, above 0. pixels: [n], how many each has.
    """
    bound = 1 / limit if limit > 0 else math.inf
    other: Condition = "at most" if condition == "at least" else "at least"
    found = judge_bound(pixels / pixels.mean() / values, other, bound)
    estimate, low, high = (
        None if cost is None else 1 / cost if cost > 0 else math.inf
        for cost in (found.estimate, found.high, found.low)
    )
    return replace(found, estimate=estimate, low=low, high=high)


def _of_finite(values: np.ndarray) -> tuple[float, float] | None:
    """Return the interval of the mean of the finite values, also where they are the fewer."""
    return mean_intervals([values[np.isfinite(values)]])[0]


def _finding(verdict: Verdict, result: PairedResult, reason: str) -> Finding:
    found = result.mean_diff, result.ci_low, result.ci_high
    return Finding(verdict, *found, result.n_images, reason)


def _side(keeps: bool, breaks: bool) -> Verdict:
    if keeps:
        return "pass"
    return "fail" if breaks else "inconclusive"
