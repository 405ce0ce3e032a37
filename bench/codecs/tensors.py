"""Pictures as tensors and as PIL images; eight bits are always reached by rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_pil(images: Tensor) -> list[Image.Image]:
    """Return RGB images of float [N, 3, H, W]: clamped to [0, 1] and rounded to 8 bits."""
    levels = images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return [Image.fromarray(rgb) for rgb in levels.permute(0, 2, 3, 1).cpu().numpy()]


def from_pil(images: Sequence[Image.Image]) -> Tensor:
    """Return float32 [N, 3, H, W] in [0, 1] of RGB images of one size."""
    pixels = np.stack([np.asarray(image, dtype=np.uint8) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div(255)


def reflect_pad(pixels: Tensor, multiple_px: int) -> Tensor:
    """Pad [N, 3, H, W] on the right and below by reflection to a multiple of `multiple_px`.

    Pictures smaller than the padding are reflected to and fro.
    """
    for dim in (2, 3):
        length = pixels.shape[dim]
        extra = -length % multiple_px
        if extra:
            pixels = pixels.index_select(dim, _to_and_fro(length, length + extra, pixels))
    return pixels


def _to_and_fro(length: int, padded: int, like: Tensor) -> Tensor:
    """Return the positions 0, 1 … length-1 … 1, 0, 1 …, made where they are used."""
    last = length - 1
    return last - (torch.arange(padded, device=like.device) % max(1, 2 * last) - last).abs()
