"""Separable windows: against a two-dimensional convolution in float64, to 1e-12."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.metrics.separable import _band, blocks, correlate

taps = st.lists(st.floats(-2, 2), min_size=1, max_size=23).map(tuple)


@settings(max_examples=30, deadline=None)
@given(
    down=taps,
    across=taps,
    planes=st.integers(1, 4),
    height=st.integers(23, 120),
    width=st.integers(23, 120),
    seed=st.integers(0, 2**31),
)
def test_equals_a_convolution_with_the_outer_product(down, across, planes, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(height, planes, width, dtype=torch.float64, generator=generator)
    kernel = torch.outer(
        torch.tensor(down, dtype=torch.float64), torch.tensor(across, dtype=torch.float64)
    )
    expected = F.conv2d(rows.transpose(0, 1)[:, None], kernel[None, None])[:, 0].transpose(0, 1)
    assert torch.allclose(correlate(rows, down, across), expected, rtol=0, atol=1e-12)


def test_an_impulse_shows_the_window_from_its_end():
    rows = torch.zeros(5, 1, 7)
    rows[2, 0, 3] = 1.0
    found = correlate(rows, (1.0, 2.0, 3.0), (10.0, 20.0))
    assert found[:, 0, 2:4].tolist() == [[60.0, 30.0], [40.0, 20.0], [20.0, 10.0]]
    assert float(found.sum()) == (1 + 2 + 3) * (10 + 20)


def test_a_window_first_used_in_inference_mode_serves_outside_of_it():
    window = (0.25, 0.125, 0.625)
    rows = torch.rand(9, 2, 11)
    with torch.inference_mode():
        inside = correlate(rows, window, window)
    assert torch.equal(correlate(rows, window, window), inside)
    _band.cache_clear()
    with torch.inference_mode():
        correlate(rows, window, window)
    assert not _band(window, 7, rows.dtype, rows.device).is_inference()
    assert _band.cache_info().hits == 1


@pytest.mark.parametrize(("length", "step"), [(1, 48), (48, 48), (49, 48), (200, 48)])
def test_blocks_cover_a_length_once(length, step):
    covered = [place for start, stop in blocks(length, step) for place in range(start, stop)]
    assert covered == list(range(length))
    assert all(stop - start <= step for start, stop in blocks(length, step))


@pytest.mark.parametrize("size", [(130, 210), (20, 52), (12, 30), (64, 144)])
def test_float32_planes_of_several_blocks(size):
    rows = torch.rand(size[0], 3, size[1], generator=torch.Generator().manual_seed(0))
    down, across = (0.5, -1.0, 2.0, 0.25), (1.0, 3.0, -2.0)
    found = correlate(rows, down, across)
    expected = correlate(rows.double(), down, across)
    assert found.dtype == torch.float32
    assert found.shape == (size[0] - 3, 3, size[1] - 2)
    assert torch.allclose(found.double(), expected, rtol=0, atol=1e-5)


def test_windows_are_made_where_the_planes_are():
    planes = torch.zeros(60, 2, 110, device="meta")
    assert correlate(planes, (0.5, 0.25), (1.0, 2.0, 3.0)).is_meta


def test_blocks_by_hand():
    assert list(blocks(0, 4)) == []
    assert list(blocks(10, 4)) == [(0, 4), (4, 8), (8, 10)]
