"""What a folder keeps of pictures, read back by one door: as little as a run itself writes.

A folder may be anybody's, so a file is asked for its size and its header before it is decoded, and
no decoder is begun but those of the formats that are written here.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import RunFolderError, first_line
from ..images.files.limits import MAX_PIXELS, TOO_LARGE

FORMATS = ("PNG", "WEBP")
MOST_BYTES = 5 * MAX_PIXELS
"""Of a kept file: noise of MAX_PIXELS, and latents of as many values, are smaller."""


def read_kept(path: Path) -> Image.Image:
    """Return a kept picture or error map, decoded: RGB, or L where it was kept in grey.

    Raises: RunFolderError for what is no whole PNG or WebP of at most MAX_PIXELS.
    """
    data = kept_bytes(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that are refused here, or harm nothing.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise _unreadable(path, TOO_LARGE)
                return picture.convert("L" if picture.mode == "L" else "RGB")
    except RunFolderError:
        raise
    except UnidentifiedImageError as error:
        raise _unreadable(path, "it is no PNG or WebP, or its header is damaged") from error
    except Image.DecompressionBombError as error:
        raise _unreadable(path, TOO_LARGE) from error
    except Exception as error:
        # Pillow's plugins raise whatever a damaged file trips: SyntaxError, struct.error, …
        raise _unreadable(path, f"it is damaged ({first_line(error).rstrip('.')})") from error


def kept_bytes(path: Path) -> bytes:
    """Return the bytes of a kept file. Raises: RunFolderError for one that none of ours would be.

    What they hold is not looked at: see `read_kept`.
    """
    try:
        if not path.is_file():
            raise _unreadable(path, "it is no file")
        if path.stat().st_size > MOST_BYTES:
            raise _unreadable(path, f"it is larger than {MOST_BYTES // 1_000_000} MB")
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or first_line(error)) from error


def read_kept_latents(path: Path) -> NDArray[Any]:
    """Return kept latents [C, h, w], float16 or float32, mapped from the disk.

    Raises: RunFolderError for a file that holds none.
    """
    try:
        channels = np.lib.format.open_memmap(path, mode="r")
    except (EOFError, OSError, ValueError) as error:
        raise _unreadable(path, first_line(error).rstrip(".")) from error
    if channels.ndim != 3 or channels.dtype.kind != "f" or not 0 < channels.size <= MAX_PIXELS:
        told = f"it holds {channels.dtype} of shape {list(channels.shape)}"
        raise _unreadable(path, f"{told}, not [C, h, w] of floats")
    return channels


def _unreadable(path: Path, cause: str) -> RunFolderError:
    return RunFolderError(
        f"Cannot read {path}: {cause}. Delete it (it is then left out) or make the run again."
    )
