"""What the adapters share: the package's reason, loose names, where pictures go and as what."""

from __future__ import annotations

import importlib.metadata

import pytest
import torch
from vaebench.metrics import MetricError, MetricUnavailable, ShapeMismatch
from vaebench.metrics.adapted import AdaptedMetric, fingerprint_stem, loosely_named, reason
from vaebench.metrics.info import colour_info

INFO = colour_info("other:odd", "", True, "rgb")
VALID = ["PeakSignalNoiseRatio", "mean_error", "no-weights"]


def adapted(score, device="cpu"):
    return AdaptedMetric(INFO, score, device)


def test_each_pair_is_scored_alone_in_float32_without_gradients():
    seen = []

    def score(reference, reconstruction):
        seen.append((reference.shape, reference.dtype, reconstruction.dtype))
        assert not torch.is_grad_enabled()
        return (reconstruction - reference).mean()

    reference = torch.zeros(3, 3, 4, 5, dtype=torch.float64)
    levels = torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
    reconstruction = levels[:, None, None, None].expand(3, 3, 4, 5)
    metric = adapted(score)
    result = metric.compare(metric.prepare(reference), reconstruction, True)
    assert result.values.tolist() == [0.25, 0.5, 1.0]
    assert result.values.dtype == torch.float64 and result.maps is None
    assert seen == [((1, 3, 4, 5), torch.float32, torch.float32)] * 3


@pytest.mark.parametrize("number", [0.5, 1, torch.tensor([[0.25]])])
def test_a_number_is_taken_as_it_comes(number):
    metric = adapted(lambda x, y: number)
    pictures = torch.zeros(1, 3, 2, 2)
    values = metric.compare(metric.prepare(pictures), pictures, False).values
    assert values.tolist() == [float(number)]


@pytest.mark.parametrize(("odd", "kind"), [("0.5", "str"), (torch.zeros(2), "Tensor")])
def test_what_is_no_number_is_named_by_its_type(odd, kind):
    metric = adapted(lambda x, y: odd)
    pictures = torch.zeros(1, 3, 2, 2)
    with pytest.raises(MetricUnavailable) as caught:
        metric.compare(metric.prepare(pictures), pictures, False)
    assert str(caught.value) == (
        f"other:odd returned no single number for one pair of pictures: got {kind}."
    )


def test_a_refusal_gives_the_packages_reason():
    def score(reference, reconstruction):
        raise RuntimeError("kernel\n larger than picture")

    metric = adapted(score)
    pictures = torch.zeros(1, 3, 2, 2)
    with pytest.raises(MetricUnavailable) as caught:
        metric.compare(metric.prepare(pictures), pictures, False)
    assert str(caught.value) == "other:odd refused the pictures: kernel larger than picture."
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_pictures_go_to_the_device_of_the_package_and_values_come_back():
    metric = adapted(lambda x, y: 0.5 if x.is_meta and y.is_meta else 1.0, device="meta")
    pictures = torch.zeros(2, 3, 2, 2)
    prepared = metric.prepare(pictures)
    assert prepared.is_meta
    values = metric.compare(prepared, pictures, False).values
    assert values.device == pictures.device
    assert values.tolist() == [0.5, 0.5]
    assert metric.compare(prepared, pictures.to("meta"), False).values.is_meta


def test_shapes_are_checked_on_both_sides():
    metric = adapted(lambda x, y: 0.0)
    with pytest.raises(ShapeMismatch, match=r"got \[3, 2, 2\]"):
        metric.prepare(torch.zeros(3, 2, 2))
    with pytest.raises(ShapeMismatch, match=r"\[1, 3, 2, 3\], its reference \[1, 3, 2, 2\]"):
        metric.compare(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 3), False)


@pytest.mark.parametrize(
    ("error", "tail"),
    [
        (ValueError("no such file"), "no such file."),
        (ValueError("It ends.\n"), "It ends."),
        (ValueError("two\n\tlines  of it"), "two lines of it."),
        (KeyError(), "KeyError."),
    ],
)
def test_a_reason_is_the_tail_of_one_sentence(error, tail):
    assert reason(error) == tail


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mean_error", "mean_error"),
        ("Mean-Error", "mean_error"),
        ("meanerror", "mean_error"),
        ("NO_WEIGHTS", "no-weights"),
        ("peak_signal-noise_ratio", "PeakSignalNoiseRatio"),
    ],
)
def test_names_differ_by_case_hyphens_and_underscores_alone(name, found):
    assert loosely_named(name, VALID, "other") == found


def test_a_name_that_is_exact_wins_over_one_that_is_like_it():
    for name in ("a_b", "A-B"):
        assert loosely_named(name, ["a_b", "A-B"], "other") == name


def test_an_unknown_name_is_answered_in_one_sentence():
    with pytest.raises(MetricError) as caught:
        loosely_named("mean-eror", VALID, "other")
    valid = "Valid after other: PeakSignalNoiseRatio, mean_error, no-weights."
    assert str(caught.value) == (
        f"Unknown metric 'other:mean-eror'. Did you mean other:mean_error? {valid}"
    )
    with pytest.raises(MetricError) as caught:
        loosely_named("zzz", VALID, "other")
    assert str(caught.value) == f"Unknown metric 'other:zzz'. {valid}"


def test_the_fingerprint_names_the_version():
    assert fingerprint_stem("pytest") == f"pytest-{importlib.metadata.version('pytest')}-rgb"
