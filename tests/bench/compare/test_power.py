"""The smallest detectable difference, against the verdict that it is of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from vaebench.bench.compare.power import _critical_sum, least_p, smallest_detectable
from vaebench.bench.compare.statistics import compare_rows, verdict_of

DRAWS = 400


@pytest.mark.parametrize(
    ("n_images", "family"),
    [(6, 1), (8, 1), (8, 5), (12, 1), (12, 20), (24, 1), (24, 5), (24, 20), (60, 20)],
)
def test_the_verdict_shows_it_4_times_of_5(n_images: int, family: int) -> None:
    unit = np.random.default_rng(1).normal(size=n_images)
    found = smallest_detectable(unit / unit.std(ddof=1), family)
    assert found is not None
    rows = list(np.random.default_rng(2).normal(found, 1, (DRAWS, n_images)))
    results = compare_rows(rows, [True] * DRAWS, resamples=1000)
    verdicts = [verdict_of(entry, min(1.0, family * entry.p), True, None) for entry in results]
    # 2 % is the standard error of the draws; the bootstrap is a little wider than Student's.
    assert verdicts.count("better") / DRAWS == pytest.approx(0.8, abs=0.065)


@pytest.mark.parametrize(("n_images", "family"), [(0, 1), (1, 1), (5, 1), (6, 5), (8, 20)])
def test_where_no_verdict_can_be_had_there_is_none(n_images: int, family: int) -> None:
    assert smallest_detectable(np.arange(n_images) * 1.0, family) is None


def test_it_grows_with_the_spread_and_the_family_and_falls_with_the_pictures() -> None:
    row = np.random.default_rng(3).normal(size=24)
    own = smallest_detectable(row)
    assert own is not None
    assert smallest_detectable(2 * row + 7) == pytest.approx(2 * own)
    found = [smallest_detectable(np.tile([-1.0, 1.0], n), 5) for n in (5, 10, 25, 26, 100)]
    assert found == sorted(found, reverse=True)
    families = [smallest_detectable(row, family) for family in (1, 5, 20, 100)]
    assert families == sorted(families)


def test_the_beyond_is_the_t_test_of_the_usual_power_tables() -> None:
    # Cohen's small effect, 0.2, takes 199 pictures by a t test; by ranks π/3 times as many.
    unit = np.tile([-1.0, 1.0], 104)
    found = smallest_detectable(unit / unit.std(ddof=1))
    assert found == pytest.approx(0.2, abs=0.001)


@pytest.mark.parametrize("n", [6, 9, 15])
def test_the_critical_sum_is_that_of_the_exact_distribution(n: int) -> None:
    for level in (0.05, 0.01):
        lost = _critical_sum(n, level)
        if lost < 0:
            assert least_p(n) >= level
            continue
        signs = np.ones(n)
        # Negative ranks that sum to the critical value, and to one more.
        for sum_of_ranks, is_below in ((lost, True), (lost + 1, False)):
            left = sum_of_ranks
            signed = np.arange(1, n + 1) * signs
            for rank in range(n, 0, -1):
                if rank <= left:
                    signed[rank - 1] *= -1
                    left -= rank
            p = stats.wilcoxon(signed, method="exact").pvalue
            assert (p < level) == is_below
