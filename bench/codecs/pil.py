"""Two functions for notebooks: PIL images to scaled latents, and back.

They take a diffusers autoencoder of any class, or a codec of vaebench, and are right about its
pixel range, its scaling and shift factors, and the rounding to 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..errors import CodecError
from ..records import CodecInfo, Encoded
from .autoencoder.network import decode_latents, encode_images
from .autoencoder.scaling import scale_latents, unscale_latents
from .tensors import from_pil, to_pil


def pil_to_latents(image: Image.Image | Sequence[Image.Image], vae: Any) -> Tensor:
    """Return the scaled latents of a picture, or of several of one size.

    Args:
        image: converted to RGB; width and height multiples of the autoencoder's factor.
        vae: a diffusers autoencoder, or a codec from `open_codec`.
    Returns: [N, C, h, w], of the posterior's mode; [N, 4·C, h/2, w/2] for FLUX.2.
    Raises: CodecError where the pictures differ in size, or the codec has no latents.
    """
    images = [image] if isinstance(image, Image.Image) else list(image)
    sizes = sorted({one.size for one in images})
    if len(sizes) != 1:
        raise CodecError(f"Pictures of one size are expected in a batch, got {sizes}.")
    pixels = from_pil([one.convert("RGB") for one in images])
    model = _model(vae)
    if isinstance(model, CodecInfo):
        latents = vae.encode(pixels).latents
        if latents is None:
            raise CodecError(f"{model.name} has no latents: its code is a file's bytes.")
        return scale_latents(latents, model)
    with torch.no_grad():
        parameter = next(model.parameters())
        return scale_latents(encode_images(model, pixels.to(parameter)).mode, model)


def latents_to_pil(latents: Tensor, vae: Any) -> list[Image.Image]:
    """Return the pictures of scaled latents [N, C, h, w]: decoded, clamped, rounded to 8 bits.

    Args:
        latents: as `pil_to_latents` or a diffusion model gives them.
        vae: a diffusers autoencoder, or a codec from `open_codec`.
    """
    model = _model(vae)
    if isinstance(model, CodecInfo):
        raw = unscale_latents(latents, model)
        return to_pil(vae.decode(Encoded(nbits=(), latents=raw)))
    with torch.no_grad():
        raw = unscale_latents(latents.to(next(model.parameters())), model)
        return to_pil(decode_latents(model, raw, seed=0))


def _model(vae: Any) -> Any:
    """Return what tells the scaling: a diffusers model, or the record of another codec."""
    model = getattr(vae, "vae", vae)
    info = getattr(model, "info", None)
    return info if isinstance(info, CodecInfo) else model
