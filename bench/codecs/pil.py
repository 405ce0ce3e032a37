"""Two functions for notebooks: pictures to scaled latents, and back.

They take a diffusers autoencoder of any class, or a codec of vaebench, and are right about its
pixel range, its scaling and shift factors or statistics, and the rounding to 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..errors import CodecError
from ..records import CodecInfo, Encoded
from .autoencoder.network import decode_latents, encode_images, fixed_side_px
from .autoencoder.probe import spatial_factor
from .autoencoder.scaling import scale_latents, unscale_latents
from .pictures import Picture, as_pixels
from .tensors import to_pil


@dataclass(frozen=True)
class _Given:
    """A diffusers model, or a codec: `codec` is None for the one, `model` may be for the other.

    `decoder` is what takes raw latents: of a quantised codec the one about which it is.
    """

    name: str
    codec: Any
    decoder: Any
    model: Any

    @property
    def scaling(self) -> Any:
        """What tells the scaling: a diffusers model, or the record of another codec."""
        return self.decoder.info if self.model is None else self.model

    @property
    def multiple_px(self) -> int:
        """What width and height must be a multiple of."""
        if self.codec is not None:
            return self.codec.info.multiple_px
        return spatial_factor(self.model)


def pil_to_latents(image: Picture | Sequence[Picture], vae: Any) -> Tensor:
    """Return the scaled latents of a picture, or of several of one size.

    Args:
        image: a path, a PIL image, an array or a tensor, see `pictures.Picture`; alpha is put on
            white, deeper samples are rounded to 8 bits. Width and height are multiples of the
            autoencoder's factor.
        vae: a diffusers autoencoder, or a codec from `open_codec`.
    Returns: [N, C, h, w], of the posterior's mode; [N, 4·C, h/2, w/2] for FLUX.2. Of a quantised
        codec they are what its bytes stand for.
    Raises: CodecError where pictures differ in size or are no multiple, or the codec has no
        latents; ImageError for a file that cannot be read.
    """
    given = _given(vae)
    pixels = as_pixels(image)
    _check_size(pixels, given)
    if given.model is not None and given.codec in (None, given.decoder):
        with torch.no_grad():
            device = next(given.model.parameters()).device
            return scale_latents(encode_images(given.model, pixels.to(device)).mode, given.model)
    latents = given.codec.encode(pixels).latents
    if latents is None:
        raise CodecError(f"{given.name} has no latents: its code is a file's bytes.")
    return scale_latents(latents, given.scaling)


def latents_to_pil(latents: Tensor, vae: Any) -> list[Image.Image]:
    """Return the pictures of scaled latents [N, C, h, w]: decoded, clamped, rounded to 8 bits.

    Args:
        latents: as `pil_to_latents` or a diffusion model gives them.
        vae: a diffusers autoencoder, or a codec from `open_codec`.
    Raises: CodecError where the codec has no latents.
    """
    given = _given(vae)
    if given.codec is not None and given.codec.info.latent_channels is None:
        raise CodecError(f"{given.name} has no latents: its code is a file's bytes.")
    with torch.no_grad():
        raw = unscale_latents(latents, given.scaling)
        if given.codec is not None:
            return to_pil(given.decoder.decode(Encoded(nbits=(), latents=raw)))
        return to_pil(decode_latents(given.model, raw.to(next(given.model.parameters())), seed=0))


def _given(vae: Any) -> _Given:
    info = getattr(vae, "info", None)
    if not isinstance(info, CodecInfo):
        return _Given(type(vae).__name__, None, vae, vae)
    decoder = vae
    while isinstance(getattr(getattr(decoder, "base", None), "info", None), CodecInfo):
        decoder = decoder.base
    return _Given(info.name, vae, decoder, getattr(decoder, "vae", None))


def _check_size(pixels: Tensor, given: _Given) -> None:
    height, width = pixels.shape[2:]
    side = None if given.model is None else fixed_side_px(given.model)
    if side is not None and (height, width) != (side, side):
        raise CodecError(
            f"Cannot encode {width}×{height} px with {given.name}: it takes {side}×{side} px "
            "alone. Resize or crop the picture."
        )
    multiple_px = given.multiple_px
    if height % multiple_px or width % multiple_px:
        raise CodecError(
            f"Cannot encode {width}×{height} px with {given.name}: width and height must be "
            f"multiples of {multiple_px} px. Crop or pad the picture."
        )
