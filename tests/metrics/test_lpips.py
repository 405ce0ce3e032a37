"""LPIPS: known answers to 1e-4, and the lpips package 0.1.4 with the same weights to 1e-6."""

from __future__ import annotations

import types
from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from vaebench.metrics import MetricInfo, MetricUnavailable, ShapeMismatch, open_metric
from vaebench.metrics.lpips import lpips_info
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


@pytest.fixture
def random_trunk(tmp_path) -> Path:
    """A weights folder with a random SqueezeNet: what needs no trained one needs no download."""
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(shape, generator=generator) / (shape[-1] * 12)
        for key, shape in SQUEEZE.shapes().items()
    }
    save_file(state, tmp_path / SQUEEZE.file)
    return tmp_path


def test_values_are_float64_and_maps_float32_whatever_comes_in(random_trunk, random_pair):
    metric = open_metric("lpips-squeeze", random_trunk)
    reference, reconstruction = random_pair(2, 33, 40)
    expected = metric.compare(metric.prepare(reference), reconstruction, True)
    assert (expected.values.dtype, expected.maps.dtype) == (torch.float64, torch.float32)
    found = metric.compare(metric.prepare(reference.double()), reconstruction.double(), True)
    assert torch.equal(found.values, expected.values) and torch.equal(found.maps, expected.maps)
    # Each layer's mean is taken in float64: their sum has more digits than float32 holds.
    assert not torch.equal(expected.values.float().double(), expected.values)


def test_values_and_maps_equal_the_package_with_a_random_trunk(random_trunk, random_pair):
    reference, reconstruction = random_pair(2, 33, 40)
    metric = open_metric("lpips-squeeze", random_trunk)
    result = metric.compare(metric.prepare(reference), reconstruction, True)
    weights = load_file(random_trunk / SQUEEZE.file)
    for spatial, ours in ((False, result.values), (True, result.maps)):
        model = package_lpips(SQUEEZE, weights, spatial)
        with torch.no_grad():
            expected = model(reference, reconstruction, normalize=True).double()
        assert torch.allclose(ours.double(), expected.view_as(ours), rtol=0, atol=1e-6)


def test_pictures_of_a_batch_together_score_as_each_alone(random_trunk, random_pair, monkeypatch):
    """What a GPU does: all pictures of a batch at once."""
    metric = open_metric("lpips-squeeze", random_trunk)
    reference, reconstruction = random_pair(3, 33, 40)
    alone = metric.compare(metric.prepare(reference), reconstruction, True)
    monkeypatch.setattr("vaebench.metrics.lpips.groups", lambda x: iter([slice(0, len(x))]))
    together = metric.compare(metric.prepare(reference), reconstruction, True)
    assert torch.allclose(together.values, alone.values, rtol=0, atol=1e-7)
    assert torch.allclose(together.maps, alone.maps, rtol=0, atol=1e-6)


def test_a_batch_of_no_pictures_has_no_values(random_trunk):
    metric = open_metric("lpips-squeeze", random_trunk)
    nothing = torch.zeros(0, 3, 40, 40)
    result = metric.compare(metric.prepare(nothing), nothing, True)
    assert result.values.shape == (0,) and result.maps.shape == (0, 40, 40)


def test_what_is_no_batch_is_refused_on_either_side(random_trunk):
    metric = open_metric("lpips-squeeze", random_trunk)
    with pytest.raises(ShapeMismatch, match=r"got \[3, 40, 40\]"):
        metric.prepare(torch.zeros(3, 40, 40))
    prepared = metric.prepare(torch.zeros(1, 3, 40, 40))
    with pytest.raises(ShapeMismatch, match=r"\[1, 3, 41, 40\], its reference \[1, 3, 40, 40\]"):
        metric.compare(prepared, torch.zeros(1, 3, 41, 40), False)
    with pytest.raises(MetricUnavailable) as caught:
        metric.prepare(torch.zeros(1, 3, 40, 16))
    assert str(caught.value) == (
        "LPIPS (squeeze) needs pictures of at least 17×17 px: got 16×40 px."
    )


def test_facts(random_trunk):
    metric = open_metric("lpips-squeeze", random_trunk)
    assert (metric.name, metric.unit, metric.higher_is_better) == ("lpips", "", False)
    assert metric.variant(True) == "lpips/squeeze-0.1"
    assert metric.variant(False) == "lpips/squeeze-0.1-float"
    assert lpips_info(VGG) == MetricInfo(
        "lpips", "", False, rounded="lpips/vgg-0.1", unrounded="lpips/vgg-0.1-float"
    )
    assert metric.pool(0.25) == 0.25


