"""One rule of a gate for one codec: the values of its pictures, and what they decide."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ...errors import VaebenchError
from ...records import RATIOS, MetricColumn, Progress
from ...suite import CodecSpec
from ...timing.ab import AbResult, ab
from ..pairing import Mismatch, PairedCodec, Side
from ..statistics import paired_differences
from .result import RuleOutcome
from .rules import (
    Finding,
    LatencyRule,
    QualityRule,
    Rule,
    Verdict,
    judge_bound,
    judge_margin,
    judge_ratio,
)

Latency = Callable[[CodecSpec, CodecSpec, LatencyRule, Progress], AbResult]

_FROM_AB: dict[str, Verdict] = {
    "clean": "pass",
    "faster": "pass",
    "regressed": "fail",
    "inconclusive": "inconclusive",
}
_SAYS: dict[str, dict[Verdict, str]] = {
    "not worse by more than": {
        "pass": "not worse by more than",
        "fail": "worse by more than",
        "inconclusive": "may be worse by more than",
    },
    "at least": {"pass": "at least", "fail": "below", "inconclusive": "may be below"},
    "at most": {"pass": "at most", "fail": "above", "inconclusive": "may be above"},
}


@dataclass(frozen=True)
class Question:
    """A rule for a codec; what a rule does not need is None.

    `column` is what a rule about quality is about, `baseline` what a rule compares with. `pair`
    holds the values: beside the baseline's where the rule compares, else beside themselves.
    `left_out` is what pairing left out.
    """

    rule: Rule
    side: Side
    baseline: Side | None = None
    column: MetricColumn | None = None
    pair: PairedCodec | None = None
    left_out: tuple[Mismatch, ...] = ()

    def outcome(self, verdict: Verdict, sentence: str, **told: Any) -> RuleOutcome:
        """Return the outcome, with what it was about."""
        against = self.baseline.label if self.baseline and self.rule.is_relative else None
        return RuleOutcome(self.rule.text, self.side.label, against, verdict, sentence, **told)


def decide(question: Question, progress: Progress, latency: Latency | None) -> RuleOutcome:
    """Return what the stored values, or an A/B test, say about a rule.

    Raises: VaebenchError where a side of an A/B test cannot be timed.
    """
    began = time.perf_counter()
    if isinstance(question.rule, LatencyRule):
        outcome = _timed(question, question.rule, progress, latency or _measure)
    else:
        outcome = _scored(question, question.rule)
    return replace(outcome, seconds=time.perf_counter() - began)


def _scored(question: Question, rule: QualityRule) -> RuleOutcome:
    column, pair = question.column, question.pair
    if column is None or pair is None:
        raise ValueError("a rule about quality needs its column and values")
    values = pair.by_image
    chosen = values.loc[
        (values.index.get_level_values("part") == rule.region)
        & (values.index.get_level_values("variant") == column.variant)
    ]
    both = chosen.dropna()
    if both.empty:
        return question.outcome("inconclusive", _why_none(question, rule, column))
    own, theirs = both["codec_value"].to_numpy(), both["baseline_value"].to_numpy()
    if rule.is_relative:
        differences = paired_differences(own, theirs)
        finding = judge_margin(differences, bool(column.higher_is_better), rule.limit)
    elif column.name in RATIOS:
        sizes = {picture.sha256: picture.width_px * picture.height_px for picture in pair.pictures}
        pixels = both.index.get_level_values("sha256").map(sizes).to_numpy(float)
        finding = judge_ratio(own, pixels, rule.condition, rule.limit)
    else:
        finding = judge_bound(own, rule.condition, rule.limit)
    for reason in _left_out(question, rule):
        finding = _with_reason(finding, reason)
    failed = _failed(pair)
    if failed:
        # Nobody should pass by the pictures that it cannot do.
        reason = f"{question.side.label} has no value of {len(failed)} of the pictures"
        verdict = "inconclusive" if finding.verdict == "pass" else finding.verdict
        finding = replace(_with_reason(finding, reason), verdict=verdict)
    return _told(question, rule, column, finding)


def _failed(pair: PairedCodec) -> set[str]:
    """Return the sha256 of the pictures of which the codec has no value at all."""
    known = pair.values["codec_value"].notna()
    return set(pair.values["sha256"]) - set(pair.values.loc[known, "sha256"])


def _left_out(question: Question, rule: QualityRule) -> list[str]:
    pictures = sum(entry.what == "picture" for entry in question.left_out)
    regions = sum(
        entry.what == "region" and entry.where.endswith(f": {rule.region}")
        for entry in question.left_out
    )
    return [
        f"{count} picture{'' if count == 1 else 's'} left out, {why} in both runs"
        for count, why in ((pictures, "not alike"), (regions, "whose regions are not alike"))
        if count
    ]


def _why_none(question: Question, rule: QualityRule, column: MetricColumn) -> str:
    """Return why there is no value on one side."""
    sides = [question.side]
    if rule.is_relative and question.baseline is not None:
        sides.append(question.baseline)
    for side in sides:
        for entry in side.run.record.unavailable:
            if entry.variant == column.variant and entry.codec in (None, side.codec):
                return f"unavailable for {side.label}: {entry.reason.rstrip('.')}"
    return f"no picture has a value of {column.variant} of {rule.region}"


def _with_reason(finding: Finding, reason: str) -> Finding:
    return replace(finding, reason="; ".join(filter(None, (finding.reason, reason))))


def _told(
    question: Question, rule: QualityRule, column: MetricColumn, finding: Finding
) -> RuleOutcome:
    """Put a finding into words."""
    sign = "+" if rule.is_relative else ""
    unit = f" {column.unit}" if column.unit else ""
    found = "no mean" if finding.estimate is None else f"{finding.estimate:{sign}.4g}"
    if finding.low is not None and finding.high is not None:
        found += f" [{finding.low:{sign}.4g}, {finding.high:{sign}.4g}]"
    found += unit if finding.estimate is not None else ""
    basis = f"{finding.n_images} picture{'' if finding.n_images == 1 else 's'}"
    against = (
        f" against {question.baseline.label}" if rule.is_relative and question.baseline else ""
    )
    says = f"{_SAYS[rule.condition][finding.verdict]} {rule.limit:g}{unit}"
    notes = f" ({finding.reason})" if finding.reason else ""
    return question.outcome(
        finding.verdict,
        f"{found}{against}, {basis}: {says}{notes}",
        found=found,
        basis=basis,
        numbers={
            "metric": column.name,
            "variant": column.variant,
            "unit": column.unit,
            "region": rule.region,
            "condition": rule.condition,
            "higher_is_better": column.higher_is_better,
            "limit": rule.limit,
            "estimate": finding.estimate,
            "ci_low": finding.low,
            "ci_high": finding.high,
            "n_images": finding.n_images,
        },
    )


def _timed(
    question: Question, rule: LatencyRule, progress: Progress, latency: Latency
) -> RuleOutcome:
    if question.baseline is None:
        raise ValueError("a rule about time needs a baseline")
    try:
        result = latency(_spec(question.baseline), _spec(question.side), rule, progress)
    except VaebenchError as error:
        raise VaebenchError(f"The rule {rule.text!r} cannot be decided: {error}") from error
    found = result.decision
    where = "CPU" if result.head.environment.get("device") == "CPU" else "GPU"
    return question.outcome(
        _FROM_AB[found.verdict],
        " ".join(result.sentences()[:2]),
        found=f"{found.effect:+.1%} [{found.low:+.1%}, {found.high:+.1%}]",
        basis=f"{found.pairs} pairs of processes, {where}",
        numbers={"latency": result.to_dict()},
    )


def _spec(side: Side) -> CodecSpec:
    """Return what an A/B test opens."""
    return next(spec for spec in side.run.record.suite.codecs if spec.name == side.codec)


def _measure(base: CodecSpec, head: CodecSpec, rule: LatencyRule, progress: Progress) -> AbResult:
    return ab(
        base,
        head,
        stage=rule.stage,
        size=rule.size_px,
        threshold=rule.threshold,
        progress=progress,
    )
