"""Metrics of torchmetrics 1.9 through their adapter."""

from __future__ import annotations

import importlib.metadata
import sys
import types

import pytest
import torch
from torchmetrics.functional import image as functional
from vaebench.metrics import MetricError, MetricUnavailable, describe_metric, open_metric
from vaebench.metrics import torchmetrics_adapter as adapter

VERSION = importlib.metadata.version("torchmetrics")


@pytest.fixture(scope="module")
def jpeg_q50(shared, read_pixels):
    """A crop of kodim23 and its JPEG of quality 50, 192 × 192 px."""
    folder = shared / "cases" / "vif"
    return read_pixels(folder / "reference.png"), read_pixels(folder / "jpeg_q50.png")


def score(name, reference, reconstruction):
    metric = open_metric(f"torchmetrics:{name}")
    return metric.compare(metric.prepare(reference), reconstruction, True)


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
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
    "name", ["SpectralAngleMapper", "spectral_angle_mapper", "spectral-angleMapper"]
)
def test_names_are_matched_loosely_and_told_in_full(name):
    metric = open_metric(f"torchmetrics:{name}")
    assert metric.name == "torchmetrics:SpectralAngleMapper"
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


def test_what_takes_no_pair_says_what_it_takes():
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("torchmetrics:total-variation")
    assert str(caught.value) == (
        "torchmetrics:TotalVariation is no two-image metric: it takes img. "
        "Choose one that takes a reconstruction and a reference."
    )


@pytest.fixture
def package(monkeypatch):
    """Classes in the place of torchmetrics.image: the arguments they were built with are kept."""

    class Odd:
        higher_is_better = False
        built = None
        device = None

        def to(self, device):
            Odd.device = device
            return self

        def reset(self):
            self.calls = ["reset"]

        def update(self, img1, img2):
            self.calls.append((float(img1.mean()), float(img2.mean())))

        def compute(self):
            assert self.calls[0] == "reset" and len(self.calls) == 2
            reconstruction, reference = self.calls[1]
            if reconstruction == reference:
                return 0.0
            return abs(reconstruction - 10 * reference) / reference

    class Ranged(Odd):
        def __init__(self, data_range=None, normalize=False):
            Odd.built = {"data_range": data_range, "normalize": normalize}

    class Word(Odd):
        def __init__(self, normalize="relu"):
            Odd.built = {"normalize": normalize}

    class Unranged(Odd):
        def compute(self):
            return abs(self.calls[1][0] - self.calls[1][1])

    class Turned(Ranged):
        higher_is_better = True

    class Wandering(Ranged):
        def compute(self):
            return super().compute() + self.calls[1][1]

    class Three(Odd):
        def update(self, preds, target, mask):
            pass

    class Failing(Odd):
        def __init__(self):
            raise OSError("no network")

    module = types.ModuleType("torchmetrics.image")
    kinds = (Ranged, Word, Unranged, Turned, Wandering, Three, Failing)
    kinds = {kind.__name__: kind for kind in kinds}
    module.__all__ = list(kinds)
    vars(module).update(kinds)
    monkeypatch.setitem(sys.modules, "torchmetrics.image", module)
    # `import torchmetrics.image as image` takes the attribute of the package.
    monkeypatch.setattr("torchmetrics.image", module)
    return Odd


def test_a_constructor_is_told_that_pictures_end_at_one(package):
    open_metric("torchmetrics:ranged")
    assert package.built == {"data_range": 1.0, "normalize": True}
    open_metric("torchmetrics:word")
    assert package.built == {"normalize": "relu"}


def test_pairs_named_img1_and_img2_are_reconstruction_and_reference(package):
    metric = open_metric("torchmetrics:ranged")
    reference = torch.stack([torch.full((3, 2, 2), x) for x in (0.5, 0.25)])
    result = metric.compare(metric.prepare(reference), torch.ones(2, 3, 2, 2), False)
    assert result.values.tolist() == [4.0 / 0.5, 1.5 / 0.25]
    assert package.device == "cpu"
    assert open_metric("torchmetrics:ranged", device="meta").prepare(reference).is_meta
    assert package.device == "meta"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("unranged", "depends on the range of pixel values"),
        ("turned", "is better where it is higher, as it says, but gives a scaled picture"),
        ("wandering", "for a half-black picture and itself"),
    ],
)
def test_numbers_that_cannot_be_right_are_refused(package, name, fault):
    with pytest.raises(MetricUnavailable, match=fault):
        open_metric(f"torchmetrics:{name}")


def test_what_takes_more_than_a_pair_says_so(package):
    with pytest.raises(MetricUnavailable, match=r"it takes preds, target, mask\. Choose"):
        open_metric("torchmetrics:three")


def test_what_cannot_be_built_gives_the_reason(package):
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("torchmetrics:failing")
    assert str(caught.value) == "torchmetrics:Failing cannot be built: no network."


