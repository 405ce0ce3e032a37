"""The rule for slower or not, on sources whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from vaebench.bench.timing.regression import (
    Estimate,
    Pair,
    Rule,
    draw_pair,
    estimate_effect,
    judge,
    verdict_of,
)

RULE = Rule()


@dataclass
class Fake:
    """A side that takes `time_ms`, give or take; a log of what it was asked to do."""

    name: str
    time_ms: float
    log: list[str]
    random: np.random.Generator
    sample_noise: float = 0.01
    process_noise: float = 0.005
    drift: list[float] = field(default_factory=lambda: [0.0, 0.0])
    process: float = 0.0

    def start(self) -> None:
        self.log.append(f"{self.name} start")
        self.process = self.random.normal(0, self.process_noise)

    def warm_up(self) -> None:
        self.log.append(f"{self.name} warm")

    def draw(self, count: int) -> Sequence[float]:
        self.log.append(f"{self.name}{count}")
        drawn: list[float] = []
        for _ in range(count):
            self.drift[0] += self.drift[1]
            logs = self.process + self.drift[0] + self.random.normal(0, self.sample_noise)
            drawn.append(self.time_ms * float(np.exp(logs)))
        return drawn

    def stop(self) -> None:
        self.log.append(f"{self.name} stop")


def sides(slowdown: float = 0.0, seed: int = 0, **noise: float) -> tuple[Fake, Fake]:
    log: list[str] = []
    random = np.random.default_rng(seed)
    drift = [0.0, 0.0]
    base = Fake("A", 10.0, log, random, drift=drift, **noise)
    return base, Fake("B", 10.0 * (1 + slowdown), log, random, drift=drift, **noise)


def test_processes_are_fresh_and_samples_come_in_the_order_a_b_b_a() -> None:
    base, head = sides()
    draw_pair(base, head, block=4, base_first=True)
    turn = ["A1", "B2", "A1"]
    begin = ["A start", "B start", "A warm", "B warm"]
    assert base.log == [*begin, *turn, *turn, "A stop", "B stop"]
    base.log.clear()
    pair = draw_pair(base, head, block=4, base_first=False)
    assert base.log[4:10] == ["B1", "A2", "B1"] * 2
    assert len(pair.base_ms) == len(pair.head_ms) == 4


def test_both_sides_end_where_one_fails() -> None:
    base, head = sides()

    def broken() -> None:
        raise OSError("no device")

    head.warm_up = broken
    with pytest.raises(OSError, match="no device"):
        draw_pair(base, head, block=4, base_first=True)
    assert base.log[-2:] == ["A stop", "B stop"]


def test_a_drift_that_both_share_cancels() -> None:
    base, head = sides(sample_noise=0.0, process_noise=0.0)
    base.drift[1] = 0.01
    pair = draw_pair(base, head, block=20, base_first=True)
    assert np.median(pair.head_ms) > 10.1
    # Neighbours differ by a step of the drift up and down in turn: half a step at most is left.
    assert abs(pair.log_ratio) <= 0.01 + 1e-9
    assert abs(np.log(np.median(pair.head_ms) / 10.0)) > 0.15


@pytest.mark.parametrize(
    ("slowdown", "verdict"), [(0.0, "clean"), (0.05, "regressed"), (-0.05, "faster")]
)
def test_every_verdict_is_reached(slowdown: float, verdict: str) -> None:
    decision = judge(*sides(slowdown), RULE)
    assert decision.verdict == verdict
    assert decision.low < decision.effect < decision.high
    assert decision.effect == pytest.approx(slowdown, abs=0.01)
    assert decision.samples_per_side == RULE.block * decision.pairs
    assert decision.head_median_ms / decision.base_median_ms == pytest.approx(
        1 + slowdown, abs=0.01
    )


def test_noise_that_is_too_large_is_inconclusive_and_uses_all_pairs() -> None:
    told: list[tuple[int, int]] = []
    decision = judge(
        *sides(seed=1, process_noise=0.3), RULE, lambda done, total: told.append((done, total))
    )
    assert decision.verdict == "inconclusive"
    assert decision.pairs == RULE.looks[-1]
    assert told == [(done, RULE.looks[-1]) for done in range(1, RULE.looks[-1] + 1)]


def test_quiet_sides_are_told_apart_at_the_first_look() -> None:
    assert judge(*sides(0.05, sample_noise=1e-3, process_noise=1e-3), RULE).pairs == RULE.looks[0]


def test_the_levels_add_up_to_the_error_of_the_test() -> None:
    assert len(RULE.looks) == len(RULE.low_levels) == len(RULE.high_levels)
    assert sum(RULE.low_levels) == pytest.approx(0.01)
    assert sum(RULE.high_levels) == pytest.approx(0.025)
    assert RULE.confidence == pytest.approx(0.965)


def test_without_trimming_the_bounds_are_students() -> None:
    """Four values are not trimmed: against scipy's one-sample t-test."""
    values = np.log([1.01, 1.03, 1.02, 1.05])
    mine = estimate_effect(values.tolist(), 0.02, 0.05)
    low = stats.ttest_1samp(values, 0, alternative="greater").confidence_interval(0.98).low
    high = stats.ttest_1samp(values, 0, alternative="less").confidence_interval(0.95).high
    assert mine.effect == pytest.approx(np.expm1(values.mean()))
    assert (mine.low, mine.high) == pytest.approx((np.expm1(low), np.expm1(high)))


