"""Principal component analysis of square blocks of pixels, as a codec.

Jolliffe 2002, Principal Component Analysis (2nd ed., ch. 3): among all linear codes of c numbers
a block, this one has the least squared error over the blocks that it was fitted on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from ..errors import CodecError, ImageError
from ..images.find import find_images
from ..images.pixels import read_pixels
from ..records import CodecInfo, Encoded, ImageRef, Settings
from .base import Unfitted
from .families import CODECS
from .networks.placement import stored_bits
from .settings import CodecSettings, Int, read_settings

if TYPE_CHECKING:
    from .base import Pictures

_BLOCKS_AT_ONCE = 1 << 15


class PcaSettings(CodecSettings):
    """`c` coefficients are kept of each block of `f`×`f` pixels in three colours.

    `fit` is a folder of training pictures (or a glob, list or file, as of --images); without it
    the code is fitted on the pictures that it is scored on.
    """

    c: Int = Field(ge=1)
    f: Int = Field(ge=1, le=32)
    fit: str | None = None

    @model_validator(mode="after")
    def _not_more_than_there_are(self) -> PcaSettings:
        values = 3 * self.f**2
        if self.c > values:
            raise ValueError(
                f"c={self.c} is more than the {values} values of a block of {self.f}×{self.f} "
                f"pixels (3·f²); pass c={values} or less"
            )
        return self


@dataclass(frozen=True)
class BlockMoments:
    """Sums over the blocks of pictures: whole numbers, so that no order of adding plays a part.

    A block is its f×f pixels of the three colours in turn, D = 3·f² levels in 0..255. `total` is
    int64 [D], `products` int64 [D, D] the sum of the blocks' outer products.
    """

    total: NDArray[np.int64]
    products: NDArray[np.int64]
    blocks: int
    pictures: int
    too_small: int


def gather_moments(pictures: Pictures, side_px: int) -> BlockMoments:
    """Add up the blocks of pictures [H, W, 3]; what no whole block holds at the right and bottom
    edges is left out, and so are pictures without any whole block, which are counted.
    """
    length = 3 * side_px**2
    total, products = np.zeros(length, np.int64), np.zeros((length, length), np.int64)
    blocks = used = too_small = 0
    for picture in pictures:
        own = _blocks_of(picture, side_px)
        used, too_small = used + (len(own) > 0), too_small + (len(own) == 0)
        blocks += len(own)
        for start in range(0, len(own), _BLOCKS_AT_ONCE):
            # Sums of products of 8-bit levels stay below 2⁵³, where doubles are exact.
            some = own[start : start + _BLOCKS_AT_ONCE].astype(np.float64)
            total += some.sum(0).astype(np.int64)
            products += (some.T @ some).astype(np.int64)
    return BlockMoments(total, products, blocks, used, too_small)


def _blocks_of(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    rows, columns = picture.shape[0] // side_px, picture.shape[1] // side_px
    whole = picture[: rows * side_px, : columns * side_px]
    parts = whole.reshape(rows, side_px, columns, side_px, 3)
    return parts.transpose(0, 2, 4, 1, 3).reshape(rows * columns, 3 * side_px**2)


def principal_directions(
    moments: BlockMoments, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean block [D] in [0, 1] and the leading directions [count, D], each of length 1.

    A direction points to where its largest entry is positive.
    """
    mean = moments.total / moments.blocks
    covariance = moments.products / moments.blocks - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)
    directions = vectors[:, ::-1][:, :count].T
    largest = np.abs(directions).argmax(1)
    signs = np.sign(directions[np.arange(count), largest])
    return mean / 255, directions * signs[:, None]


