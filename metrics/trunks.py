"""The networks under LPIPS, layer by layer: AlexNet, SqueezeNet 1.1 and VGG16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Conv:
    """A convolution followed by ReLU, numbered as in torchvision's `features`."""

    index: int
    channels: tuple[int, int]
    kernel_px: int
    stride_px: int = 1
    padding_px: int = 0


@dataclass(frozen=True)
class Pool:
    """A max-pool of stride 2."""

    kernel_px: int
    ceil: bool = False


@dataclass(frozen=True)
class Fire:
    """SqueezeNet's module: 1×1 to `squeeze` channels, then 1×1 and 3×3 to `expand` each."""

    index: int
    channels: int
    squeeze: int
    expand: int


@dataclass(frozen=True)
class Tap:
    """Here LPIPS reads the features."""


Layer = Conv | Pool | Fire | Tap


@dataclass(frozen=True)
class Trunk:
    """A feature network of LPIPS.

    `widths` are the channels at each tap. `file` is the weights' name in a weights folder,
    `checkpoint` torchvision's in torch's hub cache (its sha256 begins as its last word does).
    """

    name: str
    layers: tuple[Layer, ...]
    widths: tuple[int, ...]
    smallest_px: int
    file: str
    checkpoint: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of every tensor the trunk needs."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in self.layers:
            if isinstance(layer, Conv):
                shapes |= _conv_shapes(f"features.{layer.index}", *layer.channels, layer.kernel_px)
            elif isinstance(layer, Fire):
                stem = f"features.{layer.index}"
                shapes |= _conv_shapes(f"{stem}.squeeze", layer.channels, layer.squeeze, 1)
                shapes |= _conv_shapes(f"{stem}.expand1x1", layer.squeeze, layer.expand, 1)
                shapes |= _conv_shapes(f"{stem}.expand3x3", layer.squeeze, layer.expand, 3)
        return shapes

    def features(self, weights: Weights, pixels: Tensor) -> list[Tensor]:
        """Return the features at each tap of pixels [N, 3, H, W]."""
        taps: list[Tensor] = []
        for layer in self.layers:
            match layer:
                case Conv():
                    pixels = _conv(weights, f"features.{layer.index}", pixels, layer)
                case Pool():
                    pixels = F.max_pool2d(pixels, layer.kernel_px, 2, ceil_mode=layer.ceil)
                case Fire():
                    pixels = _fire(weights, f"features.{layer.index}", pixels)
                case Tap():
                    taps.append(pixels)
        return taps


def _conv_shapes(stem: str, before: int, after: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{stem}.weight": (after, before, kernel, kernel), f"{stem}.bias": (after,)}


def _conv(weights: Weights, stem: str, pixels: Tensor, conv: Conv) -> Tensor:
    weight, bias = weights[f"{stem}.weight"], weights[f"{stem}.bias"]
    return F.conv2d(pixels, weight, bias, conv.stride_px, conv.padding_px).relu_()


def _fire(weights: Weights, stem: str, pixels: Tensor) -> Tensor:
    def branch(name: str, inputs: Tensor, padding_px: int) -> Tensor:
        part = f"{stem}.{name}"
        return F.conv2d(
            inputs, weights[f"{part}.weight"], weights[f"{part}.bias"], padding=padding_px
        ).relu_()

    squeezed = branch("squeeze", pixels, 0)
    return torch.cat([branch("expand1x1", squeezed, 0), branch("expand3x3", squeezed, 1)], dim=1)


_ALEX: Final[tuple[Layer, ...]] = (
    Conv(0, (3, 64), kernel_px=11, stride_px=4, padding_px=2),
    Tap(),
    Pool(3),
    Conv(3, (64, 192), kernel_px=5, padding_px=2),
    Tap(),
    Pool(3),
    Conv(6, (192, 384), kernel_px=3, padding_px=1),
    Tap(),
    Conv(8, (384, 256), kernel_px=3, padding_px=1),
    Tap(),
    Conv(10, (256, 256), kernel_px=3, padding_px=1),
    Tap(),
)

_SQUEEZE: Final[tuple[Layer, ...]] = (
    Conv(0, (3, 64), kernel_px=3, stride_px=2),
    Tap(),
    Pool(3, ceil=True),
    Fire(3, channels=64, squeeze=16, expand=64),
    Fire(4, channels=128, squeeze=16, expand=64),
    Tap(),
    Pool(3, ceil=True),
    Fire(6, channels=128, squeeze=32, expand=128),
    Fire(7, channels=256, squeeze=32, expand=128),
    Tap(),
    Pool(3, ceil=True),
    Fire(9, channels=256, squeeze=48, expand=192),
    Tap(),
    Fire(10, channels=384, squeeze=48, expand=192),
    Tap(),
    Fire(11, channels=384, squeeze=64, expand=256),
    Tap(),
    Fire(12, channels=512, squeeze=64, expand=256),
    Tap(),
)


def _vgg16() -> tuple[Layer, ...]:
    """Return the five blocks of VGG16's features; a ReLU follows each convolution, a pool each."""
    layers: list[Layer] = []
    index, before = 0, 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers.append(Conv(index, (before, width), kernel_px=3, padding_px=1))
            index, before = index + 2, width
        layers += [Tap(), Pool(2)]
        index += 1
    return tuple(layers[:-1])


ALEX: Final = Trunk(
    name="alex",
    layers=_ALEX,
    widths=(64, 192, 384, 256, 256),
    smallest_px=31,
    file="alexnet_features.safetensors",
    checkpoint="alexnet-owt-7be5be79.pth",
)
SQUEEZE: Final = Trunk(
    name="squeeze",
    layers=_SQUEEZE,
    widths=(64, 128, 256, 384, 384, 512, 512),
    smallest_px=17,
    file="squeezenet1_1_features.safetensors",
    checkpoint="squeezenet1_1-b8a52dc0.pth",
)
VGG: Final = Trunk(
    name="vgg",
    layers=_vgg16(),
    widths=(64, 128, 256, 512, 512),
    smallest_px=16,
    file="vgg16_features.safetensors",
    checkpoint="vgg16-397923af.pth",
)
