"""Small pictures of a page: made once, beside it, so that a list never loads the full ones."""

from __future__ import annotations

import hashlib
import io
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image

from ...bench.store.atomic import write_atomic
from ...bench.store.kept import kept_bytes
from .selection import read_grey, read_rgb

FOLDER = "thumbnails"
LONGEST_PX = 448
"""Of a thumbnail's longer side: a cell of the page on a screen with two pixels for one."""

LOSSLESS_PX = 192
"""A window no longer than this is kept in its own pixels, without loss: the reader judges it."""

QUALITY = 86
"""Of all other pictures in WebP."""


class Thumbnails:
    """Makes the thumbnails of a page and remembers which ones it uses.

    A name is the hash of the picture and of the window, so that an unchanged picture is read but
    once, and one that was scored again gets a new name that no browser has in its cache.
    """

    def __init__(self, folder: Path) -> None:
        """Make thumbnails below `folder`, where the page lies."""
        self._folder = folder
        self._used: set[str] = set()
        self._hash_of = cache(_hash_of)
        # The regions of a picture follow one another, under every codec.
        self._read = lru_cache(maxsize=16)(_read)

    def picture(
        self, path: Path | None, box_px: tuple[int, int, int, int] | None = None
    ) -> str | None:
        """Return the thumbnail of a picture or of a window of it: a path below the folder."""
        return None if path is None else self._make(path, box_px, is_map=False)

    def error_map(
        self, path: Path | None, box_px: tuple[int, int, int, int] | None = None
    ) -> str | None:
        """Return the thumbnail of an error map, still grey; each pixel the mean of those it was."""
        return None if path is None else self._make(path, box_px, is_map=True)

    def remove_stale(self) -> None:
        """Remove the thumbnails of an earlier report that this one does not use."""
        for path in (self._folder / FOLDER).glob("*"):
            if path.suffix == ".webp" and path.name not in self._used:
                path.unlink()

    def _make(self, path: Path, box_px: tuple[int, int, int, int] | None, *, is_map: bool) -> str:
        recipe = f"{self._hash_of(path)} {box_px} {LONGEST_PX} {LOSSLESS_PX} {QUALITY} {is_map}"
        name = f"{hashlib.sha256(recipe.encode()).hexdigest()[:20]}.webp"
        self._used.add(name)
        target = self._folder / FOLDER / name
        if not target.is_file():
            write_atomic(target, _encoded(self._read(path, is_map), box_px, is_map=is_map))
        return f"{FOLDER}/{name}"


def _hash_of(path: Path) -> str:
    return hashlib.sha256(kept_bytes(path)).hexdigest()


def _read(path: Path, is_map: bool) -> Image.Image:
    return Image.fromarray(read_grey(path) if is_map else read_rgb(path))


def _encoded(
    picture: Image.Image, box_px: tuple[int, int, int, int] | None, *, is_map: bool
) -> bytes:
    small = picture.copy() if box_px is None else picture.crop(box_px)
    lossless = is_map or (box_px is not None and max(small.size) <= LOSSLESS_PX)
    way = Image.Resampling.BOX if is_map else Image.Resampling.LANCZOS
    small.thumbnail((LONGEST_PX, LONGEST_PX), way)
    sink = io.BytesIO()
    if lossless:
        # Of a lossless picture the quality is the effort.
        small.save(sink, "WEBP", lossless=True, quality=0, method=0)
    else:
        small.save(sink, "WEBP", quality=QUALITY, method=2)
    return sink.getvalue()