@dataclass(frozen=True)
class PcaCodec:
    """Blocks projected on c directions, and back; `mean` [1, 3, f, f], `axes` [c, 3, f, f]."""

    info: CodecInfo
    mean: Tensor
    axes: Tensor

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Project [N, 3, H, W] in [0, 1]; latents float32 [N, c, H/f, W/f].

        Raises: CodecError where H or W is no multiple of f.
        """
        side_px = self.axes.shape[-1]
        height, width = images.shape[2:]
        if not height or not width or height % side_px or width % side_px:
            raise CodecError(
                f"Cannot encode {width}×{height} px with {self.info.name}: width and height must "
                f"be multiples of {side_px} px. Pad or crop the picture."
            )
        axes, mean = self.axes.to(images.device), self.mean.to(images.device)
        offset = -(axes * mean).sum((1, 2, 3))
        latents = functional.conv2d(images.float(), axes, offset, stride=side_px)
        return Encoded(nbits=stored_bits(latents), latents=latents)

    @torch.no_grad()
    def decode(self, encoded: Encoded) -> Tensor:
        """Return the blocks that the latents mean, float32 [N, 3, H, W], not clamped."""
        if encoded.latents is None:
            raise CodecError(f"Cannot decode with {self.info.name}: latents are expected.")
        latents = encoded.latents.float()
        axes, mean = self.axes.to(latents.device), self.mean.to(latents.device)
        blocks = functional.conv_transpose2d(latents, axes, stride=axes.shape[-1])
        return blocks + mean.tile(1, 1, *latents.shape[2:])


def open_pca(name: str, source: str, settings: Settings) -> PcaCodec | Unfitted:
    """Fit the code on the folder that `fit` names; without one that is still to be done.

    Raises: CodecError where there are no pictures to fit it on.
    """
    chosen = read_settings(PcaSettings, name, settings, CODECS["pca"].example)
    info = CodecInfo(
        name=name,
        family="pca",
        source=source,
        settings=chosen.model_dump(exclude_none=True),
        dtype="float32",
        device="cpu",
        latent_channels=chosen.c,
        spatial_factor=chosen.f,
        params=(chosen.c + 1) * 3 * chosen.f**2,
        multiple_px=chosen.f,
    )
    if chosen.fit is None:
        return Unfitted(info, lambda pictures: _fit(info, chosen, pictures))
    found, skipped = _training_pictures(name, chosen.fit)
    return _fit(info, chosen, (read_pixels(image).rgb for image in found), skipped)


def _fit(info: CodecInfo, settings: PcaSettings, pictures: Pictures, skipped: int = 0) -> PcaCodec:
    moments = gather_moments(pictures, settings.f)
    if not moments.blocks:
        raise CodecError(
            f"Cannot open {info.name}: no picture of {settings.fit or 'the set'} has a whole block "
            f"of {settings.f}×{settings.f} px. Pass a smaller f, or fit=DIR with larger pictures."
        )
    mean, axes = principal_directions(moments, settings.c)
    block = (-1, 3, settings.f, settings.f)
    return PcaCodec(
        replace(
            info,
            weights_sha256=_fingerprint(moments, settings),
            notes=(_note(moments, settings, skipped),),
        ),
        torch.from_numpy(mean).float().view(block),
        torch.from_numpy(axes).float().view(block),
    )


def _training_pictures(name: str, folder: str) -> tuple[Sequence[ImageRef], int]:
    """Return the pictures to fit on, and how many files cannot be used."""
    try:
        found = find_images([folder])
    except ImageError as error:
        raise CodecError(
            f"Cannot open {name} with fit={folder}: {error} Pass a folder of training pictures."
        ) from error
    if not found.images:
        first = found.skipped[0]
        raise CodecError(
            f"Cannot open {name} with fit={folder}: no usable picture is in it "
            f"({Path(first.path).name}: {first.reason.rstrip('.')}). "
            "Pass a folder of training pictures."
        )
    return found.images, len(found.skipped)


def _fingerprint(moments: BlockMoments, settings: PcaSettings) -> str:
    """Return a SHA-256 of what the directions follow from, in whole numbers: equal everywhere.

    The directions themselves differ in their last digits from one LAPACK to the next.
    """
    digest = hashlib.sha256(f"pca {settings.c} {settings.f} {moments.blocks}\n".encode())
    digest.update(moments.total.astype("<i8").tobytes())
    digest.update(moments.products.astype("<i8").tobytes())
    return digest.hexdigest()


def _note(moments: BlockMoments, settings: PcaSettings, skipped: int) -> str:
    count = f"{moments.pictures} picture{'' if moments.pictures == 1 else 's'}"
    out = [f"{moments.too_small} smaller than a block"] if moments.too_small else []
    out += [f"{skipped} unusable"] if skipped else []
    left_out = f"; left out: {', '.join(out)}" if out else ""
    if settings.fit is None:
        return f"fitted on the pictures it is scored on ({count}{left_out})"
    return f"fitted on {count} of {settings.fit}{left_out}"
