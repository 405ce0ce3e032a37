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
    "box",
    [
        (-1, 0, 2, 2),
        (0, 0, 7, 2),
        (0, 0, 2, 5),
        (2, 0, 2, 2),
        (0, 2, 2, 2),
        (3, 0, 2, 2),
        (0, 3, 2, 1),
    ],
)
def test_a_box_outside_the_picture_is_refused(ramp, box):
    with pytest.raises(MetricError, match="6×4 px"):
        regional(open_metric("mae"), ramp, 0, box)


def test_a_box_outside_says_what_a_box_must_be(ramp):
    with pytest.raises(MetricError) as caught:
        regional(open_metric("mae"), ramp, 0, (0, 0, 7, 2))
    assert str(caught.value) == (
        "Box [0, 0, 7, 2] is empty or leaves the 6×4 px picture: "
        "x0, y0, x1, y1 must be pixels inside it, end-exclusive."
    )


def test_an_empty_mask_is_refused(ramp):
    with pytest.raises(MetricError) as caught:
        regional(open_metric("mae"), ramp, 0, (0, 0, 2, 2), np.zeros((2, 2), bool))
    assert str(caught.value) == "Mask is empty: at least one of its pixels must be true."


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_a_mask_of_numbers_counts_where_it_is_not_zero(ramp, kind):
    mask = kind([[0, 2], [255, 0]])
    assert regional(open_metric("mae"), ramp, 0, (0, 0, 2, 2), mask) == (10 + 1) / 2


@pytest.mark.parametrize("mask", [None, np.ones((64, 64), bool)])
def test_a_region_is_summed_in_float64(mask):
    maps = torch.full((1, 64, 64), 2.0**-12)
    maps[0, 0, 0] = 2.0**13
    found = regional(open_metric("mae"), maps, 0, (0, 0, 64, 64), mask)
    assert found == (2.0**13 + 4095 * 2.0**-12) / 4096


def test_a_mask_of_another_shape_is_refused(ramp):
    with pytest.raises(MetricError) as caught:
        regional(open_metric("mae"), ramp, 0, (0, 0, 3, 2), np.ones((3, 2), bool))
    assert str(caught.value) == "Mask has shape [3, 2]: its box needs [2, 3] (rows, columns)."
