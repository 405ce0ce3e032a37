"""The networks of TAESD-format checkpoints, built from their tensors' names and shapes.

A half is a row of numbered layers: 3×3 convolutions, blocks, and numbers without tensors, which
are layers without weights. An encoder begins with a convolution, or with the stem of the f32
variant, whose convolutions halve the picture and are followed by ReLUs; a decoder begins with a
tanh clamp, a convolution and a ReLU, and a number without tensors upsamples by 2, nearest, later
on. Both end with a convolution. Those have a bias; the ones between resample and have none. A
block may carry a 1×1 `skip`, where its width changes, and TAEF2's `pool` branch.

Source: https://github.com/madebyollin/taesd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CodecError, first_line, shortened
from ..records import CodecInfo, Encoded, Settings
from .autoencoder.probe import no_rgb
from .base import Codec
from .families import CODECS
from .networks.placement import PlacementSettings, place, precision_notes, stored_bits, to_network
from .networks.stored import StoredTensor
from .networks.weights import (
    built_to_fit,
    count_params,
    fingerprint,
    open_weights,
    require_tensors,
)
from .settings import read_settings
from .taesd_files import find_halves

_CLAMP = 3.0
_POOL_GROUPS = 4
_PROBE_PX = 64

Tensors = Mapping[str, Tensor | StoredTensor]


class TanhClamp(nn.Module):
    """Bounds latents smoothly to ±3."""

    def forward(self, latents: Tensor) -> Tensor:
        """Return the bounded latents."""
        return torch.tanh(latents / _CLAMP) * _CLAMP


class Block(nn.Module):
    """Three 3×3 convolutions beside a skip, and a ReLU of their sum."""

    def __init__(self, tensors: Tensors) -> None:
        super().__init__()
        convs = [_conv(tensors[f"conv.{i}.weight"], size_px=3, bias=True) for i in (0, 2, 4)]
        self.conv = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
        skip = tensors.get("skip.weight")
        self.skip = None if skip is None else _conv(skip, size_px=1, bias=False)
        self.pool = _pool(tensors) if any(name.startswith("pool.") for name in tensors) else None

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, C', H, W] of [N, C, H, W]."""
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + (x if self.skip is None else self.skip(x)))


