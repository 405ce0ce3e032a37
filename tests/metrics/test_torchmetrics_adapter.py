"""Metrics of torchmetrics 1.9 through their adapter."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
import torch
from torchmetrics.functional import image as functional
from vaebench.metrics import MetricError, MetricUnavailable, describe_metric, open_metric

VERSION = importlib.metadata.version("torchmetrics")


def score(name, reference, reconstruction):
    metric = open_metric(f"torchmetrics:{name}")
    return metric.compare(metric.prepare(reference), reconstruction, True)


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
        ("UniversalImageQualityIndex", functional.universal_image_quality_index, {}),
        ("PeakSignalNoiseRatio", functional.peak_signal_noise_ratio, {"data_range": 1.0}),
        (
            "StructuralSimilarityIndexMeasure",
            functional.structural_similarity_index_measure,
            {"data_range": 1.0},
        ),
        ("SpectralAngleMapper", functional.spectral_angle_mapper, {}),
    ],
)
def test_scores_each_picture_alone(name, function, arguments, random_pair):
    reference, reconstruction = random_pair(3, 48, 52)
    result = score(name, reference, reconstruction)
    expected = [
        float(function(reconstruction[i : i + 1], reference[i : i + 1], **arguments))
        for i in range(3)
    ]
    assert result.maps is None
    assert result.values.tolist() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    "name",
    ["UniversalImageQualityIndex", "universal_image_quality_index", "universal-imageQualityIndex"],
)
def test_names_are_matched_loosely_and_told_in_full(name):
    metric = open_metric(f"torchmetrics:{name}")
    assert metric.name == "torchmetrics:UniversalImageQualityIndex"
    assert metric.variant(True) == f"{metric.name}/torchmetrics-{VERSION}-rgb8"
    assert metric.variant(False) == f"{metric.name}/torchmetrics-{VERSION}-rgb-float"
    assert metric.unit == ""
    assert metric.pool(0.25) == 0.25


def test_direction_is_the_class_own():
    assert open_metric("torchmetrics:PeakSignalNoiseRatio").higher_is_better
    assert not open_metric("torchmetrics:SpectralAngleMapper").higher_is_better


@pytest.mark.parametrize("name", ["TotalVariation", "PerceptualPathLength"])
def test_what_takes_no_pair_is_unavailable(name):
    assert describe_metric(f"torchmetrics:{name}").name == f"torchmetrics:{name}"
    with pytest.raises(MetricUnavailable, match="no two-image metric"):
        open_metric(f"torchmetrics:{name}")


def test_pictures_that_it_refuses_give_its_own_reason(random_pair):
    reference, reconstruction = random_pair(1, 32, 32)
    with pytest.raises(MetricUnavailable, match="expects grayscale images"):
        score("PeakSignalNoiseRatioWithBlockedEffect", reference, reconstruction)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(MetricError, match="mean torchmetrics:PeakSignalNoiseRatio") as caught:
        describe_metric("torchmetrics:PeakSignalToNoiseRatio")
    assert not isinstance(caught.value, MetricUnavailable)


def test_without_torchmetrics_the_metric_is_still_listed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.image", None)
    info = describe_metric("torchmetrics:Anything")
    assert (info.name, info.higher_is_better) == ("torchmetrics:Anything", None)
    with pytest.raises(MetricUnavailable, match="pip install torchmetrics"):
        open_metric("torchmetrics:Anything")


def test_a_score_that_is_no_single_number_is_unavailable(random_pair):
    from vaebench.metrics.adapted import AdaptedMetric
    from vaebench.metrics.info import colour_info

    info = colour_info("odd", "", True, "rgb")
    metric = AdaptedMetric(info, lambda x, y: torch.zeros(2), "cpu")
    reference, reconstruction = random_pair(1, 8, 8)
    with pytest.raises(MetricUnavailable, match="no single number"):
        metric.compare(metric.prepare(reference), reconstruction, False)
