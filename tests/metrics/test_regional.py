"""A region's value: the pooled mean of a map over a box or mask."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from vaebench.metrics import MetricError, open_metric, regional


@pytest.fixture
def ramp() -> torch.Tensor:
    """Maps of 2 pictures of 4 rows and 6 columns: row + 10·column, and the same plus 100."""
    rows, columns = torch.arange(4.0)[:, None], torch.arange(6.0)
    return torch.stack([rows + 10 * columns, rows + 10 * columns + 100])


def test_box_is_x_then_y_and_end_exclusive(ramp):
    mae = open_metric("mae")
    assert regional(mae, ramp, 0, (2, 1, 4, 2)) == 1 + 10 * 2.5
    assert regional(mae, ramp, 1, (5, 3, 6, 4)) == 153.0
    assert regional(mae, ramp, 0, (0, 0, 6, 4)) == float(ramp[0].mean())


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_mask_picks_pixels_of_its_box(ramp, kind):
    mask = kind([[True, False], [False, True], [False, True]])
    expected = (11 + 22 + 23) / 3
    assert regional(open_metric("mae"), ramp, 0, (1, 1, 3, 4), mask) == pytest.approx(expected)


def test_psnr_of_a_region_is_that_of_its_mean_squared_error():
    reference = torch.zeros(1, 3, 8, 8)
    reconstruction = reference.clone()
    reconstruction[..., 2:4, 4:8] = 0.1
    psnr = open_metric("psnr")
    maps = psnr.compare(psnr.prepare(reference), reconstruction, True).maps
    assert regional(psnr, maps, 0, (4, 2, 8, 4)) == pytest.approx(20.0)
    assert regional(psnr, maps, 0, (4, 0, 8, 4)) == pytest.approx(20 + 10 * math.log10(2))
    assert regional(psnr, maps, 0, (0, 0, 4, 8)) == math.inf


@pytest.mark.parametrize(
    "box", [(-1, 0, 2, 2), (0, 0, 7, 2), (0, 0, 2, 5), (2, 0, 2, 2), (3, 0, 2, 2), (0, 3, 2, 1)]
)
def test_a_box_outside_the_picture_is_refused(ramp, box):
    with pytest.raises(MetricError, match="6×4 px"):
        regional(open_metric("mae"), ramp, 0, box)


def test_an_empty_mask_is_refused(ramp):
    with pytest.raises(MetricError, match="empty"):
        regional(open_metric("mae"), ramp, 0, (0, 0, 2, 2), np.zeros((2, 2), bool))


def test_a_mask_of_another_shape_is_refused(ramp):
    with pytest.raises(MetricError, match=r"\[3, 2\].*\[2, 3\]"):
        regional(open_metric("mae"), ramp, 0, (0, 0, 3, 2), np.ones((3, 2), bool))
