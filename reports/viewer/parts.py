"""What the viewer loads one by one: the pixels of a picture, its thumbnail, its latent channels.

A part is either a script beside the page or a block of JSON inside of it; both hold the same value.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
from PIL import Image

from ...bench.errors import RunFolderError
from ...bench.store.kept import kept_bytes, read_kept, read_kept_latents
from ..render import data_uri

THUMBNAIL_PX = 112
"""The height of a thumbnail: twice what it is shown in, for screens of twice the density."""

WEBP_LONGEST_PX = 16383

SHEET_GAP_PX = 2
GAP_GREY = 128
SHEET_PX = 400
CHANNELS_A_ROW = 4
"""A sheet of latent channels is SHEET_PX wide, or wider where it would have fewer in a row."""


def write_part(path: Path, data: bytes) -> None:
    """Write a file that is seen whole or not at all.

    It is not waited for until it is on the disk: there are many, and each can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of which the run's own clean-up takes what a kill leaves.
    temporary = path.with_name(f".{os.getpid()}-0.tmp")
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:
        file.write(data)
    temporary.replace(path)


def pixel_uri(path: Path) -> str:
    """Return a kept picture as a data: URI that decodes to the same bytes.

    A colour PNG becomes lossless WebP, a quarter smaller at the least effort; a grey one, which
    WebP would enlarge, and one too large for WebP stay as they are.
    """
    picture = read_kept(path)
    if picture.mode == "L" or max(picture.size) > WEBP_LONGEST_PX:
        return data_uri("image/png", kept_bytes(path))
    sink = io.BytesIO()
    picture.save(sink, "WEBP", lossless=True, quality=0, method=0)
    return data_uri("image/webp", sink.getvalue())


def thumbnail(path: Path) -> bytes:
    """Return a small JPEG of a kept picture, THUMBNAIL_PX high."""
    picture = read_kept(path).convert("RGB")
    width = max(1, round(picture.width * THUMBNAIL_PX / picture.height))
    small = picture.resize((min(width, 4 * THUMBNAIL_PX), THUMBNAIL_PX))
    sink = io.BytesIO()
    small.save(sink, "JPEG", quality=80)
    return sink.getvalue()


def latents_caption(path: Path) -> str | None:
    """Return what a sheet of latent channels shows; None where the file holds no [C, h, w]."""
    try:
        channels = read_kept_latents(path)
    except RunFolderError:
        return None
    count, height, width = channels.shape
    return f"{count} channels of {width} × {height}, each stretched to its range"


def latents_sheet(path: Path) -> bytes:
    """Return the channels of kept latents side by side, as a grey PNG.

    Each channel is stretched from its least value (black) to its greatest (white).
    """
    channels = read_kept_latents(path)
    count, height, width = channels.shape
    step_y, step_x = height + SHEET_GAP_PX, width + SHEET_GAP_PX
    columns = min(count, max(CHANNELS_A_ROW, SHEET_PX // step_x))
    sheet = np.full((math.ceil(count / columns) * step_y, columns * step_x), GAP_GREY, np.uint8)
    for place, channel in enumerate(channels.astype(np.float64)):
        top, left = place // columns * step_y, place % columns * step_x
        sheet[top : top + height, left : left + width] = _stretched(channel)
    sink = io.BytesIO()
    picture = Image.fromarray(sheet[:-SHEET_GAP_PX, :-SHEET_GAP_PX])
    picture.save(sink, "PNG", compress_level=1)
    return sink.getvalue()


def _stretched(channel: np.ndarray) -> np.ndarray:
    """Return finite values [h, w] stretched over 0..255; what is not finite is black."""
    finite = np.isfinite(channel)
    if not finite.any():
        return np.zeros(channel.shape, np.uint8)
    low, high = float(channel[finite].min()), float(channel[finite].max())
    share = (np.where(finite, channel, low) - low) / (high - low if high > low else 1.0)
    return np.round(share * 255).astype(np.uint8)
