"""Training pictures and the square crops drawn from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
DOWNSCALES = (1.0, 1.4, 2.0, 2.8)


def picture_paths(folder: Path) -> list[Path]:
    """Return every picture below a folder, in a stable order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def read_picture(path: Path) -> Image.Image:
    """Return one picture as RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


class CropSource:
    """Random crops of decoded pictures at several scales.

    Every picture is kept in memory as uint8 at each downscale that leaves at least `smallest_px`
    on its short side, and is drawn in proportion to its area: each pixel counts alike.
    """

    def __init__(self, folder: Path, smallest_px: int) -> None:
        self.planes = [
            plane
            for path in picture_paths(folder)
            for plane in _pyramid(read_picture(path), smallest_px)
        ]
        if not self.planes:
            raise ValueError(
                f"Cannot train from {folder}: expected pictures of at least {smallest_px} px, "
                "got none. Pass another --data."
            )
        areas = np.array([plane.shape[0] * plane.shape[1] for plane in self.planes], float)
        self.chances = areas / areas.sum()

    def draw(self, count: int, crop_px: int, rng: np.random.Generator) -> torch.Tensor:
        """Return float32 [count, 3, crop_px, crop_px] in [-1, 1], half of them mirrored."""
        chosen = rng.choice(len(self.planes), size=count, p=self.chances)
        crops = np.stack([_crop(self.planes[index], crop_px, rng) for index in chosen])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def _pyramid(picture: Image.Image, smallest_px: int) -> list[np.ndarray]:
    planes = []
    for downscale in DOWNSCALES:
        width, height = (round(side / downscale) for side in picture.size)
        if min(width, height) < smallest_px:
            break
        resized = picture
        if downscale > 1:
            resized = picture.resize((width, height), Image.Resampling.LANCZOS)
        planes.append(np.asarray(resized))
    return planes


def _crop(plane: np.ndarray, crop_px: int, rng: np.random.Generator) -> np.ndarray:
    top = rng.integers(plane.shape[0] - crop_px + 1)
    left = rng.integers(plane.shape[1] - crop_px + 1)
    crop = plane[top : top + crop_px, left : left + crop_px]
    return crop[:, ::-1] if rng.random() < 0.5 else crop
