"""MS-SSIM against pytorch-msssim 1.0.0 in float64, to 1e-6 (1e-7 in fact)."""

from __future__ import annotations

import pytest
import torch
from pytorch_msssim import ms_ssim
from vaebench.metrics import MetricUnavailable, open_metric
from vaebench.metrics.ms_ssim import WEIGHTS
from vaebench.metrics.ssim import C1


def score(reference, reconstruction):
    metric = open_metric("ms-ssim")
    return metric.compare(metric.prepare(reference), reconstruction, False).values


def assert_equals_pytorch_msssim(reference, reconstruction):
    # In float32 that package differs from itself in float64 by up to 1e-5 on Kodak.
    expected = ms_ssim(
        reference.double(), reconstruction.double(), data_range=1.0, size_average=False
    )
    assert torch.allclose(score(reference, reconstruction), expected, rtol=0, atol=1e-7)


def test_two_flat_pictures_leave_the_luminance_term_of_the_last_scale():
    x, y = 0.5, 0.25
    luminance = (2 * x * y + C1) / (x * x + y * y + C1)
    value = score(torch.full((1, 3, 176, 176), x), torch.full((1, 3, 176, 176), y))
    # The float32 taps leave a flat picture a variance of 3e-8 of its square.
    assert float(value) == pytest.approx(luminance ** WEIGHTS[-1], abs=1e-5)


@pytest.mark.parametrize(("number", "box"), [(23, None), (1, (7, 9, 208, 180)), (9, None)])
def test_equals_pytorch_msssim_on_kodak(number, box, jpeg_pair):
    assert_equals_pytorch_msssim(*jpeg_pair(number, box))


@pytest.mark.parametrize("size", [(161, 161), (163, 210), (176, 175), (206, 161)])
def test_equals_pytorch_msssim_on_random_pictures_and_odd_sizes(size, random_pair):
    assert_equals_pytorch_msssim(*random_pair(2, *size))


def test_negative_structure_counts_as_zero(random_pair):
    reference, _ = random_pair(1, 161, 161)
    negative = 1 - reference
    assert_equals_pytorch_msssim(reference, negative)
    assert float(score(reference, negative)) == 0.0


def test_identity_and_symmetry(random_pair):
    reference, reconstruction = random_pair(1, 170, 165)
    assert float(score(reference, reference)) == pytest.approx(1.0, abs=1e-12)
    forth, back = score(reference, reconstruction), score(reconstruction, reference)
    assert torch.allclose(forth, back, rtol=0, atol=1e-12)


def test_values_are_means_of_the_channels_in_float64(random_pair):
    reference, reconstruction = random_pair(2, 161, 170)
    values = score(reference, reconstruction)
    assert values.shape == (2,) and values.dtype == torch.float64
    greys = [
        score(reference[:, [c] * 3], reconstruction[:, [c] * 3]).unsqueeze(0) for c in range(3)
    ]
    assert torch.allclose(torch.cat(greys).mean(0), values, rtol=0, atol=1e-14)


def test_pictures_of_a_batch_together_score_as_each_alone(random_pair, monkeypatch):
    """What a GPU does: all pictures of a batch side by side."""
    pair = random_pair(3, 161, 163)
    alone = score(*pair)
    monkeypatch.setattr("vaebench.metrics.ms_ssim.groups", lambda x: iter([slice(0, len(x))]))
    assert torch.allclose(score(*pair), alone, rtol=0, atol=1e-12)


def test_pictures_too_small_for_five_scales_say_so():
    with pytest.raises(MetricUnavailable, match=r"^MS-SSIM needs .* 161×161 px: got 160×300"):
        open_metric("ms-ssim").prepare(torch.rand(1, 3, 300, 160))
