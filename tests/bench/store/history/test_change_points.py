"""E-divisive on series whose changes are known."""

from __future__ import annotations

import numpy as np
import pytest
from vaebench.bench.store.history.change_points import MIN_SEGMENT, change_points


def noisy(seed: int, count: int, spread: float = 0.01) -> np.ndarray:
    return 100 * np.exp(np.random.default_rng(seed).normal(0, spread, count))


def test_a_step_of_5_percent_in_noise_of_1_percent_is_found_at_its_place() -> None:
    hits = 0
    for seed in range(100):
        series = noisy(seed, 60)
        series[37:] *= 1.05
        found = change_points(series.tolist())
        hits += len(found) == 1 and abs(found[0] - 37) <= 1
    assert hits >= 95


def test_without_a_step_hardly_any_is_found() -> None:
    assert sum(bool(change_points(noisy(seed, 60).tolist())) for seed in range(100)) <= 3


def test_two_steps_are_found_and_the_scale_plays_no_part() -> None:
    series = noisy(3, 120, 0.005)
    series[40:80] *= 1.1
    found = change_points(series.tolist())
    assert [round(place / 40) for place in found] == [1, 2]
    assert change_points((series * 1e-6).tolist()) == found


def test_single_outliers_are_no_step() -> None:
    series = noisy(5, 60)
    series[[10, 31, 50]] *= 3
    assert change_points(series.tolist()) == []


def test_outliers_of_half_the_level_hide_no_step() -> None:
    series = noisy(6, 60)
    series[30:] *= 1.05
    series[[12, 26, 45]] *= 1.5
    (place,) = change_points(series.tolist())
    assert abs(place - 30) <= 1


@pytest.mark.parametrize("sign", [-1.0, 0.0])
def test_values_without_a_logarithm_have_steps_too(sign: float) -> None:
    series = np.random.default_rng(2).normal(0, 0.01, 40) + sign
    series[17:] += 0.1
    assert change_points(series.tolist()) == [17]


@pytest.mark.parametrize("series", [[], [1.0], [2.0] * 50, [1.0] * (2 * MIN_SEGMENT - 1)])
def test_short_and_constant_series_have_no_step(series: list[float]) -> None:
    assert change_points(series) == []


def test_the_best_split_is_that_of_the_definition() -> None:
    """Against the mean distances of the definition, computed without prefix sums."""
    from vaebench.bench.store.history.change_points import _best_split

    series = noisy(1, 23)
    distances = np.abs(series[:, None] - series[None])
    places = range(MIN_SEGMENT, len(series) - MIN_SEGMENT + 1)

    def energy(place: int) -> float:
        x, y = series[:place], series[place:]
        n, m = len(x), len(y)
        across = np.abs(x[:, None] - y[None]).mean()
        within = [
            np.abs(side[:, None] - side[None]).sum() / (k * (k - 1)) for side, k in ((x, n), (y, m))
        ]
        return n * m / (n + m) * (2 * across - sum(within))

    place, strength = _best_split(distances)
    assert place == max(places, key=energy)
    assert strength == pytest.approx(energy(place))


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        change_points([1.0, float("nan")] * 10)
