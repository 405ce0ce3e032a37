"""Real pictures for the metrics' tests."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def pixels(image: Image.Image) -> Tensor:
    """Return an image as float32 [1, 3, H, W] in [0, 1]."""
    array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)[None].to(torch.float32) / 255


@pytest.fixture(scope="session")
def read_pixels() -> Callable[[Path], Tensor]:
    def read(path: Path) -> Tensor:
        with Image.open(path) as image:
            return pixels(image)

    return read


@pytest.fixture(scope="session")
def jpeg_pair(kodak: Path) -> Callable[..., Pair]:
    """Return a Kodak picture, or a box of it, and its JPEG of quality 30."""

    def pair(number: int, box: tuple[int, int, int, int] | None = None) -> Pair:
        with Image.open(kodak / f"kodim{number:02d}.png") as opened:
            image = opened.convert("RGB").crop(box) if box else opened.convert("RGB")
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=30)
        return pixels(image), pixels(Image.open(stream))

    return pair


@pytest.fixture(scope="session")
def random_pair() -> Callable[..., Pair]:
    """Return a random batch and itself with noise, both rounded to 8 bits."""

    def pair(pictures: int, height_px: int, width_px: int, seed: int = 0) -> Pair:
        generator = torch.Generator().manual_seed(seed)
        reference = torch.rand(pictures, 3, height_px, width_px, generator=generator)
        noise = 0.05 * torch.randn(reference.shape, generator=generator)
        return eight_bits(reference), eight_bits(reference + noise)

    return pair


def eight_bits(pictures: Tensor) -> Tensor:
    """Return pictures clamped to [0, 1] and rounded to k/255."""
    return (pictures.clamp(0, 1) * 255).round() / 255
