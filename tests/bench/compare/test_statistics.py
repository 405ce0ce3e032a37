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
    family_size,
    holm,
    mean_intervals,
    paired_differences,
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


def test_rows_that_can_never_be_decided_leave_the_family() -> None:
    # The shipped sample: 5 rows of 8 pictures, 12 regions of 2 and 3. 5·2/2⁸ = 0.039.
    p = [2 / 2**8] * 5 + [2 / 2**3] * 8 + [2 / 2**2] * 4
    assert holm(p, p) == pytest.approx([0.0390625] * 5 + [1.0] * 12)
    assert family_size(p) == 5
    # Rows of 6 could be decided alone, 2/2⁶ = 0.031, but not beside five others of 8: so they leave
    # until these are decided, and then are few enough that the first of them can be.
    six = [2 / 2**8] * 5 + [2 / 2**6] * 5
    assert family_size(six) == 5
    assert holm(six, six)[:5] == pytest.approx([0.0390625] * 5)
    one = [2 / 2**8] * 5 + [2 / 2**6]
    assert holm(one, one) == pytest.approx([0.0390625] * 6)
    # Where all can be decided it is Holm's.
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p, [1e-6] * 4) == pytest.approx(holm(p))
    assert family_size([]) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=12), st.randoms())
def test_the_family_wise_error_of_signs_is_bounded(counts, random) -> None:
    """No rows differ: p of signs alone is 2/2ⁿ where all agree, else 1, exactly as its chance."""
    least = [2.0 ** (1 - n) for n in counts]
    # The chance that any row is rejected, by the union over what a single row's least p would do.
    rejected = sum(
        bound
        for place, bound in enumerate(least)
        if holm([bound if i == place else 1.0 for i in range(len(least))], least)[place] < 0.05
    )
    assert rejected <= 0.05


def test_equal_sizes_give_no_p_that_signs_could_not() -> None:
    assert wilcoxon_p(np.full(5, 0.1)) == 2 / 2**5
    assert wilcoxon_p(np.full(6, math.inf)) == 2 / 2**6


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


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([math.inf] * 16, "better"),
        ([math.inf] * 16 + [0.0], "better"),
        ([math.inf] * 16 + [5.0], "better"),
        ([math.inf] * 22 + [5.0, 6.0], "better"),
        ([-math.inf] * 16 + [0.0, -1.0], "worse"),
        ([math.inf] * 2 + [0.5] * 14, "better"),
        # One picture is lost, the others without any loss: the few finite ones have not the vote.
        ([math.inf] * 16 + [-0.5], "better"),
        ([math.inf] * 8 + [-math.inf] * 8, "undecided"),
        ([math.inf] * 8 + [-1.0, -2.0] * 8, "undecided"),
        ([math.inf] * 4 + [0.0], "undecided"),
    ],
)
def test_what_is_lossless_on_one_side_alone_counts(differences, verdict) -> None:
    row = np.array(differences)
    for sign, higher in ((1, True), (-1, False)):
        found = compare_pairs(sign * row, higher)
        assert verdict_of(found, found.p, higher, 0.1) == verdict


def test_most_pictures_without_a_finite_difference_leave_no_mean() -> None:
    found = compare_pairs(np.array([math.inf] * 16 + [0.0]), True)
    assert (found.mean_diff, found.ci_low, found.n_infinite) == (None, None, 16)
    assert found.note.startswith("lossless on 16 of 17 pictures")


@pytest.mark.parametrize("n_images", [1, 3, 24])
def test_an_exact_tie_on_every_picture_is_the_same(n_images: int) -> None:
    for margin in (None, 0.1):
        found = compare_pairs(np.zeros(n_images), False)
        assert verdict_of(found, 1.0, False, margin) == "same"
    nothing = compare_pairs(np.array([]), True)
    assert verdict_of(nothing, 1.0, True, None) == "undecided"


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
