"""SSIM: by hand, against scikit-image 0.26 to 1e-6 (1e-9 in fact), and torchmetrics' difference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure
from vaebench.metrics import MetricUnavailable, open_metric
from vaebench.metrics.ssim import (
    C1,
    C2,
    GAUSSIAN,
    WINDOW_PX,
    _band_px,
    contrast_structure,
    luma,
    luminance,
    moments,
    padded_rows,
)


def score(reference, reconstruction, name="ssim"):
    metric = open_metric(name)
    return metric.compare(metric.prepare(reference), reconstruction, True)


def reference_ssim(x, y):
    return structural_similarity(
        x.double().numpy(),
        y.double().numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=0,
        data_range=1.0,
        full=True,
    )


def assert_equals_scikit_image(reference, reconstruction):
    expected, expected_map = reference_ssim(reference[0], reconstruction[0])
    result = score(reference, reconstruction)
    assert float(result.values) == pytest.approx(expected, abs=1e-9)
    expected_map = torch.from_numpy(expected_map).mean(dim=0)
    assert torch.allclose(result.maps[0], expected_map, rtol=0, atol=1e-9)


def test_two_flat_pictures_leave_the_luminance_term():
    x, y = 0.5, 0.25
    expected = (2 * x * y + C1) / (x * x + y * y + C1)
    result = score(torch.full((1, 3, 16, 20), x), torch.full((1, 3, 16, 20), y))
    assert float(result.values) == pytest.approx(expected, abs=1e-12)
    assert torch.allclose(result.maps, torch.full((1, 16, 20), expected, dtype=torch.float64))


def test_window_has_eleven_taps_that_sum_to_one():
    assert len(GAUSSIAN) == 11
    assert sum(GAUSSIAN) == pytest.approx(1.0, abs=1e-15)
    assert GAUSSIAN[5] / GAUSSIAN[2] == pytest.approx(2.718281828459045**2)


def test_padding_repeats_the_edge():
    ramp = torch.arange(6.0).expand(6, 6)
    across, down = padded_rows(torch.stack([ramp, ramp.T])[None]).unbind(dim=1)
    mirrored = torch.tensor([4.0, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1])
    assert torch.equal(across, mirrored.expand(16, 16).double())
    assert torch.equal(down, across.T)


@pytest.mark.parametrize("number", range(1, 25, 3))
def test_equals_scikit_image_on_kodak(number, jpeg_pair):
    box = None if number == 22 else (16, 32, 16 + 201, 32 + 174)
    assert_equals_scikit_image(*jpeg_pair(number, box))


@pytest.mark.parametrize("size", [(11, 11), (11, 40), (57, 64)])
def test_equals_scikit_image_on_random_pictures(size, random_pair):
    assert_equals_scikit_image(*random_pair(1, *size))


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_flat_and_bright_pictures_lose_no_digits(level):
    reference = torch.full((1, 3, 64, 64), level / 255)
    steps = torch.randint(-1, 2, reference.shape, generator=torch.Generator().manual_seed(level))
    assert_equals_scikit_image(reference, (level + steps.float()).clamp(0, 255) / 255)


def test_luma_is_ssim_of_bt601_luma(jpeg_pair):
    assert luma(torch.ones(1, 3, 2, 2)).mean() == pytest.approx(1.0)
    reference, reconstruction = jpeg_pair(5, (0, 0, 128, 96))
    expected, _ = reference_ssim(luma(reference.double())[0], luma(reconstruction.double())[0])
    result = score(reference, reconstruction, "ssim-luma")
    assert float(result.values) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.integers(11, 40), width=st.integers(11, 40))
def test_identity_symmetry_and_bounds(seed, height, width):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, 1, 3, height, width, generator=generator)
    assert float(score(x, x).values) == pytest.approx(1.0, abs=1e-12)
    forth, back = score(x, y), score(y, x)
    assert float(forth.values) == pytest.approx(float(back.values), abs=1e-12)
    assert float(forth.maps.abs().max()) <= 1.0 + 1e-12


@pytest.mark.parametrize("height_px", [182, 183, 192, 193, 202, 203, 395])
def test_bands_of_rows_leave_no_seam(height_px, random_pair):
    """A band is 192 rows of windows; a picture has as many as rows, its border completed."""
    assert_equals_scikit_image(*random_pair(1, height_px, 12))


def test_a_gpu_takes_more_rows_at_a_time():
    assert _band_px(torch.device("cuda")) > 4 * _band_px(torch.device("cpu")) > 4 * WINDOW_PX


def test_terms_by_hand_on_one_window():
    """Eqs. 6, 9 and 10 with a flat window of taps 1/11, on numbers whose moments are known."""
    taps = (1 / WINDOW_PX,) * WINDOW_PX
    ramp = torch.arange(121.0, dtype=torch.float64).view(11, 1, 11) / 121
    x, y = ramp, ramp.flip(0) / 2
    reference = moments(x.clone(), taps)
    ((here, mean, structure),) = contrast_structure(reference, y.clone(), taps)
    variance_x, variance_y = x.var(correction=0), y.var(correction=0)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    assert here == slice(0, 1)
    assert float(mean) == pytest.approx(float(y.mean()), abs=1e-14)
    assert float(reference.mean) == pytest.approx(float(x.mean()), abs=1e-14)
    assert float(reference.spread) == pytest.approx(float(variance_x) + 0.0009, abs=1e-14)
    expected = (2 * covariance + 0.0009) / (variance_x + variance_y + 0.0009)
    assert float(structure) == pytest.approx(float(expected), abs=1e-12)
    assert float(luminance(reference, here, mean)) == pytest.approx(
        float((2 * x.mean() * y.mean() + 0.0001) / (x.mean() ** 2 + y.mean() ** 2 + 0.0001))
    )


def test_taps_whose_sum_is_not_one_leave_c2_as_it_is():
    """The constant goes through the window with the product, so it is divided by the taps' sum."""
    taps = tuple(2.0 * weight for weight in GAUSSIAN)
    x, y = torch.rand(2, 11, 1, 11, dtype=torch.float64, generator=torch.manual_seed(0))
    reference = moments(x.clone(), taps)
    ((_, mean, structure),) = contrast_structure(reference, y.clone(), taps)
    window = 4 * torch.outer(*[torch.tensor(GAUSSIAN, dtype=torch.float64)] * 2)[:, None]
    first, second = (x * window).sum(), (y * window).sum()
    assert float(mean) == pytest.approx(float(second), abs=1e-12)
    above = 2 * ((x * y * window).sum() - first * second) + C2
    below = (x * x * window).sum() - first**2 + (y * y * window).sum() - second**2 + C2
    assert float(structure) == pytest.approx(float(above / below), abs=1e-12)


