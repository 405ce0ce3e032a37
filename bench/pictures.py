"""The pictures a run keeps: references, reconstructions, error maps, latents."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from .records import REFERENCE, WHOLE
from .store import picture_path, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

ROOMS = ("reconstructions", "maps", "latents")
WORST_KEPT = 4
"""`--keep worst` keeps this many of each codec's worst pictures."""


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Return float [3, H, W] in [0, 1] as uint8 [H, W, 3], rounded."""
    return (pixels * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def keep_picture(folder: Path, codec: str, image_id: str, pixels: np.ndarray) -> None:
    """Write the uint8 [H, W, 3] reconstruction (or reference) as PNG."""
    _write_png(picture_path(folder, "reconstructions", codec, image_id), pixels)


def keep_map(folder: Path, codec: str, image_id: str, values: Tensor, full_scale: float) -> None:
    """Write an error map [H, W] as 8-bit grey PNG; 255 stands for `full_scale`."""
    grey = (values.double() / full_scale).clamp(0, 1).mul(255).round().byte().cpu().numpy()
    _write_png(picture_path(folder, "maps", codec, image_id), grey)


def keep_latents(folder: Path, codec: str, image_id: str, latents: Tensor) -> None:
    """Write raw latents [C, h, w] as .npy, float16 where they are half precision."""
    values = latents.cpu() if latents.element_size() > 2 else latents.cpu().half()
    buffer = io.BytesIO()
    np.save(buffer, values.numpy())
    write_atomic(picture_path(folder, "latents", codec, image_id, ".npy"), buffer.getvalue())


def drop_all_but_worst(folder: Path, scores: pd.DataFrame, lower_is_worse: dict[str, bool]) -> None:
    """Delete the pictures that are among no codec's worst by any metric.

    `lower_is_worse` tells each variant's bad side. A picture stays for all codecs or for none, so
    that codecs can be compared on it.
    """
    whole = scores[(scores["region"] == WHOLE) & scores["value"].notna()]
    kept: set[str] = set()
    for codec in scores["codec"].unique():
        for variant, is_lower in lower_is_worse.items():
            chosen = (whole["codec"] == codec) & (whole["variant"] == variant)
            ordered = whole.loc[chosen].sort_values("value", ascending=is_lower)
            kept.update(str(image_id) for image_id in ordered["image_id"].head(WORST_KEPT))
    for image_id in set(scores["image_id"]) - kept:
        for codec in (REFERENCE, *scores["codec"].unique()):
            for room in ROOMS:
                suffix = ".npy" if room == "latents" else ".png"
                picture_path(folder, room, codec, image_id, suffix).unlink(missing_ok=True)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    write_atomic(path, buffer.getvalue())
