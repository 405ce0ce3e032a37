from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from vaebench.bench.compare.statistics import (
    PairedResult,
    compare_pairs,
    compare_rows,
    holm,
    mean_intervals,
    paired_differences,
    smallest_detectable,
    verdict_of,
    wilcoxon_p,
)


def interval(row: np.ndarray, seed: int = 0) -> tuple[float, float]:
    found = mean_intervals([row], seed)[0]
    assert found is not None
    return found


def result(**fields: object) -> PairedResult:
    plain = {
        "n_images": 24,
        "mean_diff": 1.0,
        "ci_low": 0.5,
        "ci_high": 1.5,
        "p": 0.001,
        "share_won": 0.9,
        "smallest_detectable": 0.4,
        "note": "",
    }
    return PairedResult(**{**plain, **fields})  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    # Sorted: 0.005·4, 0.01·3, 0.03·2, 0.04·1; the last may not fall below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_wilcoxon_leaves_zeros_out_and_is_exact_for_the_rest() -> None:
    six_gains = np.array([0.0] * 18 + [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert wilcoxon_p(six_gains) == pytest.approx(2 / 2**6)
    assert wilcoxon_p(np.zeros(24)) == 1.0


def test_wilcoxon_is_scipys() -> None:
    differences = np.random.default_rng(3).normal(0.3, 1, 40)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert wilcoxon_p(differences) == pytest.approx(expected)


def test_an_infinite_difference_has_the_highest_rank() -> None:
    finite = np.array([-1.0, 2, 3, -4, 5, 6, 7])
    assert wilcoxon_p(np.array([*finite[:-1], math.inf])) == wilcoxon_p(finite)


def test_the_interval_is_near_scipys_own_where_widening_matters_little() -> None:
    row = np.random.default_rng(5).gamma(4, size=400)
    answer = stats.bootstrap((row,), np.mean, n_resamples=9999, method="BCa", rng=1)
    low, high = interval(row)
    expected = answer.confidence_interval
    half = (expected.high - expected.low) / 2
    assert low == pytest.approx(expected.low, abs=0.08 * half)
    assert high == pytest.approx(expected.high, abs=0.08 * half)


def test_the_interval_leans_the_way_of_the_skew() -> None:
    row = np.random.default_rng(6).lognormal(0, 1, 40)
    low, high = interval(row)
    assert high - row.mean() > 1.2 * (row.mean() - low)


def test_intervals_cover() -> None:
    rows = np.random.default_rng(7).normal(size=(300, 24))
    found = [pair for pair in mean_intervals(list(rows), resamples=1000) if pair is not None]
    covered = np.mean([low <= 0 <= high for low, high in found])
    assert len(found) == 300
    assert 0.925 <= covered <= 0.975


def test_equal_differences_give_a_point() -> None:
    assert interval(np.full(24, 0.25)) == (0.25, 0.25)
    assert interval(np.zeros(3)) == (0.0, 0.0)
    # 31.3 - 31.1 and 21.3 - 21.1 differ in their last bits.
    rounded = np.array([31.3, 21.3, 11.3] * 4) - np.array([31.1, 21.1, 11.1] * 4)
    low, high = interval(rounded)
    assert low == high == pytest.approx(0.2)


def test_few_pictures_get_students_interval_and_one_none() -> None:
    row = np.array([1.0, 2.0, 4.0])
    expected = stats.t.interval(0.95, 2, row.mean(), row.std(ddof=1) / math.sqrt(3))
    few = compare_pairs(row, True)
    assert (few.ci_low, few.ci_high) == pytest.approx(expected)
    assert "Student" in few.note
    one = compare_pairs(np.array([1.0]), True)
    assert (one.mean_diff, one.ci_low, one.smallest_detectable, one.p) == (1.0, None, None, 1.0)
    assert one.note == "one picture has no interval"


def test_a_mostly_equal_row_has_an_interval_too() -> None:
    row = np.array([0.0] * 23 + [1.0])
    low, high = interval(row)
    assert 0 <= low < row.mean() < high <= 1


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(
        float,
        st.integers(6, 30),
        elements=st.floats(-100, 100, allow_subnormal=False).map(lambda value: round(value, 4)),
    ),
    st.floats(-50, 50),
)
def test_intervals_are_ordered_and_move_with_the_data(row: np.ndarray, shift: float) -> None:
    low, high = mean_intervals([row], resamples=500)[0] or (math.nan, math.nan)
    assert row.min() - 1e-9 <= low <= high <= row.max() + 1e-9
    moved = mean_intervals([row + shift], resamples=500)[0] or (math.nan, math.nan)
    assert moved == pytest.approx((low + shift, high + shift), abs=1e-6)


def test_a_row_has_the_same_result_alone_and_beside_others() -> None:
    random = np.random.default_rng(8)
    rows = [random.normal(0.2, 1, n) for n in (24, 7, 24, 24, 60)]
    together = compare_rows(rows, [True] * 5)
    assert [compare_pairs(row, True) for row in rows] == together
    assert compare_rows(rows, [True] * 5) == together
    assert compare_pairs(rows[0], True, seed=1) != together[0]


@pytest.mark.parametrize(("effect", "n_images"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_smallest_detectable_is_that_of_the_usual_power_tables(
    effect: float, n_images: int
) -> None:
    # Cohen's small, medium and large effect of a paired t test at 5 % with 80 % power.
    def detectable(n: int) -> float:
        row = np.random.default_rng(n).normal(size=n)
        found = smallest_detectable(row / row.std(ddof=1))
        assert found is not None
        return found

    assert detectable(n_images) <= effect < detectable(n_images - 1)


def test_a_true_difference_of_that_size_is_found_4_times_of_5() -> None:
    unit = smallest_detectable(np.array([-1.0, 1.0] * 12) / np.std([-1.0, 1.0] * 12, ddof=1))
    rows = np.random.default_rng(9).normal(unit, 1, (4000, 24))
    found: np.ndarray = stats.ttest_1samp(rows, 0, axis=1).pvalue
    assert np.mean(found < 0.05) == pytest.approx(0.8, abs=0.02)


def test_who_wins_depends_on_the_metric_and_the_sign_of_the_mean_does_not() -> None:
    differences = np.array([1.0, 2.0, -1.0, 0.0])
    higher, lower = compare_pairs(differences, True), compare_pairs(differences, False)
    assert (higher.share_won, lower.share_won) == (0.625, 0.375)
    assert higher.mean_diff == lower.mean_diff == 0.5


def test_infinite_values() -> None:
    codec = np.array([math.inf, math.inf, 30.0, 31, 32])
    baseline = np.array([math.inf, 40.0, math.inf, 30, 30])
    differences = paired_differences(codec, baseline)
    assert differences.tolist() == [0.0, math.inf, -math.inf, 1.0, 2.0]
    found = compare_pairs(differences, True)
    assert (found.n_images, found.n_infinite, found.mean_diff) == (5, 2, 1.0)
    assert found.share_won == pytest.approx((0.5 + 1 + 0 + 1 + 1) / 5)
    assert "2 of 5 pictures" in found.note


def test_nothing_and_nan() -> None:
    empty = compare_pairs(np.array([]), True)
    assert (empty.n_images, empty.mean_diff, empty.share_won, empty.p) == (0, None, None, 1.0)
    assert verdict_of(empty, 1.0, True, 0.1) == "undecided"
    with pytest.raises(ValueError, match="NaN"):
        compare_pairs(np.array([1.0, math.nan]), True)


@pytest.mark.parametrize(
    ("fields", "p_holm", "higher_is_better", "margin", "expected"),
    [
        ({}, 0.01, True, 0.1, "better"),
        ({}, 0.01, False, 0.1, "worse"),
        ({"ci_low": -1.5, "ci_high": -0.5}, 0.01, False, 0.1, "better"),
        ({}, 0.05, True, 0.1, "undecided"),
        ({"ci_low": -0.1}, 0.01, True, 0.05, "undecided"),
        # Surely a difference, and surely one that does not matter.
        ({}, 0.01, True, 2.0, "same"),
        ({"ci_low": -0.1, "ci_high": 0.1}, 1.0, True, 0.1, "same"),
        ({"ci_low": -0.1, "ci_high": 0.11}, 1.0, True, 0.1, "undecided"),
        ({"ci_low": 0.0, "ci_high": 0.0}, 1.0, True, None, "undecided"),
        ({"ci_low": None, "ci_high": None}, 0.01, True, 2.0, "undecided"),
        # Lossless on a few pictures: not the same, and most must go the way of the mean.
        ({"n_infinite": 2}, 0.01, True, 2.0, "better"),
        ({"n_infinite": 2, "share_won": 0.4}, 0.01, True, 2.0, "undecided"),
        (
            {"n_infinite": 24, "ci_low": None, "ci_high": None, "share_won": 1.0},
            0.01,
            True,
            0.1,
            "better",
        ),
        (
            {"n_infinite": 24, "ci_low": None, "ci_high": None, "share_won": 0.0},
            0.01,
            True,
            0.1,
            "worse",
        ),
        (
            {"n_infinite": 24, "ci_low": None, "ci_high": None, "share_won": 0.5},
            0.01,
            True,
            0.1,
            "undecided",
        ),
    ],
)
def test_verdicts(
    fields: dict[str, object],
    p_holm: float,
    higher_is_better: bool,
    margin: float | None,
    expected: str,
) -> None:
    assert verdict_of(result(**fields), p_holm, higher_is_better, margin) == expected
