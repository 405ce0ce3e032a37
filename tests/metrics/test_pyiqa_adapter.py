"""Metrics of pyiqa through their adapter, with a stand-in for that heavy package."""

from __future__ import annotations

import importlib.metadata
import sys
import types

import pytest
import torch
from vaebench.metrics import MetricError, MetricUnavailable, describe_metric, open_metric


@pytest.fixture
def pyiqa(monkeypatch):
    """A module with the three things of pyiqa 0.1.16 that the adapter touches."""
    configs = {
        "mean_error": {"metric_mode": "FR", "lower_better": True},
        "gain": {"metric_mode": "FR"},
        "no-weights": {"metric_mode": "FR"},
        "niqe": {"metric_mode": "NR", "lower_better": True},
        "fid": {"metric_mode": "NR", "lower_better": True},
        "ssim": {"metric_opts": {"type": "SSIM", "test_y_channel": True}, "metric_mode": "FR"},
        "ssimc": {"metric_opts": {"type": "SSIM", "test_y_channel": False}, "metric_mode": "FR"},
        "psnr": {"metric_opts": {"type": "PSNR", "test_y_channel": False}, "metric_mode": "FR"},
        "psnry": {"metric_opts": {"type": "PSNR", "test_y_channel": True}, "metric_mode": "FR"},
        "vif": {"metric_opts": {"type": "VIF"}, "metric_mode": "FR"},
    }

    def create_metric(name, device):
        built.append((name, device))
        if name == "no-weights":
            raise OSError("download failed")
        if name == "gain":
            return lambda distorted, reference: (distorted - reference).mean()
        return lambda distorted, reference: (distorted - reference).abs().mean(dim=(1, 2, 3))

    built = []
    package = types.ModuleType("pyiqa")
    package.create_metric = create_metric
    table = types.ModuleType("pyiqa.default_model_configs")
    table.DEFAULT_CONFIGS = configs
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    monkeypatch.setitem(sys.modules, "pyiqa.default_model_configs", table)
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.1.16" if name == "pyiqa" else version(name)
    )
    return built


def test_scores_distorted_against_reference(pyiqa, random_pair):
    reference, reconstruction = random_pair(3, 9, 8)
    for name, expected in (
        ("gain", (reconstruction - reference).mean(dim=(1, 2, 3))),
        ("mean_error", (reconstruction - reference).abs().mean(dim=(1, 2, 3))),
    ):
        metric = open_metric(f"pyiqa:{name}")
        result = metric.compare(metric.prepare(reference), reconstruction, True)
        assert result.maps is None
        assert torch.allclose(result.values, expected.double(), rtol=0, atol=1e-7)


def test_facts_come_from_the_package(pyiqa):
    metric = open_metric("pyiqa:Mean-Error")
    assert metric.name == "pyiqa:mean_error"
    assert metric.variant(True) == "pyiqa:mean_error/pyiqa-0.1.16-rgb8"
    assert not metric.higher_is_better
    assert open_metric("pyiqa:gain").higher_is_better
    info = describe_metric("pyiqa:mean-error")
    assert (info.name, info.unit, info.higher_is_better) == ("pyiqa:mean_error", "", False)
    assert info == describe_metric("pyiqa:mean_error")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("ssim", "luma"),
        ("ssimc", "rgb"),
        ("psnr", "cap80-rgb"),
        ("psnry", "cap80-luma"),
        ("vif", "luma"),
    ],
)
def test_the_fingerprint_tells_luma_from_rgb_and_a_cap(pyiqa, name, stem):
    info = describe_metric(f"pyiqa:{name}")
    assert info.rounded == f"pyiqa:{name}/pyiqa-0.1.16-{stem}8"
    assert info.unrounded == f"pyiqa:{name}/pyiqa-0.1.16-{stem}-float"


def test_the_real_configs_tell_of_luma():
    pytest.importorskip("pyiqa")
    luma = ("ssim", "psnry", "ms_ssim", "gmsd", "nlpd", "cw_ssim", "vif")
    for name in luma:
        assert describe_metric(f"pyiqa:{name}").rounded.endswith("-luma8"), name
    for name in ("ssimc", "psnr", "fsim", "lpips"):
        assert describe_metric(f"pyiqa:{name}").rounded.endswith("-rgb8"), name


def test_sets_and_single_pictures_are_not_offered(pyiqa):
    with pytest.raises(MetricError, match="two sets of pictures"):
        open_metric("pyiqa:fid")
    with pytest.raises(MetricError) as caught:
        open_metric("pyiqa:zzz")
    offered = str(caught.value).partition("Valid after pyiqa: ")[2]
    assert "ssimc" in offered and "niqe" not in offered and "fid" not in offered


def test_the_package_builds_where_its_pictures_go(pyiqa):
    metric = open_metric("pyiqa:Gain", device="meta")
    assert pyiqa == [("gain", "meta")]
    assert metric.prepare(torch.zeros(1, 3, 4, 4)).is_meta


def test_a_metric_without_reference_is_unavailable(pyiqa):
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("pyiqa:NIQE")
    assert str(caught.value) == (
        "pyiqa:niqe takes no reference. Choose one of pyiqa.list_models('FR')."
    )


def test_weights_that_cannot_be_had_give_the_reason(pyiqa):
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("pyiqa:no-weights")
    assert str(caught.value) == "pyiqa:no-weights cannot be built: download failed."


def test_an_unknown_name_is_answered_with_the_nearest(pyiqa):
    with pytest.raises(MetricError, match="mean pyiqa:gain") as caught:
        open_metric("pyiqa:gains")
    assert not isinstance(caught.value, MetricUnavailable)


def test_without_pyiqa_the_metric_is_listed_with_the_mend(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    monkeypatch.setitem(sys.modules, "pyiqa.default_model_configs", None)
    info = describe_metric("pyiqa:topiq_fr")
    assert (info.name, info.variant(True)) == ("pyiqa:topiq_fr", "pyiqa:topiq_fr/rgb8")
    assert (info.unit, info.higher_is_better) == ("", None)
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("pyiqa:topiq_fr")
    assert str(caught.value).startswith("pyiqa:topiq_fr needs pyiqa: import of pyiqa")
    assert str(caught.value).endswith(" Run pip install 'vaebench[pyiqa]'.")
