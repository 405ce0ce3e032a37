"""Whatever holds a picture in a notebook (a path, a PIL image, an array, a tensor) as pixels.

Files and PIL images become 8-bit sRGB as in a run: by the same reader, alpha on white.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import CodecError
from ..images.files.colour import to_8_bits
from ..images.pixels import read_pixels
from .tensors import from_levels

Picture = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
"""An array is [H, W], [H, W, C] or [N, H, W, C], a tensor [C, H, W] or [N, C, H, W]; of 1, 3 or 4
channels, whole numbers of 8 or 16 bits or floats in [0, 1]."""

# The modes that a file keeps as they are; others are turned into the nearest of them.
_KEPT = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("CMYK", "YCbCr", "LAB", "F"),
}
_NEAREST = {"PA": "RGBA", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "HSV": "RGB"}


def as_pixels(pictures: Picture | Sequence[Picture]) -> Tensor:
    """Return pictures of one size as float32 [N, 3, H, W] in [0, 1].

    Raises: CodecError for what is no picture or has another range, and for several sizes;
        ImageError for a file that cannot be read.
    """
    several = list(pictures) if isinstance(pictures, list | tuple) else [pictures]
    found = [_pixels(one) for one in several]
    sizes = sorted({(one.shape[3], one.shape[2]) for one in found})
    if len(sizes) != 1:
        raise CodecError(f"Pictures of one size are expected in a batch, got {sizes}.")
    return torch.cat(found)


def _pixels(picture: Any) -> Tensor:
    if isinstance(picture, str | os.PathLike):
        return from_levels([read_pixels(Path(picture)).rgb])
    if isinstance(picture, Image.Image):
        return from_levels([_srgb(picture)])
    if isinstance(picture, Tensor):
        return _of_tensor(picture)
    if isinstance(picture, np.ndarray):
        return _of_array(picture)
    raise CodecError(
        f"Cannot take {type(picture).__name__} for a picture: a PIL image, a path, an array "
        "[H, W, 3] or a tensor [3, H, W] is expected."
    )


def _srgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return a PIL image's pixels as a run would read them from a file, uint8 [H, W, 3]."""
    if image.mode.startswith("I;16"):
        # Of any order of bytes.
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    elif image.mode in _NEAREST:
        image = image.convert(_NEAREST[image.mode])
    if image.mode == "I":
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
            raise CodecError(
                f"Cannot take a PIL image of levels from {levels.min()} to {levels.max()}: scale "
                "it to 16 bits, 0 to 65535."
            )
        image = Image.fromarray(levels.astype(np.uint16))
    kind = next((kind for kind, modes in _KEPT.items() if image.mode in modes), None)
    if kind is None:
        raise CodecError(f"Cannot take a PIL image of mode {image.mode}: convert it to RGB.")
    with tempfile.TemporaryDirectory(prefix="vaebench-") as folder:
        path = Path(folder) / f"picture.{kind.lower()}"
        # What is in memory lies as it is seen: no orientation is written.
        image.save(path, kind, **({"compress_level": 0} if kind == "PNG" else {}))
        return read_pixels(path).rgb


def _of_array(array: NDArray[Any]) -> Tensor:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4:
        raise _no_picture(array, "[H, W, 3]")
    if array.dtype == np.uint8:
        return _composited(torch.from_numpy(array.astype(np.float32) / 255).permute(0, 3, 1, 2))
    if array.dtype == np.uint16 and array.shape[3] in (1, 3):
        levels = torch.from_numpy(np.stack([to_8_bits(one) for one in array]))
        return _composited(levels.permute(0, 3, 1, 2).float().div(255))
    if not np.issubdtype(array.dtype, np.floating):
        raise _no_picture(array, "[H, W, 3]")
    return _of_tensor(torch.from_numpy(array.astype(np.float32)).permute(0, 3, 1, 2))


def _of_tensor(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or not (tensor.is_floating_point() or tensor.dtype == torch.uint8):
        raise _no_picture(tensor, "[3, H, W]")
    if tensor.dtype == torch.uint8:
        return _composited(tensor.float().div(255))
    low, high = (float(one) for one in tensor.float().aminmax()) if tensor.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise CodecError(
            f"Cannot take a picture of values from {low:g} to {high:g}: floats are expected in "
            "[0, 1]. Scale it to that range first, or give uint8."
        )
    return _composited(tensor.float())


def _composited(pixels: Tensor) -> Tensor:
    """Return [N, 3, H, W] of pictures [N, C, H, W]: grey repeated, alpha on white."""
    channels = pixels.shape[1]
    if channels not in (1, 3, 4) or 0 in pixels.shape:
        raise _no_picture(pixels, "[3, H, W] or [H, W, 3]")
    if channels == 1:
        return pixels.repeat(1, 3, 1, 1).contiguous()
    if channels == 4:
        alpha = pixels[:, 3:]
        # To 8 bits, as a run's are.
        return pixels[:, :3].sub(1).mul(alpha).add(1).mul(255).round().div(255).contiguous()
    return pixels.contiguous()


def _no_picture(values: Any, expected: str) -> CodecError:
    return CodecError(
        f"Cannot take {list(values.shape)} of {values.dtype} for a picture: {expected} of 8 bits "
        "or of floats in [0, 1] is expected."
    )
