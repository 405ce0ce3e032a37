"""Pictures as tensors and as PIL images; eight bits are always reached by rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def default_device() -> torch.device:
    """Return the device that is used where none is named."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array's values on a device, to which they may still be on their way."""
    tensor = torch.from_numpy(values)
    if device.type == "cpu":
        return tensor
    # From pinned memory alone does a copy leave the host free.
    return tensor.pin_memory().to(device, non_blocking=True)


def from_levels(
    pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], device: torch.device | None = None
) -> Tensor:
    """Return uint8 [H, W, 3] pictures of one size as float32 [N, 3, H, W] in [0, 1].

    They go to the device as bytes, a quarter of what floats are, and are converted there. The
    result is contiguous: a network's digits depend on the memory format of its input.
    """
    levels = to_device(np.stack(tuple(pictures)), device or torch.device("cpu"))
    return levels.permute(0, 3, 1, 2).float().div_(255).contiguous()


def to_levels(images: Tensor) -> Tensor:
    """Return float images of any shape as uint8: clamped to [0, 1], rounded to 8 bits."""
    return images.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)


def rounded(images: Tensor) -> Tensor:
    """Return float images as float32 in [0, 1], clamped and rounded to 8 bits."""
    return images.float().clamp(0, 1).mul(255).round().div(255)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Return RGB images of float [N, 3, H, W]: clamped to [0, 1] and rounded to 8 bits."""
    return [Image.fromarray(rgb) for rgb in to_levels(images).permute(0, 2, 3, 1).cpu().numpy()]


def from_pil(images: Sequence[Image.Image]) -> Tensor:
    """Return float32 [N, 3, H, W] in [0, 1] of RGB images of one size."""
    return from_levels([np.array(image, dtype=np.uint8) for image in images])


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