def test_a_description_has_what_the_class_says(package):
    info = describe_metric("torchmetrics:ranged")
    assert (info.name, info.unit, info.higher_is_better) == ("torchmetrics:Ranged", "", False)
    assert info.rounded == f"torchmetrics:Ranged/torchmetrics-{VERSION}-rgb8"


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
    assert (info.name, info.unit) == ("torchmetrics:Anything", "")
    assert info.higher_is_better is None
    assert info.rounded == "torchmetrics:Anything/rgb8"
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("torchmetrics:Anything")
    assert str(caught.value).startswith("torchmetrics:Anything needs torchmetrics: import of")
    assert str(caught.value).endswith(" Run pip install torchmetrics.")


def test_a_score_that_is_no_single_number_is_unavailable(random_pair):
    from vaebench.metrics.adapted import AdaptedMetric
    from vaebench.metrics.info import colour_info

    info = colour_info("odd", "", True, "rgb")
    metric = AdaptedMetric(info, lambda x, y: torch.zeros(2), "cpu")
    reference, reconstruction = random_pair(1, 8, 8)
    with pytest.raises(MetricUnavailable, match="no single number"):
        metric.compare(metric.prepare(reference), reconstruction, False)


RIGHT = {
    # Of two other implementations: 0.5768.
    "VisualInformationFidelity": (functional.visual_information_fidelity, 255, {}),
    "PeakSignalNoiseRatio": (functional.peak_signal_noise_ratio, 255, {"data_range": 255.0}),
    "StructuralSimilarityIndexMeasure": (
        functional.structural_similarity_index_measure,
        255,
        {"data_range": 255.0},
    ),
    "MultiScaleStructuralSimilarityIndexMeasure": (
        functional.multiscale_structural_similarity_index_measure,
        255,
        {"data_range": 255.0},
    ),
    "ErrorRelativeGlobalDimensionlessSynthesis": (
        functional.error_relative_global_dimensionless_synthesis,
        255,
        {},
    ),
    "SpectralAngleMapper": (functional.spectral_angle_mapper, 255, {}),
    # In the unit of the pixels.
    "RootMeanSquaredErrorUsingSlidingWindow": (
        functional.root_mean_squared_error_using_sliding_window,
        1,
        {},
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_each_is_given_the_range_that_it_is_meant_for(name, jpeg_q50):
    reference, reconstruction = jpeg_q50
    function, scale, arguments = RIGHT[name]
    expected = float(function(reconstruction * scale, reference * scale, **arguments))
    assert score(name, reference, reconstruction).values.item() == pytest.approx(expected, rel=1e-4)


def test_every_class_that_takes_a_pair_was_tried():
    import torchmetrics.image as image

    pairs = {name for name in image.__all__ if not adapter._no_pair(getattr(image, name))}
    assert pairs <= set(adapter.TAKES), "of a new torchmetrics: add it to TAKES"


def test_visual_information_fidelity_is_that_of_8_bit_levels(jpeg_q50):
    value = score("VisualInformationFidelity", *jpeg_q50).values.item()
    assert value == pytest.approx(0.5768, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("UniversalImageQualityIndex", "half-black picture and itself.*torchmetrics#2221"),
        ("SpatialCorrelationCoefficient", "half-black picture and itself"),
        ("RelativeAverageSpectralError", "gives 1280 .* is 20"),
        ("SpectralDistortionIndex", "better where it is higher"),
        ("QualityWithNoReference", "no two-image metric"),
        ("SpatialDistortionIndex", "no two-image metric"),
    ],
)
def test_what_gives_wrong_numbers_is_refused(name, fault):
    with pytest.raises(MetricUnavailable, match=fault):
        open_metric(f"torchmetrics:{name}")


def test_pictures_of_any_sizes_may_follow_one_another(random_pair):
    metric = open_metric("torchmetrics:RootMeanSquaredErrorUsingSlidingWindow")
    for side in (32, 48):
        reference, reconstruction = random_pair(1, side, side)
        expected = functional.root_mean_squared_error_using_sliding_window(
            reconstruction, reference
        )
        found = metric.compare(metric.prepare(reference), reconstruction, False).values
        assert found.item() == pytest.approx(float(expected), rel=1e-6)


def test_nan_is_unavailable_with_its_reason():
    black = torch.zeros(1, 3, 32, 32)
    with pytest.raises(MetricUnavailable, match=r"SpectralAngleMapper is not a number \(NaN\)"):
        score("SpectralAngleMapper", black, black)


def test_no_warning_of_one_metric_while_another_is_asked_for(recwarn):
    open_metric("torchmetrics:ErrorRelativeGlobalDimensionlessSynthesis")
    assert not recwarn.list


@pytest.mark.parametrize("name", ["FrechetInceptionDistance", "kid", "Inception-Score"])
def test_a_metric_of_sets_is_one_sentence(name):
    for ask in (describe_metric, open_metric):
        with pytest.raises(MetricError, match="two sets of pictures") as caught:
            ask(f"torchmetrics:{name}")
        assert not isinstance(caught.value, MetricUnavailable)


def test_what_is_none_of_a_pair_is_not_offered():
    with pytest.raises(MetricError) as caught:
        describe_metric("torchmetrics:nonsense")
    offered = str(caught.value).partition("Valid after torchmetrics: ")[2]
    assert "PeakSignalNoiseRatio" in offered
    for name in ("TotalVariation", "PerceptualPathLength", "QualityWithNoReference", "Frechet"):
        assert name not in offered