@given(st.lists(st.floats(-0.2, 0.2), min_size=5, max_size=40, unique_by=lambda v: round(v, 3)))
def test_trimmed_bounds_are_those_of_scipys_trimmed_t_test(values: list[float]) -> None:
    """The centre against scipy's trim_mean, the scale against the standard error in its Yuen test.

    Yuen divides the winsorised sum of squares by h(h-1) and sums over both groups; Tukey and
    McLaughlin's standard error is √n/h times the winsorised standard deviation.
    """
    mine = estimate_effect(values, 0.025, 0.025)
    centre = np.log1p(mine.effect)
    assert centre == pytest.approx(stats.trim_mean(values, 0.2), abs=1e-12)
    count, left = len(values), len(values) - 2 * int(0.2 * len(values))
    scale = (np.log1p(mine.high) - centre) / stats.t.isf(0.025, left - 1)
    yuen = 1 / stats.ttest_ind(np.add(values, 1), values, trim=0.2, equal_var=False).statistic
    squares = yuen**2 / 2 * left * (left - 1)
    assert scale == pytest.approx(np.sqrt(squares / (count - 1) * count) / left, rel=1e-6)


def test_one_process_that_is_slow_for_all_of_its_life_does_not_decide() -> None:
    quiet = [0.001, -0.002, 0.0, 0.002, -0.001, 0.001, 0.0]
    estimate = estimate_effect([*quiet, 0.2], 0.005, 0.005)
    assert abs(estimate.effect) < 0.002
    assert estimate.high < 0.03


@pytest.mark.parametrize(
    ("effect", "low", "high", "verdict"),
    [
        (0.05, 0.01, 0.09, "regressed"),
        (0.05, -0.01, 0.11, "inconclusive"),
        (0.012, 0.001, 0.04, "inconclusive"),
        (0.02, 0.01, 0.029, "clean"),
        (0.0, -0.02, 0.02, "clean"),
        (-0.05, -0.08, -0.02, "faster"),
        (-0.01, -0.012, -0.008, "clean"),
    ],
)
def test_what_an_estimate_allows_to_say(
    effect: float, low: float, high: float, verdict: str
) -> None:
    assert verdict_of(Estimate(effect, low, high), 0.03) == verdict


def test_false_alarms_are_rare_and_slowdowns_are_found() -> None:
    """A small simulation; tests/benchmarks/regression_rules.py is the large one."""
    noise = {"sample_noise": 0.03, "process_noise": 0.01}
    same = [judge(*sides(0.0, seed, **noise), RULE).verdict for seed in range(200)]
    slower = [judge(*sides(0.05, seed, **noise), RULE).verdict for seed in range(100)]
    assert same.count("regressed") <= 3
    assert slower.count("regressed") >= 98


def test_pairs_ratio_by_hand() -> None:
    assert Pair((10.0, 10.0, 20.0), (11.0, 11.0, 40.0)).log_ratio == pytest.approx(np.log(1.1))


