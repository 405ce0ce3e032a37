"""The words of a rule, and what an interval decides. Closed forms: equal values have no spread."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.bench.compare.gate.rules import (
    LatencyRule,
    QualityRule,
    join,
    judge_bound,
    judge_margin,
    judge_ratio,
    parse_rule,
)
from vaebench.bench.compare.statistics import compare_pairs
from vaebench.bench.errors import SuiteError

NUMBERS = st.floats(min_value=0, max_value=1e12, allow_nan=False)

INF = np.inf


@pytest.mark.parametrize(
    ("text", "metric", "region", "condition", "limit", "unit"),
    [
        (
            "lpips/alex-0.1 whole: not worse by more than 0.002",
            "lpips/alex-0.1",
            "whole",
            "not worse by more than",
            0.002,
            "",
        ),
        ("psnr/rgb8 eye: at least 24 dB", "psnr/rgb8", "eye", "at least", 24.0, "dB"),
        ("psnr:at least 24dB", "psnr", "whole", "at least", 24.0, "dB"),
        ("  ssim   left eye :  at most  .5 ", "ssim", "left eye", "at most", 0.5, ""),
        ("bpp: at most 1e-1 bit/px", "bpp", "whole", "at most", 0.1, "bit/px"),
        ("torchmetrics:X text: at least -2", "torchmetrics:X", "text", "at least", -2.0, ""),
    ],
)
def test_rules_about_quality(
    text: str, metric: str, region: str, condition: str, limit: float, unit: str
) -> None:
    rule = parse_rule(text)
    assert isinstance(rule, QualityRule)
    assert (rule.metric, rule.region, rule.condition) == (metric, region, condition)
    assert (rule.limit, rule.unit) == (limit, unit)
    assert rule.is_relative == (condition == "not worse by more than")


@pytest.mark.parametrize("size", ["1024²", "1024^2", "1024x1024", "1024×1024", "1024 x 1024"])
@pytest.mark.parametrize("share", ["3 %", "3%", "3.0 %"])
def test_sizes_and_shares_of_a_rule_about_time(size: str, share: str) -> None:
    rule = parse_rule(f"latency decode {size}: clean at {share}")
    assert isinstance(rule, LatencyRule)
    assert (rule.stage, rule.size_px, rule.threshold) == ("decode", 1024, 0.03)
    assert rule.is_relative


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("psnr eye >= 24", "none of the forms"),
        ("psnr eye", "none of the forms"),
        ("", "none of the forms"),
        ("psnr: at least many dB", "'many dB' is no number"),
        ("psnr: at least nan", "'nan' is no number"),
        ("psnr: at least 1e999 dB", "no number"),
        ("psnr: not worse by more than -1 dB", "below 0"),
        ("latency decode 1024x512: clean at 3 %", "squares"),
        ("latency dekode 64²: clean at 3 %", "none of encode, decode, roundtrip"),
        ("latency decode 1024: clean at 3 %", "SIZE as 1024²"),
        ("latency decode 4²: clean at 3 %", "between 8 and 16384 px"),
        ("latency decode 64²: clean at 3", "no share"),
        ("latency decode 64²: clean at 0 %", "no share"),
        ("latency decode 64²: clean at 100 %", "no share"),
        ("latency decode 64²: at least 3 %", "a rule about time reads"),
        ("psnr eye: clean at 3 %", "a rule about time reads"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_rule(text: str, says: str) -> None:
    with pytest.raises(SuiteError, match=says) as raised:
        parse_rule(text)
    assert repr(text) in str(raised.value)


@settings(deadline=None)
@given(NUMBERS, st.sampled_from(["not worse by more than", "at least", "at most"]))
def test_any_number_that_python_writes_is_read_back(number: float, condition: str) -> None:
    rule = parse_rule(f"psnr eye: {condition} {number!r} dB")
    assert isinstance(rule, QualityRule)
    assert rule.limit == number
    assert rule.unit == "dB"


@settings(deadline=None)
@given(st.integers(8, 16384), st.floats(0.001, 99.9))
def test_any_size_and_share_is_read_back(size: int, percent: float) -> None:
    rule = parse_rule(f"latency encode {size}²: clean at {percent!r} %")
    assert rule == LatencyRule(rule.text, "encode", size, percent / 100)


@pytest.mark.parametrize(
    ("condition", "limit", "verdict"),
    [
        ("at least", 20.0, "pass"),
        ("at least", 25.0, "pass"),
        ("at least", 25.1, "fail"),
        ("at most", 25.0, "pass"),
        ("at most", 24.9, "fail"),
    ],
)
def test_a_limit_on_equal_values(condition, limit: float, verdict: str) -> None:
    found = judge_bound(np.full(8, 25.0), condition, limit)
    assert (found.verdict, found.estimate, found.low, found.high) == (verdict, 25.0, 25.0, 25.0)


@pytest.mark.parametrize(
    ("condition", "limit", "verdict"),
    [
        ("at least", 5.0, "pass"),
        ("at least", 5.5, "fail"),
        ("at most", 5.5, "pass"),
        ("at most", 5.0, "fail"),
        ("at least", 0.0, "pass"),
        ("at most", -1.0, "fail"),
    ],
)
def test_a_limit_on_the_ratio_of_a_set(condition, limit: float, verdict: str) -> None:
    # Half the pictures store 100 px in 1200 bits, half 300 px in 600: 9600 raw over 1800 bits.
    # Their ratios are 2 and 12, whose mean, 7, is that of nothing.
    ratios, pixels = np.tile([2.0, 12.0], 500), np.tile([100.0, 300.0], 500)
    found = judge_ratio(ratios, pixels, condition, limit)
    assert found.estimate == pytest.approx(9600 / 1800)
    assert found.low is not None and found.high is not None
    assert found.low < 9600 / 1800 < found.high
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("difference", "higher_is_better", "margin", "verdict"),
    [
        (-0.05, True, 0.1, "pass"),
        (-0.1, True, 0.1, "pass"),
        (-0.11, True, 0.1, "fail"),
        (+9.0, True, 0.0, "pass"),
        (+0.05, False, 0.1, "pass"),
        (+0.11, False, 0.1, "fail"),
        (-9.0, False, 0.0, "pass"),
        (0.0, True, 0.0, "pass"),
    ],
)
def test_a_margin_on_equal_differences(
    difference: float, higher_is_better: bool, margin: float, verdict: str
) -> None:
    found = judge_margin(np.full(8, difference), higher_is_better, margin)
    assert found.verdict == verdict


def test_an_interval_on_both_sides_is_inconclusive() -> None:
    values = np.array([20.0, 22, 24, 26, 28, 30, 32, 34])
    interval = compare_pairs(values, True)
    assert interval.ci_low is not None
    assert interval.ci_high is not None
    for condition in ("at least", "at most"):
        assert judge_bound(values, condition, 27.0).verdict == "inconclusive"
    assert judge_bound(values, "at least", interval.ci_low).verdict == "pass"
    assert judge_bound(values, "at least", interval.ci_low + 0.01).verdict == "inconclusive"
    assert judge_bound(values, "at least", interval.ci_high).verdict == "inconclusive"
    assert judge_bound(values, "at least", interval.ci_high + 0.01).verdict == "fail"
    assert judge_bound(values, "at most", interval.ci_high).verdict == "pass"
    assert judge_margin(values - 27, True, 0.0).verdict == "inconclusive"


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=12),
    st.floats(0, 5),
    st.booleans(),
)
def test_turning_a_metric_over_changes_nothing(
    differences: list[float], margin: float, higher: bool
) -> None:
    """Where lower is better, the same losses are differences of the other sign."""
    own = judge_margin(np.array(differences), higher, margin)
    other = judge_margin(-np.array(differences), not higher, margin)
    # BCa's two ends come from one set of resamples, so they mirror up to the last resample.
    if own.verdict != other.verdict:
        assert "inconclusive" in (own.verdict, other.verdict)
    assert own.estimate == pytest.approx(-other.estimate)


def test_one_picture_decides_nothing() -> None:
    for found in (judge_bound(np.array([30.0]), "at least", 1), judge_margin(np.ones(1), True, 9)):
        assert found.verdict == "inconclusive"
        assert found.reason == "one picture has no interval"
    assert judge_bound(np.array([]), "at least", 1).verdict == "inconclusive"


def test_lossless_pictures_are_left_out_and_decide_alone() -> None:
    inf = np.inf
    mixed = judge_bound(np.array([*[25.0] * 6, inf]), "at least", 24)
    assert (mixed.verdict, mixed.estimate) == ("pass", 25.0)
    assert mixed.reason == "1 of 7 pictures infinite, left out of the mean"
    assert judge_bound(np.full(3, inf), "at least", 99).verdict == "pass"
    assert judge_bound(np.full(3, inf), "at most", 99).verdict == "fail"


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([INF] * 16 + [0.0], "pass"),
        ([INF] * 16 + [-0.1, 0.3], "pass"),
        ([INF] * 16 + [-0.2], "inconclusive"),
        ([-INF] * 3 + [-5.0], "fail"),
        ([INF] * 16 + [-5.0] * 8, "fail"),
        ([INF] * 16 + [-INF], "inconclusive"),
    ],
)
def test_pictures_without_loss_keep_any_margin(gains: list[float], verdict: str) -> None:
    found = judge_margin(np.array(gains), True, 0.1)
    assert found.verdict == verdict
    assert judge_margin(-np.array(gains), False, 0.1).verdict == verdict
    # No mean of one picture is told where sixteen have none.
    assert found.estimate is None


@pytest.mark.parametrize(
    ("values", "condition", "verdict"),
    [
        ([INF] * 16 + [40.0], "at least", "pass"),
        ([INF] * 16 + [20.0], "at least", "inconclusive"),
        ([INF] * 16 + [40.0], "at most", "fail"),
        ([INF] * 16 + [20.0] * 8, "at least", "fail"),
    ],
)
def test_a_limit_where_most_are_infinite(values: list[float], condition, verdict: str) -> None:
    found = judge_bound(np.array(values), condition, 30.0)
    assert (found.verdict, found.estimate) == (verdict, None)


def test_a_lossless_picture_that_is_lost_cannot_pass() -> None:
    inf = np.inf
    lost = judge_margin(np.array([*[1.0] * 6, -inf]), True, 0.1)
    assert lost.verdict == "inconclusive"
    assert lost.reason == "1 of 7 pictures lossless for the baseline alone"
    assert judge_margin(np.array([*[-1.0] * 6, -inf]), True, 0.1).verdict == "fail"
    assert judge_margin(np.array([*[1.0] * 6, inf]), True, 0.1).verdict == "pass"
    assert judge_margin(np.full(4, -inf), True, 0.1).verdict == "fail"
    assert judge_margin(np.full(4, inf), True, 0.1).verdict == "pass"
    assert judge_margin(np.array([inf, -inf]), True, 0.1).verdict == "inconclusive"


def test_verdicts_join_to_the_worst() -> None:
    order = ("pass", "inconclusive", "fail")
    for triple in itertools.product(order, repeat=3):
        assert join(triple) == max(triple, key=order.index)
