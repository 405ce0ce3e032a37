"""One picture at every setting of every codec: encoded once, prepared once, kept at once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...metrics import Metric
from ..codecs import Codec, open_spec
from ..codecs.tensors import default_device, from_levels, reflect_pad, rounded
from ..errors import CodecError, RunFolderError, first_line
from ..images.pixels import read_pixels
from ..records import CodecInfo, Encoded, ImageRef, Region
from ..scoring.measure import PictureScores, References, prepare_references, score_batch
from ..scoring.reconstruct import Piece, decode_piece, not_finite
from .knobs import Sweep
from .points import Point, PointCache, codec_identity

if TYPE_CHECKING:
    from torch import Tensor


OPENING = Lock()
"""Held while a codec or metric is opened: libraries are not made to be loaded by two threads."""


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


@dataclass
class OpenedSweep:
    """A sweep whose codecs are opened when needed: turns picture and setting into bytes, and back.

    `info` is of the codec as its spec has it.
    """

    sweep: Sweep
    info: CodecInfo
    _opened: dict[float | None, Codec] = field(default_factory=dict[float | None, Codec])

    def identity(self, setting: str) -> dict[str, Any]:
        """Return what decides the bytes and pixels of a setting."""
        identity = codec_identity(self.info)
        return identity | {"settings": identity["settings"] | self.sweep.turned(setting)}

    def encode(self, padded: Tensor) -> Encoded | None:
        """Return an autoencoder's latents of a picture; None where encoding takes the setting."""
        return self._codec(None).encode(padded) if self.sweep.of_latents else None

    def code(self, padded: Tensor, latents: Encoded | None, setting: str) -> Coded:
        """Return the bytes of a picture at a setting, and what they decode from."""
        value = self.sweep.value(setting)
        if latents is None:
            encoded = self._codec(value).encode(padded)
            return Coded(encoded, -(-encoded.nbits[0] // 8))
        if latents.latents is None:
            raise CodecError(f"Cannot sweep {self.sweep.spec.name}: it gave no latents.")
        return _coded_latents(latents.latents[0].float().cpu().numpy(), value)

    def decode(self, coded: Coded, setting: str, pixels: Tensor) -> Piece:
        """Return the reconstruction of a picture [1, 3, H, W]."""
        value = None if self.sweep.of_latents else self.sweep.value(setting)
        return decode_piece(self._codec(value), coded.encoded, pixels)

    def _codec(self, value: float | None) -> Codec:
        if value not in self._opened:
            spec = self.sweep.spec
            turned = {} if value is None else self.sweep.turned(self.sweep.setting(value))
            with OPENING:
                codec = open_spec(spec, {**spec.settings, **turned})
            self._opened[value] = codec
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
        pixels = from_levels([rgb], default_device())
        return prepare_references(self._metrics, [self.image.image_id], [self.regions], pixels)

    @property
    def variants(self) -> list[str]:
        """The variants that every point has, or a reason for."""
        return [metric.variant(rounded=True) for metric in self._metrics]

    def key(self, opened: OpenedSweep, setting: str) -> str:
        """Return the name under which a point of this picture is kept."""
        return self.cache.key(opened.identity(setting), self.image, self.background)

    def point(self, opened: OpenedSweep, setting: str) -> Point:
        """Return a point, measured now or before. Raises: what the codec raises."""
        key = self.key(opened, setting)
        known = self.cache.read(key)
        if known is not None and not known.lacks(self.variants):
            return known
        coded, pixels = self.reconstruct(opened, setting)
        scored = self.scored(pixels)
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
        coded = self.code(opened, setting)
        piece = opened.decode(coded, setting, self.references.pixels)
        failure = not_finite(opened.info, *piece.finite[:, 0].tolist())
        if failure is not None:
            raise CodecError(failure.reason)
        return coded, rounded(piece.pixels)

    def code(self, opened: OpenedSweep, setting: str) -> Coded:
        """Return the picture's bytes at a setting; an autoencoder encodes it once for all."""
        padded = reflect_pad(self.references.pixels, opened.info.multiple_px)
        name = opened.sweep.spec.name
        if name not in self._latents:
            self._latents[name] = opened.encode(padded)
        return opened.code(padded, self._latents[name], setting)

    def scored(self, pixels: Tensor, with_regions: bool = False) -> PictureScores:
        """Return the scores of a reconstruction [1, 3, H, W], of its regions where asked."""
        references = self.references if with_regions else replace(self.references, regions=((),))
        return score_batch(self._metrics, references, "", pixels, rounded=True)[0]


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
            with listed(failures, bench.image.image_id, opened.sweep.spec.name, setting):
                bench.point(opened, setting)
            told()
    return failures


@contextmanager
def listed(
    failures: list[RdFailure], image_id: str, codec: str, setting: str, when: str = ""
) -> Generator[None]:
    """List as a failure whatever a codec, perhaps of another package, raises, and go on."""
    try:
        yield
    except RunFolderError:
        raise
    except Exception as error:
        failures.append(RdFailure(image_id, codec, setting, f"{when}{first_line(error)}"))