class Scripted:
    """A side whose samples are given: the same in every process."""

    def __init__(self, times_ms: list[float]) -> None:
        self.times_ms = times_ms
        self.drawn = 0

    def start(self) -> None:
        self.drawn = 0

    def warm_up(self) -> None:
        pass

    def draw(self, count: int) -> Sequence[float]:
        self.drawn += count
        return self.times_ms[self.drawn - count : self.drawn]

    def stop(self) -> None:
        pass


def test_a_decision_by_hand() -> None:
    """All pairs are equal, so the standard error is 0 and the bounds are the effect."""
    rule = Rule(0.03, looks=(3, 5), low_levels=(0.01, 0.01), high_levels=(0.02, 0.03), block=4)
    base = Scripted([10.0, 10.0, 10.0, 14.0])
    head = Scripted([11.0, 11.0, 11.0, 21.0])
    decision = judge(base, head, rule)
    assert (decision.verdict, decision.pairs, decision.samples_per_side) == ("regressed", 3, 12)
    # Ratios 1.1, 1.1, 1.1, 1.5.
    found = (decision.effect, decision.low, decision.high)
    assert found == pytest.approx((0.1, 0.1, 0.1), abs=1e-12)
    assert decision.confidence == pytest.approx(1 - 0.02 - 0.05)
    assert decision.threshold == 0.03
    assert (decision.base_median_ms, decision.head_median_ms) == (10.0, 11.0)


def test_what_is_never_sure_ends_at_the_last_look() -> None:
    rule = Rule(0.03, looks=(2, 4, 5), low_levels=(1e-3,) * 3, high_levels=(1e-3,) * 3, block=2)
    rising = iter([1.0, 1.1, 1.0, 1.2, 0.9])

    class Rising(Scripted):
        def start(self) -> None:
            super().start()
            self.times_ms = [10.0 * next(rising)] * 2

    told: list[tuple[int, int]] = []
    decision = judge(
        Scripted([10.0] * 2), Rising([]), rule, lambda done, most: told.append((done, most))
    )
    assert (decision.verdict, decision.pairs) == ("inconclusive", 5)
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    logs = np.log([1.0, 1.1, 1.0, 1.2, 0.9])
    assert decision.effect == pytest.approx(np.expm1(np.sort(logs)[1:4].mean()))


def test_sides_take_turns_in_going_first() -> None:
    base, head = sides()
    judge(base, head, Rule(looks=(3,), low_levels=(0.01,), high_levels=(0.01,), block=2))
    starts = [entry for entry in base.log if entry.endswith("start")]
    assert starts == ["A start", "B start", "B start", "A start", "A start", "B start"]


def test_each_look_spends_its_own_level() -> None:
    rule = Rule(looks=(4, 5), low_levels=(0.01, 0.2), high_levels=(0.02, 0.3), block=2)
    values = [0.01, 0.02, 0.0, 0.03, 0.015]
    assert rule.estimate(0, values) == estimate_effect(values, 0.01, 0.02)
    assert rule.estimate(1, values) == estimate_effect(values, 0.2, 0.3)


def test_a_rule_without_looks_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        judge(*sides(), Rule(looks=(), low_levels=(), high_levels=()))
    assert str(caught.value) == "a rule needs at least one look"


@pytest.mark.parametrize(
    ("effect", "low", "high", "verdict"),
    [
        # Each bound on its edge: what is equal does not exceed.
        (-0.015, -0.02, -0.001, "faster"),
        (-0.015, -0.02, 0.0, "clean"),
        (0.01, 0.0, 0.03, "inconclusive"),
        (0.015, 0.0, 0.03, "inconclusive"),
        (0.015, 1e-9, 0.03, "regressed"),
        (0.0149, 0.001, 0.04, "inconclusive"),
        (0.9, 0.5, 1.5, "regressed"),
    ],
)
def test_the_edges_of_the_verdicts(effect: float, low: float, high: float, verdict: str) -> None:
    assert verdict_of(Estimate(effect, low, high), 0.03) == verdict


def test_the_rule_as_published() -> None:
    assert (RULE.threshold, RULE.block) == (0.03, 20)
    assert RULE.looks == (4, 8, 12, 16, 24, 32)
    assert RULE.low_levels == (0.001, 0.0015, 0.0015, 0.002, 0.002, 0.002)
    assert RULE.high_levels == (0.003, 0.004, 0.004, 0.004, 0.005, 0.005)
