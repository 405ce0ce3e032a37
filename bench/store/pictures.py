"""The pictures a run keeps: references, reconstructions, error maps, latents."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..records import REFERENCE, WHOLE
from .run import picture_path, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

ROOMS = ("reconstructions", "maps", "latents")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
WORST_KEPT = 4
"""`--keep worst` keeps this many of each codec's worst pictures."""


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Return float [3, H, W] in [0, 1] as uint8 [H, W, 3], rounded."""
    return (pixels * 255).round().byte().permute(1, 2, 0).cpu().numpy()


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


def encode_png(pixels: np.ndarray) -> bytes:
    """Return uint8 [H, W, 3] or [H, W] as PNG, in half the time that Pillow takes.

    Each row is stored as its difference from the row above, where Pillow tries all five filters;
    zlib works without the interpreter's lock. The file is about as long as Pillow's at level 1.
    Source: PNG specification, third edition, sections 9 and 11.
    """
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    is_grey = pixels.ndim == 2
    # In the noise of an error map the matches that a search finds cost more than they save.
    strategy = zlib.Z_RLE if is_grey else zlib.Z_DEFAULT_STRATEGY
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if is_grey else 2, 0, 0, 0)
    data = deflate.compress(filtered.data) + deflate.flush()
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
