"""PSNR, MSE and MAE: by hand, and against scikit-image 0.26 to 1e-9."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio
from vaebench.metrics import ShapeMismatch, open_metric
from vaebench.metrics.psnr import decibels


def score(name, reference, reconstruction, want_maps=False):
    metric = open_metric(name)
    return metric.compare(metric.prepare(reference), reconstruction, want_maps)


def test_one_grey_level_everywhere_is_48_13_db():
    reference = torch.full((1, 3, 8, 9), 128 / 255)
    result = score("psnr", reference, torch.full_like(reference, 129 / 255))
    assert result.values.dtype == torch.float64
    assert float(result.values) == pytest.approx(20 * math.log10(255), abs=1e-5)


def test_half_of_the_pixels_off_by_a_tenth():
    reference = torch.zeros(1, 3, 4, 4)
    reconstruction = reference.clone()
    reconstruction[..., :2] = 0.1
    assert float(score("mse", reference, reconstruction).values) == pytest.approx(0.005, rel=1e-6)
    assert float(score("mae", reference, reconstruction).values) == pytest.approx(0.05, rel=1e-6)
    expected_db = 10 * math.log10(1 / 0.005)
    assert float(score("psnr", reference, reconstruction).values) == pytest.approx(expected_db)


def test_identical_pictures_are_infinitely_good():
    pictures = torch.rand(2, 3, 5, 7)
    assert score("psnr", pictures, pictures).values.tolist() == [math.inf, math.inf]
    assert score("mse", pictures, pictures).values.tolist() == [0.0, 0.0]
    assert score("mae", pictures, pictures).values.tolist() == [0.0, 0.0]


def test_pooling_of_no_error_is_infinite_and_never_capped():
    assert decibels(0.0) == math.inf
    assert decibels(1e-20) == pytest.approx(200.0)


@pytest.mark.parametrize("name", ["psnr", "mse", "mae"])
def test_value_is_the_pooled_mean_of_the_map(name, random_pair):
    metric = open_metric(name)
    reference, reconstruction = random_pair(3, 33, 41)
    result = metric.compare(metric.prepare(reference), reconstruction, True)
    assert result.maps is not None and result.maps.shape == (3, 33, 41)
    pooled = [metric.pool(float(picture.mean())) for picture in result.maps]
    assert result.values.tolist() == pooled


@pytest.mark.parametrize("number", [3, 23])
def test_equals_scikit_image_on_kodak(number, jpeg_pair):
    reference, reconstruction = jpeg_pair(number)
    x = reference[0].double().numpy()
    y = reconstruction[0].double().numpy()
    expected_db = peak_signal_noise_ratio(x, y, data_range=1.0)
    assert float(score("psnr", reference, reconstruction).values) == pytest.approx(
        expected_db, abs=1e-9
    )
    expected = mean_squared_error(x, y)
    assert float(score("mse", reference, reconstruction).values) == pytest.approx(expected)
    assert float(score("mae", reference, reconstruction).values) == pytest.approx(
        np.abs(x - y).mean()
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), side=st.integers(1, 40))
def test_is_symmetric(seed, side):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, 1, 3, side, side + 3, generator=generator)
    for name in ("psnr", "mse", "mae"):
        assert torch.equal(score(name, x, y).values, score(name, y, x).values)


def test_small_errors_on_bright_pictures_keep_their_digits():
    reference = torch.ones(1, 3, 256, 256)
    reconstruction = reference - 2.0**-20
    assert float(score("mse", reference, reconstruction).values) == 2.0**-40


def test_pictures_in_float16_are_compared_in_float64():
    reference = torch.zeros(1, 3, 64, 64, dtype=torch.float16)
    reconstruction = torch.full_like(reference, 2.0**-14)
    result = score("mse", reference, reconstruction, True)
    assert result.maps is not None and result.maps.dtype == torch.float64
    assert float(result.values) == 2.0**-28
    assert float(score("mae", reference, reconstruction).values) == 2.0**-14


def test_shapes_that_differ_are_refused():
    metric = open_metric("psnr")
    prepared = metric.prepare(torch.rand(1, 3, 8, 8))
    with pytest.raises(ShapeMismatch, match=r"\[1, 3, 8, 9\].*\[1, 3, 8, 8\]"):
        metric.compare(prepared, torch.rand(1, 3, 8, 9), False)


@pytest.mark.parametrize(
    "pictures", [torch.rand(3, 8, 8), torch.rand(1, 1, 8, 8), torch.rand(1, 3, 0, 8)]
)
def test_what_is_no_batch_of_rgb_is_refused(pictures):
    with pytest.raises(ShapeMismatch, match=r"\[N, 3, H, W\]"):
        open_metric("psnr").prepare(pictures)


def test_integer_pixels_are_refused():
    with pytest.raises(ShapeMismatch, match=r"uint8.*255"):
        open_metric("psnr").prepare(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