@pytest.mark.parametrize("spec", [None, types.SimpleNamespace(submodule_search_locations=None)])
def test_without_the_package_the_sentence_has_the_mend(spec, random_trunk, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("lpips-squeeze", random_trunk)
    assert str(caught.value) == (
        "LPIPS (squeeze) reads its linear layers from the lpips package, which is not installed. "
        "Run pip install lpips."
    )


@pytest.fixture
def linear_layers(tmp_path, monkeypatch) -> Path:
    """The file of linear layers in a stand-in for the lpips package."""
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path / "lpips-package")])
    monkeypatch.setattr("importlib.util.find_spec", {"lpips": spec}.__getitem__)
    path = tmp_path / "lpips-package" / "weights" / "v0.1" / "squeeze.pth"
    path.parent.mkdir(parents=True)
    return path


def layers_of(widths) -> dict[str, torch.Tensor]:
    return {f"lin{i}.model.1.weight": torch.ones(1, n, 1, 1) for i, n in enumerate(widths)}


def test_linear_layers_are_read_as_float32(linear_layers, random_trunk, random_pair):
    reference, reconstruction = random_pair(1, 20, 24)
    layers = layers_of(SQUEEZE.widths)
    values = []
    for factor in (1.0, 0.5):
        torch.save({k: (factor * v).half() for k, v in layers.items()}, linear_layers)
        metric = open_metric("lpips-squeeze", random_trunk)
        values.append(metric.compare(metric.prepare(reference), reconstruction, False).values)
    assert float(values[0]) > 0 and torch.equal(values[1], values[0] / 2)


class Opened:
    """Would create a file where a pickle that holds it were trusted."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("spoil", ["absent", "empty", "text", "damaged", "code", "without-a-layer"])
def test_linear_layers_that_cannot_be_read_are_named(spoil, linear_layers, random_trunk):
    contents = {"empty": b"", "text": b"no tensors at all", "damaged": b"PK\x03\x04 no archive"}
    opened = random_trunk / "opened"
    if spoil in contents:
        linear_layers.write_bytes(contents[spoil])
    elif spoil == "code":
        torch.save(layers_of(SQUEEZE.widths) | {"x": Opened(opened)}, linear_layers)
    elif spoil == "without-a-layer":
        torch.save(layers_of(SQUEEZE.widths[:-1]), linear_layers)
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("lpips-squeeze", random_trunk)
    message = str(caught.value)
    begin = f"LPIPS (squeeze) cannot read its linear layers at {linear_layers}: "
    assert message.startswith(begin)
    assert message.endswith(". Reinstall the lpips package.")
    assert not opened.exists()
    if spoil == "without-a-layer":
        assert "'lin6.model.1.weight'" in message


def test_linear_layers_of_other_shapes_are_refused(linear_layers, random_trunk):
    torch.save(layers_of((64, 128, 256, 384, 384, 512, 511)), linear_layers)
    with pytest.raises(MetricUnavailable) as caught:
        open_metric("lpips-squeeze", random_trunk)
    found, expected = (
        str([(1, n, 1, 1) for n in (64, 128, 256, 384, 384, 512, last)]) for last in (511, 512)
    )
    assert str(caught.value) == (
        f"LPIPS (squeeze) found linear layers of shapes {found} at {linear_layers}, expected "
        f"{expected}. Reinstall the lpips package."
    )


def test_the_network_runs_where_it_is_told(random_trunk):
    metric = open_metric("lpips-squeeze", random_trunk, device="meta")
    shape, features = metric.prepare(torch.zeros(1, 3, 40, 40))
    assert shape == (1, 3, 40, 40)
    assert all(layer.is_meta for layer in features[0])
    elsewhere = torch.zeros(1, 3, 40, 40, device="meta")
    result = metric.compare((shape, features), elsewhere, True)
    assert result.values.is_meta and result.maps.is_meta
    assert result.values.dtype == torch.float64 and result.maps.dtype == torch.float32


def test_tf32_is_off_while_features_are_made(random_trunk, monkeypatch):
    switches = torch.backends.cudnn
    monkeypatch.setattr(switches, "allow_tf32", True)
    monkeypatch.setattr(switches, "deterministic", False)
    during = []

    def features(self, weights, pixels):
        during.append((switches.enabled, switches.deterministic, switches.allow_tf32))
        return []

    monkeypatch.setattr(Trunk, "features", features)
    open_metric("lpips-squeeze", random_trunk).prepare(torch.zeros(1, 3, 40, 40))
    assert during == [(True, True, False)]
    assert switches.allow_tf32 and not switches.deterministic
