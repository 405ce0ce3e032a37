"""The pictures a run keeps: references, reconstructions, error maps, latents."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..images.files.png import encode_png
from ..records import REFERENCE, WHOLE
from .atomic import write_atomic
from .run import picture_path

if TYPE_CHECKING:
    from torch import Tensor

ROOMS = ("reconstructions", "maps", "latents")
WORST_KEPT = 4
"""`--keep worst` keeps this many of each codec's worst pictures."""


def keep_picture(folder: Path, codec: str, image_id: str, pixels: np.ndarray) -> None:
    """Write the uint8 [H, W, 3] reconstruction (or reference) as PNG."""
    write_atomic(picture_path(folder, "reconstructions", codec, image_id), encode_png(pixels))


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
