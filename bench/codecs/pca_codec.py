"""Principal component analysis of square blocks of pixels, as a codec.

Jolliffe 2002, Principal Component Analysis (2nd ed., ch. 3): among all linear codes of c numbers
a block, this one has the least squared error over the blocks that it was fitted on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import CodecError, ImageError
from ..images.find import find_images
from ..images.pixels import read_pixels
from ..records import CodecInfo, Encoded, ImageRef
from .base import Codec
from .networks.placement import stored_bits
from .pca import PcaSettings, Pictures

_BLOCKS_AT_ONCE = 1 << 15


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


def gather_moments(pictures: Iterable[NDArray[np.uint8]], side_px: int) -> BlockMoments:
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


def open_pca(name: str, source: str, settings: PcaSettings, own_set: Pictures | None) -> Codec:
    """Fit the code on the folder that `fit` names, else on the pictures that are scored.

    Raises: CodecError where there are no pictures to fit it on.
    """
    if settings.fit is None and own_set is None:
        raise CodecError(
            f"Cannot open {name}: there are no pictures to fit it on here. "
            "Pass fit=DIR, a folder of training pictures."
        )
    skipped = 0
    if settings.fit is None:
        pictures = own_set() if own_set else ()
    else:
        found, skipped = _training_pictures(name, settings.fit)
        pictures = (read_pixels(image).rgb for image in found)
    moments = gather_moments(pictures, settings.f)
    if not moments.blocks:
        raise CodecError(
            f"Cannot open {name}: no picture of {settings.fit or 'the set'} has a whole block of "
            f"{settings.f}×{settings.f} px. Pass a smaller f, or fit=DIR with larger pictures."
        )
    mean, axes = principal_directions(moments, settings.c)
    block = (-1, 3, settings.f, settings.f)
    info = CodecInfo(
        name=name,
        family="pca",
        source=source,
        settings=settings.model_dump(exclude_none=True),
        weights_sha256=_fingerprint(moments, settings),
        dtype="float32",
        device="cpu",
        latent_channels=settings.c,
        spatial_factor=settings.f,
        params=axes.size + mean.size,
        multiple_px=settings.f,
        notes=(_note(moments, settings, skipped),),
    )
    return PcaCodec(
        info, torch.from_numpy(mean).float().view(block), torch.from_numpy(axes).float().view(block)
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
