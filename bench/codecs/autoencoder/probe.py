"""Seeing what a model does with one small picture, before it is trusted with many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import CodecError, first_line, shortened
from .network import decode_latents, encode_images, fixed_side_px

_SIDE_PX = 64


@dataclass(frozen=True)
class Probed:
    """What was seen: latent channels, pixels to a latent, whether there is a posterior."""

    latent_channels: int
    spatial_factor: int
    has_posterior: bool


@torch.no_grad()
def probe(vae: Any, device: torch.device, dtype: torch.dtype, name: str) -> Probed:
    """Encode and decode a grey picture and check the shapes.

    Raises: CodecError where the model cannot, or gives back a picture of another size.
    """
    picture = _grey(vae, device)
    side = picture.shape[3]
    what = f"{type(vae).__name__} in {str(dtype).removeprefix('torch.')} on {device}"
    try:
        # Nothing is compiled for a picture that is only looked at.
        with torch.compiler.set_stance("force_eager"):
            posterior = encode_images(vae, picture)
            back = decode_latents(vae, posterior.mode, seed=0)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        channels = vae.config.get("in_channels")
        if isinstance(channels, int) and channels not in (3, 4):
            raise no_rgb(name, channels) from error
        raise CodecError(
            f"Cannot open {name}: {what} cannot encode and decode one picture of "
            f"{side}×{side} px ({shortened(first_line(error).rstrip('.'))})."
        ) from error
    latents = posterior.mode
    if back.shape != picture.shape or latents.ndim != 4 or side % latents.shape[-1]:
        raise CodecError(
            f"Cannot open {name}: {what} turns a picture of {list(picture.shape)} into latents of "
            f"{list(latents.shape)} and a picture of {list(back.shape)}."
        )
    return Probed(latents.shape[1], side // latents.shape[-1], posterior.std is not None)


def no_rgb(name: str, channels: int) -> CodecError:
    """Return the error for a model that takes pictures of other channels."""
    plural = "" if channels == 1 else "s"
    return CodecError(
        f"Cannot open {name}: it takes {channels} channel{plural}; vaebench scores RGB, so one "
        "that takes 3 channels is expected."
    )


@torch.no_grad()
def spatial_factor(vae: Any) -> int:
    """Return the pixels to a side of a latent of a model, as seen on a grey picture."""
    picture = _grey(vae, next(vae.parameters()).device)
    return picture.shape[3] // encode_images(vae, picture).mode.shape[3]


def _grey(vae: Any, device: torch.device) -> Tensor:
    side = fixed_side_px(vae) or max(_SIDE_PX, 2 * _declared_factor(vae))
    return torch.full((1, 3, side, side), 0.5, device=device)


def _declared_factor(vae: Any) -> int:
    """Return the spatial factor that the config means; it only sets the probe's size."""
    known = {**vars(vae), **vae.config}
    if known.get("spatial_compression_ratio"):
        return int(known["spatial_compression_ratio"])
    levels = [
        len(value)
        for key, value in vae.config.items()
        if key.endswith(("block_out_channels", "ch_mult", "dim_mult"))
        and isinstance(value, list | tuple)
    ]
    return int(2 ** (max(levels, default=1) - 1))
