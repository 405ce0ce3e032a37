"""Checks of batches, their sentences, and means that do not depend on the batch."""

from __future__ import annotations

import pytest
import torch
from vaebench.metrics import MetricUnavailable, ShapeMismatch
from vaebench.metrics.pictures import check_pair, check_pictures, check_side, groups, picture_means


@pytest.mark.parametrize("shape", [(3, 8, 9), (1, 1, 3, 8, 9), (1, 4, 8, 9), (2, 3, 0, 9)])
def test_what_is_no_batch_of_pictures_is_refused_with_its_shape(shape):
    with pytest.raises(ShapeMismatch) as caught:
        check_pictures(torch.zeros(shape))
    assert str(caught.value) == f"Pictures must have shape [N, 3, H, W]: got {list(shape)}."


def test_a_picture_without_columns_is_refused():
    with pytest.raises(ShapeMismatch, match=r"got \[1, 3, 8, 0\]"):
        check_pictures(torch.zeros(1, 3, 8, 0))


def test_integers_are_refused_with_the_mend():
    with pytest.raises(ShapeMismatch) as caught:
        check_pictures(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))
    assert str(caught.value) == (
        "Pictures must be floating point in [0, 1]: got torch.uint8. Divide by 255."
    )


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (1, 3, 1, 1), (2, 3, 1, 7)])
def test_an_empty_batch_and_the_smallest_pictures_are_pictures(shape):
    check_pictures(torch.zeros(shape))
    check_pair(torch.Size(shape), torch.zeros(shape, dtype=torch.float16))


def test_a_pair_that_differs_is_refused_with_both_shapes():
    with pytest.raises(ShapeMismatch) as caught:
        check_pair(torch.Size([1, 3, 8, 8]), torch.zeros(1, 3, 8, 9))
    assert str(caught.value) == (
        "Reconstruction has shape [1, 3, 8, 9], its reference [1, 3, 8, 8]: they must be equal."
    )
    with pytest.raises(ShapeMismatch, match=r"\[N, 3, H, W\]: got \[3, 8, 8\]"):
        check_pair(torch.Size([3, 8, 8]), torch.zeros(3, 8, 8))


@pytest.mark.parametrize("size", [(10, 40), (40, 10)])
def test_a_side_below_the_smallest_is_refused(size):
    height_px, width_px = size
    with pytest.raises(MetricUnavailable) as caught:
        check_side("SSIM", torch.zeros(1, 3, *size), 11)
    assert str(caught.value) == (
        f"SSIM needs pictures of at least 11×11 px: got {width_px}×{height_px} px."
    )
    check_side("SSIM", torch.zeros(1, 3, *size), 10)


def test_pictures_go_one_by_one_on_a_cpu_and_together_elsewhere():
    assert list(groups(torch.zeros(3, 3, 2, 2))) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    elsewhere = torch.zeros(3, 3, 2, 2, device="meta")
    assert list(groups(elsewhere)) == [slice(0, 3)]
    assert list(groups(elsewhere[:1])) == [slice(0, 1)]
    assert list(groups(elsewhere[:0])) == list(groups(torch.zeros(0, 3, 2, 2))) == []


def test_means_are_summed_in_float64():
    maps = torch.full((2, 4096), 2.0**-12)
    maps[:, 0] = 2.0**13
    maps[1] *= 2
    means = picture_means(maps)
    # In float32 what is added to 8192 is lost below 2⁻¹¹.
    expected = (2.0**13 + 4095 * 2.0**-12) / 4096
    assert means.dtype == torch.float64
    assert means.tolist() == [expected, 2 * expected]


def test_no_pictures_have_no_means():
    means = picture_means(torch.zeros(0, 4, 4))
    assert means.shape == (0,) and means.dtype == torch.float64
