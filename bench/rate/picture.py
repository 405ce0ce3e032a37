"""One picture at every setting of every codec: encoded once, prepared once, kept at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ...metrics import Metric
from ..codecs import Codec, open_codec
from ..codecs.tensors import reflect_pad
from ..errors import CodecError, RunFolderError, first_line
from ..images.pixels import read_pixels
from ..records import CodecInfo, Encoded, ImageRef, Region
from ..scoring.measure import PictureScores, References, prepare_references, score_batch
from .knobs import Sweep
from .points import Point, PointCache, codec_identity

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RdFailure:
    """A codec that gave no point of a picture at a setting, and why."""

    image_id: str
    codec: str
    setting: str
    reason: str


@dataclass(frozen=True)
class Coded:
    """A picture as a codec stores it: what it decodes from, and the stored bytes."""

    encoded: Encoded
    nbytes: int
    entropy_bits: float | None = None
    header_bytes: float | None = None
    elements: int | None = None


class OpenedSweep:
    """A sweep with its codec opened: turns a picture and a setting into bytes, and back."""

    def __init__(self, sweep: Sweep, info: CodecInfo | None = None) -> None:
        """Open nothing yet.

        Args:
            info: of the codec as its spec has it, where another process has opened it.
        """
        self.sweep = sweep
        self._info = info
        self._opened: dict[float | None, Codec] = {}

    @cached_property
    def base(self) -> Codec:
        """The codec at its first setting, or as its spec has it."""
        first = None if self.sweep.of_latents or not self.sweep.values else self.sweep.values[0]
        return self._codec(first)

    @property
    def info(self) -> CodecInfo:
        """What the codec is; its knob stands at the first setting."""
        return self._info or self.base.info

    def identity(self, setting: str) -> object:
        """Return what decides the bytes and pixels of a setting."""
        if self.sweep.knob is None:
            return codec_identity(self.info)
        identity = codec_identity(self.info)
        return identity | {"settings": identity["settings"] | self.sweep.turned(setting)}

    def encode(self, padded: Tensor) -> Encoded | None:
        """Return an autoencoder's latents of a picture; None where encoding takes the setting."""
        return self.base.encode(padded) if self.sweep.of_latents else None

    def code(self, padded: Tensor, latents: Encoded | None, setting: str) -> Coded:
        """Return the bytes of a picture at a setting, and what they decode from."""
        value = self.sweep.value(setting)
        if latents is None:
            encoded = self._codec(value).encode(padded)
            return Coded(encoded, -(-encoded.nbits[0] // 8))
        if latents.latents is None:
            raise CodecError(f"Cannot sweep {self.sweep.spec.name}: it gave no latents.")
        return _coded_latents(latents.latents[0].float().cpu().numpy(), value)

    def decode(self, coded: Coded, setting: str) -> Tensor:
        """Return the reconstruction [1, 3, H, W] of a padded picture."""
        codec = self.base if self.sweep.of_latents else self._codec(self.sweep.value(setting))
        return codec.decode(coded.encoded)

    def _codec(self, value: float | None) -> Codec:
        if value not in self._opened:
            spec = self.sweep.spec
            turned = {} if value is None else self.sweep.turned(self.sweep.setting(value))
            self._opened[value] = open_codec(spec.name, spec.source, {**spec.settings, **turned})
        return self._opened[value]


def _coded_latents(latents: NDArray[np.float32], step: float | None) -> Coded:
    """Return latents [C, h, w] quantised and packed; what is decoded starts from the bytes."""
    from ..codecs.latents.stream import (
        entropy_bits,
        header_bytes,
        pack_symbols,
        quantise,
        unpack_latents,
    )

    symbols = quantise(latents, step=step)
    payload = pack_symbols(symbols)
    unpacked = torch.from_numpy(unpack_latents(payload))[None]
    return Coded(
        Encoded((8 * len(payload),), latents=unpacked),
        len(payload),
        entropy_bits(symbols),
        header_bytes(payload),
        latents.size,
    )


class PictureBench:
    """One picture with the reference side of every metric, for every codec in turn."""

    def __init__(
        self,
        image: ImageRef,
        regions: Sequence[Region],
        metrics: Sequence[Metric],
        cache: PointCache,
        background: str,
    ) -> None:
        self.image = image
        self.regions = tuple(regions)
        self.cache = cache
        self._metrics = tuple(metrics)
        self.background = background
        self._latents: dict[str, Encoded | None] = {}

    @cached_property
    def references(self) -> References:
        """The picture as [1, 3, H, W], and what each metric made of it once."""
        rgb, _ = read_pixels(self.image, self.background)
        pixels = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None]
        pixels = pixels.to(default_device()).float().div(255).contiguous()
        ids = [self.image.image_id]
        return prepare_references(self._metrics, ids, [self.regions], pixels)

    @property
    def variants(self) -> list[str]:
        """The variants that every point has, or a reason for."""
        return [metric.variant(rounded=True) for metric in self._metrics]

    def key(self, opened: OpenedSweep, setting: str) -> str:
        """Return the name under which a point of this picture is kept."""
        return self.cache.hashed(opened.identity(setting), self.image.sha256, self.background)

    def point(self, opened: OpenedSweep, setting: str) -> Point:
        """Return a point, measured now or before. Raises: what the codec raises."""
        key = self.key(opened, setting)
        known = self.cache.read(key)
        if known is not None and not known.lacks(self.variants):
            return known
        coded, rounded = self.reconstruct(opened, setting)
        scored = self.scored(rounded)
        point = Point(
            coded.nbytes,
            {score.variant: score.value for score in scored.scores},
            {entry.variant: entry.reason for entry in scored.unavailable},
            coded.entropy_bits,
            coded.header_bytes,
            coded.elements,
        )
        self.cache.write(key, point)
        return point

    def reconstruct(self, opened: OpenedSweep, setting: str) -> tuple[Coded, Tensor]:
        """Return the stored bytes, and the reconstruction [1, 3, H, W] rounded to 8 bits."""
        height, width = self.references.pixels.shape[2:]
        coded = self.code(opened, setting)
        decoded = opened.decode(coded, setting).to(self.references.pixels.device)
        decoded = decoded[..., :height, :width]
        if not bool(decoded.isfinite().all()):
            raise CodecError(f"{opened.sweep.spec.name} gave NaN or infinite values in decoding.")
        return coded, decoded.float().clamp(0, 1).mul(255).round().div(255)

    def code(self, opened: OpenedSweep, setting: str) -> Coded:
        """Return the picture's bytes at a setting; an autoencoder encodes it once for all."""
        padded = reflect_pad(self.references.pixels, opened.info.multiple_px)
        name = opened.sweep.spec.name
        if name not in self._latents:
            self._latents[name] = opened.encode(padded)
        return opened.code(padded, self._latents[name], setting)

    def scored(self, rounded: Tensor, with_regions: bool = False) -> PictureScores:
        """Return the scores of a reconstruction [1, 3, H, W], of its regions where asked."""
        references = self.references if with_regions else replace(self.references, regions=((),))
        return score_batch(self._metrics, references, "", rounded, rounded=True)[0]


def sweep_picture(
    bench: PictureBench, sweeps: Sequence[OpenedSweep], told: Callable[[], None]
) -> list[RdFailure]:
    """Measure every point of a picture that is not in the cache; return what could not be had.

    Args:
        told: called after each point.
    """
    failures: list[RdFailure] = []
    for opened in sweeps:
        for setting in opened.sweep.settings:
            try:
                bench.point(opened, setting)
            except RunFolderError:
                raise
            # Whatever a codec of another package raises, the other points are worth having.
            except Exception as error:
                failures.append(
                    RdFailure(
                        bench.image.image_id, opened.sweep.spec.name, setting, first_line(error)
                    )
                )
            told()
    return failures


def default_device() -> str:
    """Return where pictures are compared: the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