def test_many_pictures_at_once_are_as_many_planes(random_pair):
    """What a GPU does: all pictures of a batch side by side."""
    reference, reconstruction = random_pair(3, 20, 24)
    together = moments(padded_rows(reference))
    ((here, mean, structure),) = contrast_structure(together, padded_rows(reconstruction))
    planes = luminance(together, here, mean) * structure
    maps = planes.unflatten(1, (3, 3)).mean(dim=2).transpose(0, 1)
    assert torch.allclose(maps, score(reference, reconstruction).maps, rtol=0, atol=1e-12)


def test_luma_is_made_in_float64():
    pictures = torch.full((1, 3, 16, 16), 200 / 255)
    other = torch.full((1, 3, 16, 16), 201 / 255)
    other[..., ::2] -= 1e-4
    expected, _ = reference_ssim(luma(pictures.double())[0], luma(other.double())[0])
    found = score(pictures, other, "ssim-luma")
    assert float(found.values) == pytest.approx(expected, abs=1e-11)


def test_pictures_smaller_than_the_window_say_so():
    with pytest.raises(
        MetricUnavailable, match=r"^SSIM needs pictures of at least 11×11 px: got 40×10"
    ):
        open_metric("ssim").prepare(torch.rand(1, 3, 10, 40))


def test_where_torchmetrics_differs(jpeg_pair):
    """Torchmetrics 1.9 averages the windows over a reflect-padded border too.

    Over the 24 Kodak pictures at JPEG quality 30 that adds 1.2e-3 on average, from -5.4e-4 to
    2.7e-3 (kodim23: 7.5e-4); on the part of it that this test takes, -2.6e-4.
    Its padding does not repeat the edge, so that it differs from the mean of our map as well, by
    at most 1.1e-4 on those pictures.
    """
    reference, reconstruction = jpeg_pair(23, (128, 64, 320, 192))
    theirs = structural_similarity_index_measure(
        reconstruction.double(), reference.double(), data_range=1.0
    )
    ours = score(reference, reconstruction)
    assert float(theirs) - float(ours.values) == pytest.approx(-2.62e-4, abs=1e-5)
    assert float(theirs) == pytest.approx(float(ours.maps.mean()), abs=1.1e-4)
