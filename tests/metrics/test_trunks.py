"""The networks under LPIPS, layer by layer against torchvision's with the same random weights."""

from __future__ import annotations

import pytest
import torch
import torchvision.models as models
from vaebench.metrics.trunk_weights import PUBLISHER
from vaebench.metrics.trunks import ALEX, SQUEEZE, VGG, Conv, Fire, Pool, Tap, Trunk

THEIRS = {
    "alex": (models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1, (1, 4, 7, 9, 11)),
    "squeeze": (
        models.squeezenet1_1,
        models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
        (1, 4, 7, 9, 10, 11, 12),
    ),
    "vgg": (models.vgg16, models.VGG16_Weights.IMAGENET1K_V1, (3, 8, 15, 22, 29)),
}
"""Torchvision's network, its weights' address, and the layers that LPIPS reads."""

TRUNKS = pytest.mark.parametrize("trunk", [ALEX, SQUEEZE, VGG], ids=lambda trunk: trunk.name)


def random_weights(trunk: Trunk) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randn(shape, generator=generator) * (2 / max(1, shape[-1])) ** 0.5 / 20
        for key, shape in trunk.shapes().items()
    }


@TRUNKS
def test_tensors_are_those_of_torchvision(trunk):
    with torch.device("meta"):
        theirs = THEIRS[trunk.name][0](weights=None).features
    expected = {f"features.{key}": tuple(x.shape) for key, x in theirs.state_dict().items()}
    assert trunk.shapes() == expected
    assert (
        trunk.file
        == {
            "alex": "alexnet_features.safetensors",
            "squeeze": "squeezenet1_1_features.safetensors",
            "vgg": "vgg16_features.safetensors",
        }[trunk.name]
    )


@TRUNKS
def test_the_checkpoint_is_where_torchvision_has_it(trunk):
    assert f"{PUBLISHER}/{trunk.checkpoint}" == THEIRS[trunk.name][1].url


@TRUNKS
@pytest.mark.parametrize("side", [(47, 34), (64, 35)])
def test_features_are_those_of_torchvision(trunk, side):
    weights = random_weights(trunk)
    with torch.device("meta"):
        theirs = THEIRS[trunk.name][0](weights=None).features
    theirs.load_state_dict(
        {key.removeprefix("features."): value for key, value in weights.items()}, assign=True
    )
    pixels = torch.rand(2, 3, *side, generator=torch.Generator().manual_seed(1)) * 4 - 2
    read = THEIRS[trunk.name][2]
    expected, through = [], pixels.clone()
    with torch.no_grad():
        for index, layer in enumerate(theirs[: read[-1] + 1]):
            through = layer(through)
            if index in read:
                # A ReLU in place comes after some layers that are read.
                expected.append(through.clone())
        found = trunk.features(weights, pixels.clone())
    assert tuple(x.shape[1] for x in found) == trunk.widths
    assert len(found) == len(expected) == len(trunk.widths)
    for ours, other in zip(found, expected, strict=True):
        assert float(other.abs().max()) > 0
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-6 * float(other.abs().max()))


@TRUNKS
def test_smallest_side_is_the_smallest_that_every_layer_takes(trunk):
    weights = random_weights(trunk)
    side = trunk.smallest_px
    for size in ((side, side + 9), (side + 9, side)):
        assert all(x.numel() for x in trunk.features(weights, torch.rand(1, 3, *size)))
    with pytest.raises(RuntimeError):
        trunk.features(weights, torch.rand(1, 3, side - 1, side + 9))


def test_layers_by_hand():
    """Two 1×1 convolutions with ReLU, a pool and a fire module of one channel each."""
    trunk = Trunk(
        name="toy",
        layers=(
            Conv(0, (1, 1), kernel_px=1),
            Tap(),
            Pool(2),
            Tap(),
            Fire(3, channels=1, squeeze=1, expand=1),
            Tap(),
        ),
        widths=(1, 1, 2),
        smallest_px=2,
        file="toy.safetensors",
        checkpoint="toy-0.pth",
    )
    one = torch.ones(1, 1, 1, 1)
    weights = {
        "features.0.weight": 2 * one,
        "features.0.bias": torch.tensor([-3.0]),
        "features.3.squeeze.weight": one,
        "features.3.squeeze.bias": torch.tensor([1.0]),
        "features.3.expand1x1.weight": 3 * one,
        "features.3.expand1x1.bias": torch.tensor([0.0]),
        "features.3.expand3x3.weight": torch.arange(9.0).view(1, 1, 3, 3),
        "features.3.expand3x3.bias": torch.tensor([0.5]),
    }
    assert trunk.shapes() == {key: tuple(value.shape) for key, value in weights.items()}
    first, second, third = trunk.features(weights, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert first.tolist() == [[[[0.0, 1.0], [3.0, 5.0]]]]
    assert second.tolist() == [[[[5.0]]]]
    # Squeezed to 6; 1×1: 18; of the 3×3 only the middle tap, 4, meets the one pixel: 24.5.
    assert third.flatten().tolist() == [18.0, 24.5]
