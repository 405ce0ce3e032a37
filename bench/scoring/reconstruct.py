"""One codec on one batch: pad, encode, decode, crop, and what went wrong where something did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..codecs import Codec
from ..codecs.tensors import reflect_pad
from ..errors import VaebenchError, first_line
from ..records import CodecInfo, Encoded

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Reconstruction:
    """What one codec made of one picture.

    `pixels` is float32 [3, H, W], unrounded and not clamped; `latents` raw [C, h, w] or None;
    `nbits` the stored bits. Mean and deviation of the encoder's posterior are [C, h, w], None
    where it gave none.
    """

    pixels: Tensor
    nbits: int
    latents: Tensor | None
    posterior_mean: Tensor | None = None
    posterior_std: Tensor | None = None


@dataclass(frozen=True)
class Failure:
    """Why a codec gave no reconstruction of a picture."""

    reason: str


@dataclass(frozen=True)
class Piece:
    """Pictures that one codec took together: all of a batch, or one of those it took singly.

    `pixels` is float32 [N, 3, H, W], unrounded and not clamped; `encoded` what they were decoded
    from. `finite`, bool [2, N], tells of each picture whether all latents and all pixels are
    finite. Nothing was waited for: on a GPU the values may still be on their way.
    """

    pixels: Tensor
    encoded: Encoded
    finite: Tensor


def reconstruct(codec: Codec, pixels: Tensor) -> list[Reconstruction | Failure]:
    """Encode and decode a batch, float32 [N, 3, H, W] in [0, 1]; one answer for each picture.

    Width and height are reflect-padded on the right and below to the codec's multiple, and the
    reconstruction is cropped back. A batch that fails is tried again picture by picture.
    """
    answers: list[Reconstruction | Failure] = []
    for piece in reconstruct_pieces(codec, pixels):
        if isinstance(piece, Failure):
            answers.append(piece)
            continue
        for index, finite in enumerate(piece.finite.t().tolist()):
            failure = not_finite(codec.info, *finite)
            answers.append(failure or _picture(piece, index))
    return answers


def reconstruct_pieces(
    codec: Codec, pixels: Tensor, halve: bool = False
) -> Iterator[Piece | Failure]:
    """Yield what a codec makes of a batch, in the order of its pictures, waiting for nothing.

    Args:
        codec, pixels: as for `reconstruct`.
        halve: raise torch.OutOfMemoryError for more than one picture, where otherwise each would
            be tried by itself.
    """
    import torch

    if len(pixels) > 1 and codec.info.device == "cpu":
        # A CPU gains nothing by batches, and its kernels' last digits depend on their size.
        for picture in pixels.split(1):
            yield from reconstruct_pieces(codec, picture)
        return
    padded = reflect_pad(pixels, codec.info.multiple_px)
    try:
        piece = decode_piece(codec, codec.encode(padded), pixels)
    except (VaebenchError, RuntimeError, ValueError, OSError) as error:
        if len(pixels) > 1 and halve and isinstance(error, torch.OutOfMemoryError):
            raise
        failure = Failure(f"{codec.info.name} failed: {first_line(error)}")
    else:
        yield piece
        return
    # Out here the error, and with it the memory that it kept from the next try, is gone.
    if len(pixels) == 1:
        yield failure
    else:
        for picture in pixels.split(1):
            yield from reconstruct_pieces(codec, picture)


def decode_piece(codec: Codec, encoded: Encoded, pixels: Tensor) -> Piece:
    """Decode pictures, as large as their originals [N, 3, H, W] and on their device.

    Raises: what the codec raises.
    """
    decoded = codec.decode(encoded).to(pixels.device)[..., : pixels.shape[2], : pixels.shape[3]]
    return Piece(decoded, encoded, _finite(encoded.latents, decoded))


def not_finite(info: CodecInfo, latents_finite: bool, pixels_finite: bool) -> Failure | None:
    """Return the failure of a picture with NaN or infinite values, and at which stage."""
    if latents_finite and pixels_finite:
        return None
    stage = "decoding" if latents_finite else "encoding"
    hint = " float16 overflows in some autoencoders: try dtype=float32 or bfloat16."
    return Failure(
        f"{info.name} gave NaN or infinite values in {stage}."
        f"{hint if info.dtype == 'float16' else ''}"
    )


def _finite(latents: Tensor | None, decoded: Tensor) -> Tensor:
    import torch

    pixels = decoded.isfinite().flatten(1).all(1)
    if latents is None:
        return torch.stack([torch.ones_like(pixels), pixels])
    return torch.stack([latents.isfinite().flatten(1).all(1).to(pixels.device), pixels])


def _picture(piece: Piece, index: int) -> Reconstruction:
    encoded = piece.encoded
    latents, mean, std = (
        None if values is None else values[index]
        for values in (encoded.latents, encoded.posterior_mean, encoded.posterior_std)
    )
    return Reconstruction(piece.pixels[index], encoded.nbits[index], latents, mean, std)
