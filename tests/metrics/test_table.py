"""The table of metrics: names, fingerprints, unknown names, and the contract all keep."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import vaebench.metrics
from vaebench.metrics import (
    DEFAULT_METRICS,
    METRICS,
    MetricError,
    MetricUnavailable,
    ShapeMismatch,
    describe_metric,
    open_metric,
)

WITHOUT_WEIGHTS = [name for name in METRICS if not name.startswith("lpips")]
ADAPTED = ["torchmetrics:ErrorRelativeGlobalDimensionlessSynthesis"]

FINGERPRINTS = {
    "psnr": ("psnr", "dB", True, "psnr/rgb8", "psnr/rgb-float"),
    "mse": ("mse", "", False, "mse/rgb8", "mse/rgb-float"),
    "mae": ("mae", "", False, "mae/rgb8", "mae/rgb-float"),
    "ssim": ("ssim", "", True, "ssim/gauss11-rgb8", "ssim/gauss11-rgb-float"),
    "ssim-luma": ("ssim", "", True, "ssim/gauss11-luma8", "ssim/gauss11-luma-float"),
    "ms-ssim": (
        "ms-ssim",
        "",
        True,
        "ms-ssim/gauss11-5scale-rgb8",
        "ms-ssim/gauss11-5scale-rgb-float",
    ),
    "lpips": ("lpips", "", False, "lpips/alex-0.1", "lpips/alex-0.1-float"),
    "lpips-alex": ("lpips", "", False, "lpips/alex-0.1", "lpips/alex-0.1-float"),
    "lpips-squeeze": ("lpips", "", False, "lpips/squeeze-0.1", "lpips/squeeze-0.1-float"),
    "lpips-vgg": ("lpips", "", False, "lpips/vgg-0.1", "lpips/vgg-0.1-float"),
    "flip": ("flip", "", False, "flip/ldr-67ppd-rgb8", "flip/ldr-67ppd-rgb-float"),
    "ciede2000": ("ciede2000", "dE00", False, "ciede2000/d65-rgb8", "ciede2000/d65-rgb-float"),
}


def test_every_metric_is_described_without_being_built():
    described = {name: describe_metric(name) for name in METRICS}
    assert {
        name: (x.name, x.unit, x.higher_is_better, x.variant(True), x.variant(False))
        for name, x in described.items()
    } == FINGERPRINTS
    assert set(DEFAULT_METRICS) <= set(METRICS)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_built_metric_says_what_its_description_says(name):
    metric, info = open_metric(name), describe_metric(name)
    assert (metric.name, metric.unit) == (info.name, info.unit)
    assert metric.higher_is_better == info.higher_is_better
    assert [metric.variant(x) for x in (True, False)] == [info.rounded, info.unrounded]


@pytest.mark.parametrize("ask", [describe_metric, open_metric])
def test_an_unknown_name_is_answered_with_the_nearest_and_the_valid_ones(ask):
    with pytest.raises(MetricError) as caught:
        ask("ms-sim")
    assert not isinstance(caught.value, MetricUnavailable)
    assert "Did you mean ms-ssim?" in str(caught.value)
    for name in [*METRICS, "torchmetrics:NAME", "pyiqa:NAME"]:
        assert name in str(caught.value)


@pytest.mark.parametrize("ask", [describe_metric, open_metric])
@pytest.mark.parametrize(
    ("name", "hint"), [("psnr:x", " Did you mean psnr?"), ("zzz", ""), ("other:psnr", "")]
)
def test_an_unknown_name_is_answered_in_one_sentence(ask, name, hint):
    with pytest.raises(MetricError) as caught:
        ask(name)
    assert str(caught.value) == (
        f"Unknown metric {name!r}.{hint} Valid: psnr, mse, mae, ssim, ssim-luma, ms-ssim, lpips, "
        "lpips-alex, lpips-squeeze, lpips-vgg, flip, ciede2000, torchmetrics:NAME, pyiqa:NAME."
    )


def test_a_prefix_ends_at_the_first_colon():
    with pytest.raises(MetricError, match=r"'torchmetrics:a:b'\..* Valid after torchmetrics: "):
        open_metric("torchmetrics:a:b")
    with pytest.raises(MetricError, match=r"'torchmetrics:a:b'\..* Valid after torchmetrics: "):
        describe_metric("torchmetrics:a:b")
    with pytest.raises(MetricError, match=r"^Unknown metric 'torchmetrics'\..* Valid: psnr"):
        describe_metric("torchmetrics")


def test_the_room_offers_what_its_list_says():
    assert sorted(vaebench.metrics.__all__) == vaebench.metrics.__all__
    for name in vaebench.metrics.__all__:
        assert hasattr(vaebench.metrics, name), name


def test_the_default_metrics():
    assert DEFAULT_METRICS == ("psnr", "ssim", "ms-ssim", "lpips-alex", "flip")


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_batch_of_no_pictures_has_no_values(name):
    metric = open_metric(name)
    nothing = torch.zeros(0, 3, 170, 180)
    result = metric.compare(metric.prepare(nothing), nothing, True)
    assert result.values.shape == (0,) and result.values.dtype == torch.float64


@pytest.mark.parametrize("name", [*WITHOUT_WEIGHTS, *ADAPTED])
def test_what_is_no_pair_of_batches_is_refused_on_either_side(name):
    metric = open_metric(name)
    with pytest.raises(ShapeMismatch, match=r"got \[3, 170, 180\]"):
        metric.prepare(torch.zeros(3, 170, 180))
    prepared = metric.prepare(torch.zeros(1, 3, 170, 180))
    with pytest.raises(ShapeMismatch, match=r"\[1, 3, 170, 181\].*\[1, 3, 170, 180\]"):
        metric.compare(prepared, torch.zeros(1, 3, 170, 181), False)


@pytest.mark.parametrize("name", [*WITHOUT_WEIGHTS, *ADAPTED])
def test_a_picture_scores_the_same_in_any_batch(name, random_pair):
    assert_batch_independent(open_metric(name), *random_pair(3, 163, 166))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_picture_scores_the_same_on_any_device(name, random_pair):
    reference, reconstruction = random_pair(2, 163, 166)
    on_cpu = open_metric(name)
    on_cuda = open_metric(name, device="cuda")
    expected = on_cpu.compare(on_cpu.prepare(reference), reconstruction, False).values
    measured = on_cuda.compare(on_cuda.prepare(reference.cuda()), reconstruction.cuda(), False)
    torch.testing.assert_close(measured.values.cpu(), expected, rtol=0, atol=1e-6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_no_metric_waits_for_the_gpu(name, random_pair):
    reference, reconstruction = (x.cuda() for x in random_pair(2, 163, 166))
    metric = open_metric(name, device="cuda")
    # What is copied to the device once is copied by now.
    metric.compare(metric.prepare(reference), reconstruction, True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        metric.compare(metric.prepare(reference), reconstruction, True)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-squeeze"])
def test_a_picture_has_the_same_lpips_in_any_batch(name, shared, random_pair):
    assert_batch_independent(open_metric(name, shared / "weights"), *random_pair(3, 75, 64))


def assert_batch_independent(metric, reference, reconstruction):
    together = metric.compare(metric.prepare(reference), reconstruction, True)
    assert together.values.dtype == torch.float64 and together.values.shape == (3,)
    assert together.values.unique().numel() == 3
    for index in range(3):
        one = slice(index, index + 1)
        alone = metric.compare(metric.prepare(reference[one]), reconstruction[one], True)
        # Threads part a batch elsewhere than a picture, which moves the last bits.
        close = {"rtol": 0, "atol": 1e-6}
        torch.testing.assert_close(alone.values, together.values[one], **close)
        if together.maps is not None:
            torch.testing.assert_close(alone.maps, together.maps[one], **close)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_maps_are_given_only_where_asked_and_values_do_not_change(name, random_pair):
    metric = open_metric(name)
    reference, reconstruction = random_pair(1, 163, 166)
    prepared = metric.prepare(reference)
    with_maps = metric.compare(prepared, reconstruction, True)
    without = metric.compare(prepared, reconstruction, False)
    assert without.maps is None
    assert torch.equal(with_maps.values, without.values)
    assert (with_maps.maps is None) == (name == "ms-ssim")
    if with_maps.maps is not None:
        assert with_maps.maps.shape == (1, 163, 166)


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_one_preparation_serves_every_codec(name, random_pair):
    metric = open_metric(name)
    reference, reconstruction = random_pair(1, 163, 166)
    untouched = reference.clone()
    prepared = metric.prepare(reference)
    first = metric.compare(prepared, reconstruction, True).values
    metric.compare(prepared, reference, False)
    assert torch.equal(metric.compare(prepared, reconstruction, True).values, first)
    assert torch.equal(reference, untouched)


def test_importing_the_room_imports_no_metric_package():
    heavy = "lpips", "torchvision", "flip_evaluator", "torchmetrics", "pyiqa", "skimage"
    program = f"import sys, vaebench.metrics; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["fid", "rfid", "FID", "KID", "inception-score"])
def test_a_metric_of_sets_is_one_sentence(name):
    for ask in (describe_metric, open_metric):
        with pytest.raises(MetricError, match=f"'{name}' compares the distributions of two sets"):
            ask(name)
