"""LPIPS: known answers to 1e-4, and the lpips package 0.1.4 with the same weights to 1e-6."""

from __future__ import annotations

import types
from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from vaebench.metrics import MetricUnavailable, ShapeMismatch, open_metric
from vaebench.metrics.trunks import ALEX, SQUEEZE, VGG, Trunk

NAMES = ["alex", "squeeze"]


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    return shared / "weights"


def package_lpips(trunk: Trunk, weights: dict[str, torch.Tensor], spatial: bool):
    """Return the lpips package's own network with the given trunk weights."""
    model = lpips.LPIPS(net=trunk.name, pnet_rand=True, spatial=spatial, verbose=False)
    keys = {key: "features." + key.split(".", 1)[1] for key in model.net.state_dict()}
    assert set(keys.values()) == set(weights)
    model.net.load_state_dict({key: weights[name] for key, name in keys.items()})
    return model.eval()


def assert_equals_package(trunk, folder, reference, reconstruction, abs_error=1e-6):
    path = folder / "lpips" / trunk.file
    metric = open_metric(f"lpips-{trunk.name}", folder)
    result = metric.compare(metric.prepare(reference), reconstruction, True)
    for spatial in (False, True):
        model = package_lpips(trunk, load_file(path), spatial)
        with torch.no_grad():
            expected = model(reference, reconstruction, normalize=True).double()
        ours = result.maps if spatial else result.values
        assert torch.allclose(ours.double(), expected.view_as(ours), rtol=0, atol=abs_error)


@pytest.mark.parametrize(
    ("reference", "distorted", "expected"),
    [
        ("ex_ref.png", "ex_p0.png", 0.7219),
        ("ex_ref.png", "ex_p1.png", 0.1376),
        ("ref-I03.bmp", "dist-I03.bmp", 0.7237),
        ("ref-I04.bmp", "dist-I04.bmp", 0.2572),
    ],
)
def test_known_answers(reference, distorted, expected, weights, read_pixels):
    check = weights / "lpips" / "check"
    metric = open_metric("lpips-alex", weights)
    prepared = metric.prepare(read_pixels(check / reference))
    result = metric.compare(prepared, read_pixels(check / distorted), False)
    assert result.maps is None
    assert float(result.values) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("trunk", [ALEX, SQUEEZE], ids=NAMES)
def test_equals_the_package_on_a_kodak_picture(trunk, weights, jpeg_pair):
    assert_equals_package(trunk, weights, *jpeg_pair(23, (80, 60, 80 + 301, 60 + 222)))


@pytest.mark.parametrize("trunk", [ALEX, SQUEEZE], ids=NAMES)
def test_equals_the_package_on_random_pictures(trunk, weights, random_pair):
    assert_equals_package(trunk, weights, *random_pair(2, 64, 81))


def test_vgg_equals_the_package_with_the_same_random_trunk(tmp_path, random_pair, monkeypatch):
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    untrained = types.SimpleNamespace(features=layers)
    monkeypatch.setattr(torchvision.models, "vgg16", lambda pretrained: untrained)
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(shape, generator=generator) * (2 / max(1, len(shape) and shape[-1])) ** 0.5
        for key, shape in VGG.shapes().items()
    }
    state = {
        key: value / (value[0].numel() ** 0.5) if value.ndim == 4 else value * 0.01
        for key, value in state.items()
    }
    (tmp_path / "lpips").mkdir()
    save_file(state, tmp_path / "lpips" / VGG.file)
    assert_equals_package(VGG, tmp_path, *random_pair(1, 48, 67))


@pytest.mark.parametrize("name", ["lpips-alex", "lpips-squeeze"])
def test_identity_and_symmetry(name, weights, random_pair):
    metric = open_metric(name, weights)
    reference, reconstruction = random_pair(1, 70, 64)
    prepared = metric.prepare(reference)
    assert float(metric.compare(prepared, reference, False).values) == 0.0
    forth = float(metric.compare(prepared, reconstruction, False).values)
    back = float(metric.compare(metric.prepare(reconstruction), reference, False).values)
    assert forth > 0.001
    assert forth == pytest.approx(back, abs=1e-7)


def test_reference_features_are_computed_once(weights, random_pair, monkeypatch):
    runs = []
    features = Trunk.features

    def counted(self, tensors, pixels):
        runs.append(tuple(pixels.shape))
        return features(self, tensors, pixels)

    monkeypatch.setattr(Trunk, "features", counted)
    metric = open_metric("lpips-alex", weights)
    reference, reconstruction = random_pair(2, 40, 48)
    prepared = metric.prepare(reference)
    for _ in range(3):
        metric.compare(prepared, reconstruction, True)
    assert len(runs) == 2 + 3 * 2


@pytest.mark.parametrize(("trunk", "smallest_px"), [(ALEX, 31), (SQUEEZE, 17)], ids=NAMES)
def test_smallest_picture(trunk, smallest_px, weights, random_pair):
    metric = open_metric(f"lpips-{trunk.name}", weights)
    reference, reconstruction = random_pair(1, smallest_px, smallest_px)
    value = metric.compare(metric.prepare(reference), reconstruction, False).values
    assert torch.isfinite(value).all()
    with pytest.raises(MetricUnavailable, match=f"at least {smallest_px}×{smallest_px} px"):
        metric.prepare(reference[..., 1:])


def test_shapes_that_differ_are_refused(weights, random_pair):
    metric = open_metric("lpips", weights)
    prepared = metric.prepare(random_pair(1, 40, 40)[0])
    with pytest.raises(ShapeMismatch):
        metric.compare(prepared, random_pair(1, 40, 41)[0], False)


def test_remembers_which_file_it_used(weights):
    metric = open_metric("lpips-squeeze", weights)
    assert metric.weights_path == weights / "lpips" / SQUEEZE.file


def test_without_the_lpips_package_says_so(weights, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MetricUnavailable, match="pip install lpips"):
        open_metric("lpips-alex", weights)
