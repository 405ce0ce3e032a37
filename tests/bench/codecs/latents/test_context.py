"""Every position is coded once, and only from what was coded before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.bench.codecs.latents.context import (
    CLASSES,
    channel_groups,
    classes_of,
    fit,
    from_short_float,
    lattice,
    short_float,
    walk,
)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_each_position_comes_once_and_after_its_neighbours(height: int, width: int) -> None:
    known = np.zeros(height * width, bool)
    for entry in lattice(height, width):
        if entry.neighbours is not None:
            assert entry.neighbours.shape == (4, len(entry.positions))
            assert known[entry.neighbours].all()
        assert not known[entry.positions].any()
        known[entry.positions] = True
    assert known.all()


def test_inside_a_grid_the_neighbours_are_the_four_nearest() -> None:
    last = lattice(9, 9)[-1]
    at = int(np.flatnonzero(last.positions == 3 * 9 + 4)[0])
    assert last.neighbours is not None
    assert set(last.neighbours[:, at]) == {2 * 9 + 4, 4 * 9 + 4, 3 * 9 + 3, 3 * 9 + 5}


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 4, 7, 16, 33])
def test_groups_hold_each_channel_once(channels: int) -> None:
    groups = channel_groups(channels)
    found = [index for group in groups for index in range(channels)[group]]
    assert found == list(range(channels))
    assert len(groups) <= 1 + int(np.ceil(np.log2(max(channels, 1)))) + 1


def test_a_walk_sees_what_the_fit_saw_and_nothing_that_comes_later() -> None:
    random = np.random.default_rng(4)
    values = np.rint(np.cumsum(random.normal(size=(5, 300)), axis=1)).astype(np.int64)
    passes = lattice(15, 20)
    parameters = fit(values, passes)
    distances, classes = classes_of(values, passes, parameters)
    blank = np.full_like(values, 10**6)

    def code(
        positions: np.ndarray, own: np.ndarray, centres: np.ndarray, scales: np.ndarray
    ) -> np.ndarray:
        now = values[own[:, None], positions]
        np.testing.assert_array_equal(np.abs(8 * now - centres), distances[own[:, None], positions])
        expected = parameters.scales[own[:, None], classes[own[:, None], positions]]
        np.testing.assert_array_equal(scales, expected)
        return now

    walk(blank, passes, parameters, code)
    np.testing.assert_array_equal(blank, values)


def test_flat_and_busy_parts_get_scales_of_their_own() -> None:
    random = np.random.default_rng(5)
    busy = random.normal(size=(1, 64, 64)) * np.repeat([0.2, 20.0], 32)
    parameters = fit(np.rint(busy).astype(np.int64).reshape(1, -1), lattice(64, 64))
    scales = parameters.scales[0, :CLASSES]
    assert scales[0] < 8
    assert scales[-1] > 20


@given(st.integers(0, 15 << 30))
def test_a_short_float_is_the_nearest_from_above(value: int) -> None:
    code, stood = short_float(value)
    assert from_short_float(code) == stood
    assert value <= stood <= value * 9 / 8 + 1
    assert code == 0 or from_short_float(code - 1) < value