def _conv(weight: Tensor | StoredTensor, size_px: int, bias: bool, stride: int = 1) -> nn.Conv2d:
    width_out, width_in = weight.shape[:2]
    return nn.Conv2d(width_in, width_out, size_px, stride, padding=size_px // 2, bias=bias)


def _pool(tensors: Tensors) -> nn.Sequential:
    widen = _conv(tensors["pool.0.weight"], size_px=1, bias=False)
    narrow = _conv(tensors["pool.3.weight"], size_px=1, bias=False)
    return nn.Sequential(widen, nn.GroupNorm(_POOL_GROUPS, widen.out_channels), nn.ReLU(), narrow)


def build_half(tensors: Tensors, is_decoder: bool) -> nn.Sequential:
    """Return the layers of an encoder or a decoder, not yet loaded.

    Raises: KeyError, ValueError where the tensors are no such half.
    """
    layers: dict[int, dict[str, Tensor | StoredTensor]] = {}
    for name, tensor in tensors.items():
        number, _, rest = name.partition(".")
        layers.setdefault(int(number), {})[rest] = tensor
    first, last = (1 if is_decoder else 0), max(layers, default=0)
    row = nn.Sequential()
    for number in range(last + 1):
        own = layers.get(number)
        if own is None:
            row.append(_weightless(layers, number, is_decoder))
        elif "conv.0.weight" in own:
            row.append(Block(own))
        else:
            is_stem = not is_decoder and number < last and number + 1 not in layers
            is_resampling = not is_stem and number not in (first, last)
            stride = 2 if is_stem or (is_resampling and not is_decoder) else 1
            row.append(_conv(own["weight"], 3, bias=not is_resampling, stride=stride))
    _check_pools(row)
    return row


def _weightless(layers: Mapping[int, Tensors], number: int, is_decoder: bool) -> nn.Module:
    if number == 0 and is_decoder:
        return TanhClamp()
    if "weight" in layers.get(number - 1, {}) and (number == 2 or not is_decoder):
        return nn.ReLU()
    if "weight" in layers.get(number + 1, {}) and is_decoder:
        return nn.Upsample(scale_factor=2, mode="nearest")
    raise ValueError(f"layer {number} is missing")


def _check_pools(row: nn.Sequential) -> None:
    """Refuse a stage of which some blocks have the pool branch and some have not."""
    for before, after in pairwise(row):
        is_stage = isinstance(before, Block) and isinstance(after, Block)
        if is_stage and (before.pool is None) != (after.pool is None):
            raise ValueError("some blocks of a stage lack their pool tensors")


def _has_pool(row: nn.Module) -> bool:
    return any(isinstance(layer, Block) and layer.pool is not None for layer in row.children())


@dataclass(frozen=True)
class TaesdCodec:
    """A tiny autoencoder of TAESD's format; pixels are in [0, 1] inside as outside."""

    info: CodecInfo
    encoder: nn.Module
    decoder: nn.Module
    device: torch.device
    settings: PlacementSettings

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Encode [N, 3, H, W] in [0, 1]; latents [N, C, h, w] in the network's precision."""
        latents: Tensor = self.encoder(to_network(images, self.device, self.settings))
        return Encoded(nbits=stored_bits(latents), latents=latents)

    @torch.no_grad()
    def decode(self, encoded: Encoded) -> Tensor:
        """Return the reconstruction, float32 [N, 3, H, W] on the codec's device."""
        if encoded.latents is None:
            raise CodecError(f"Cannot decode with {self.info.name}: latents are expected.")
        return self.decoder(to_network(encoded.latents, self.device, self.settings)).float()


def open_taesd(name: str, source: str, settings: Settings) -> Codec:
    """Open a TAESD-format checkpoint.

    Raises: CodecError where a half is missing, of another format, or not loaded completely.
    """
    chosen = read_settings(PlacementSettings, name, settings, CODECS["taesd"].example)
    files = find_halves(source)
    tensors = _both_halves(files)
    network = nn.ModuleDict()
    for half, own in tensors.items():
        try:
            build = partial(build_half, own, is_decoder=half == "decoder")
            network[half] = built_to_fit(build, own, f"the {half} of {source}")
        except (KeyError, ValueError, IndexError) as error:
            raise CodecError(
                f"Cannot load {source}: its {half} is not in TAESD's format ({error})."
            ) from error
    if _has_pool(network["encoder"]) != _has_pool(network["decoder"]):
        raise CodecError(
            f"Cannot load {source}: one of its halves has pool tensors and the other has none; "
            "TAEF2 has them in both."
        )
    channels, factor = _probe(network, source)
    device = place(network, network.values(), chosen, name)
    info = CodecInfo(
        name=name,
        family="taesd",
        source=source,
        settings=chosen.model_dump(),
        weights_sha256=fingerprint(list(files.values())),
        dtype=chosen.dtype,
        device=str(device),
        latent_channels=channels,
        spatial_factor=factor,
        # These networks were trained on latents that are already scaled.
        scaling_factor=1.0,
        shift_factor=0.0,
        params=count_params(network),
        multiple_px=factor,
        notes=precision_notes(device, chosen),
    )
    return TaesdCodec(info, network["encoder"], network["decoder"], device, chosen)


def _both_halves(files: Mapping[str, Path]) -> dict[str, dict[str, StoredTensor]]:
    if "both" not in files:
        return {half: _tensors_of(files[half]) for half in ("encoder", "decoder")}
    halves: dict[str, dict[str, StoredTensor]] = {"encoder": {}, "decoder": {}}
    for name, tensor in _tensors_of(files["both"]).items():
        half, _, rest = name.partition(".")
        if half not in halves:
            raise CodecError(
                f"Cannot load {files['both']}: tensor {shortened(name)} belongs to neither half; "
                "names that begin with encoder. or decoder. are expected."
            )
        halves[half][rest] = tensor
    return halves


def _tensors_of(file: Path) -> dict[str, StoredTensor]:
    return require_tensors(open_weights([file]), file)


@torch.no_grad()
def _probe(network: nn.ModuleDict, source: str) -> tuple[int, int]:
    """Return latent channels and spatial factor, seen on a small picture."""
    picture = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX)
    try:
        latents: Tensor = network["encoder"](picture)
        back: Tensor = network["decoder"](latents)
    except RuntimeError as error:
        first = next(iter(network["encoder"].parameters()))
        if first.ndim == 4 and first.shape[1] != picture.shape[1]:
            raise no_rgb(source, first.shape[1]) from error
        raise CodecError(
            f"Cannot open {source}: its layers do not fit together ({first_line(error)})."
        ) from error
    if back.shape != picture.shape:
        raise CodecError(
            f"Cannot open {source}: encoder and decoder do not belong together; a picture of "
            f"{list(picture.shape)} came back as {list(back.shape)}."
        )
    return latents.shape[1], _PROBE_PX // latents.shape[-1]
