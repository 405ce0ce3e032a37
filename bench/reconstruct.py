"""One codec on one batch: pad, encode, decode, crop, and what went wrong where something did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .codecs import Codec
from .errors import VaebenchError
from .records import Encoded

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Reconstruction:
    """What one codec made of one picture.

    `pixels` is float32 [3, H, W], unrounded and not clamped; `latents` raw [C, h, w] or None;
    `nbits` the stored bits.
    """

    pixels: Tensor
    nbits: int
    latents: Tensor | None


@dataclass(frozen=True)
class Failure:
    """Why a codec gave no reconstruction of a picture."""

    reason: str


def reconstruct(codec: Codec, pixels: Tensor) -> list[Reconstruction | Failure]:
    """Encode and decode a batch, float32 [N, 3, H, W] in [0, 1]; one answer for each picture.

    Width and height are reflect-padded on the right and below to the codec's multiple, and the
    reconstruction is cropped back. A batch that fails is tried again picture by picture.
    """
    padded = reflect_pad(pixels, codec.info.multiple_px)
    try:
        encoded = codec.encode(padded)
        decoded = codec.decode(encoded)
    except (VaebenchError, RuntimeError, ValueError, OSError) as error:
        if pixels.shape[0] > 1:
            return [reconstruct(codec, picture[None])[0] for picture in pixels]
        return [Failure(f"{codec.info.name} failed: {_first_line(error)}")]
    decoded = decoded.to(pixels.device)[..., : pixels.shape[2], : pixels.shape[3]]
    return [_checked(codec, encoded, decoded, index) for index in range(pixels.shape[0])]


def reflect_pad(pixels: Tensor, multiple_px: int) -> Tensor:
    """Pad [N, 3, H, W] on the right and below by reflection to a multiple of `multiple_px`.

    Pictures smaller than the padding are reflected to and fro.
    """
    for dim in (2, 3):
        length = pixels.shape[dim]
        extra = -length % multiple_px
        if extra:
            index = np.pad(np.arange(length), (0, extra), mode="reflect")
            pixels = pixels.index_select(dim, _index_like(index, pixels))
    return pixels


def _index_like(index: np.ndarray, pixels: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(index).to(pixels.device)


def _checked(
    codec: Codec, encoded: Encoded, decoded: Tensor, index: int
) -> Reconstruction | Failure:
    latents = None if encoded.latents is None else encoded.latents[index]
    for stage, values in (("encoding", latents), ("decoding", decoded[index])):
        if values is not None and not bool(values.isfinite().all()):
            hint = " float16 overflows in some autoencoders: try dtype=float32 or bfloat16."
            return Failure(
                f"{codec.info.name} gave NaN or infinite values in {stage}."
                f"{hint if codec.info.dtype == 'float16' else ''}"
            )
    return Reconstruction(decoded[index], encoded.nbits[index], latents)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
