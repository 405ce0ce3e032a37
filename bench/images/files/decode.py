"""A picture file's first frame as it is stored: no colour converted, nothing cut to 8 bits."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from io import SEEK_END, BufferedReader, BytesIO, FileIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from ...errors import ImageError
from .jpeg import check_last_scan, check_scans
from .limits import (
    MAX_PIXELS,
    TOO_LARGE,
    formats_of,
    has_alpha_bits,
    is_slow,
    refuse_by_header,
    refuse_file_size,
    unidentified,
)
from .modes import Samples, to_samples
from .png import SoundPNG, check_png, is_png, still_png
from .pnm import pnm_samples
from .tiff import load_tiff
from .tiff_pages import check_pages
from .told import colours_of

Source = Path | bytes

MOST_READS = 1_000_000
_READS_A_PIXEL = 2
"""Granted besides to a decoder that is written in Python: what run-lengths may take."""

# MPO is opened as the JPEG that it begins with.
_JPEG = ("JPEG", "MPO")


_VARIANT = re.compile("(?i)unsupported|cannot handle|unknown (?:tga|pixel mode|data organi)")
"""What Pillow says of a sound file that it cannot decode."""


def read_samples(path: Path) -> Samples:
    """Decode the first frame of a file.

    Raises: ImageError, its message the reason, for anything that is not a whole picture.
    """
    try:
        _refuse_no_file(path)
        kind, pixels = _header(path)
        png = check_png(path) if kind == "PNG" else SoundPNG()
        pages = check_pages(path) if kind == "TIFF" else None
        if kind in _JPEG:
            check_scans(path.read_bytes(), pixels)
        try:
            samples = _decode(png.rewritten or path, path, pages, png.profile)
        except Exception:
            still = still_png(path) if kind == "PNG" else None
            if still is None:
                raise
            samples = _decode(still, path, pages, png.profile)
            png = replace(png, notes=(*png.notes, "damaged animation left out"))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"Cannot read {path.name}: {_cause(error, path)}.") from error
    return replace(samples, notes=(*png.notes, *samples.notes))


def _header(path: Path) -> tuple[str | None, int]:
    """Return a file's format and number of pixels.

    A PNG that Pillow does not open for its checksums or texts is opened in its plain form.

    Raises: ImageError for what its header rules out, or what Pillow raises.
    """
    try:
        with _open(path) as image:
            refuse_by_header(image, path)
            return image.format, image.width * image.height
    except ImageError:
        raise
    except Exception as error:
        if not is_png(path):
            raise
        try:
            plain = check_png(path).rewritten
        except ValueError:
            plain = None
        if plain is None:
            raise error from None
        with _open(plain) as image:
            refuse_by_header(image, path)
            return image.format, image.width * image.height


def _decode(source: Source, path: Path, pages: int | None, profile: bytes | None) -> Samples:
    """Decode the file at `path`, from `source` where that is another form of it.

    Args:
        pages: how many there are; None where Pillow is to count them, 0 where none can.
        profile: one that Pillow is not shown.
    """
    with _open(source) as image:
        if (plain := pnm_samples(image, path)) is not None:
            return plain
        raw_modes = _raw_modes(image)
        is_tiff = image.format == "TIFF"
        # Pillow turns a TIFF upright while it loads, and drops the tag.
        stored = _orientation(image) if is_tiff else None
        if is_tiff:
            load_tiff(image, path)
        else:
            image.load()
        if image.format in _JPEG:
            check_last_scan(path.read_bytes(), image)
        samples = to_samples(image, raw_modes, lambda mode: _reread(source, mode), path.name)
        if image.format == "TGA" and not has_alpha_bits(path):
            samples = replace(samples, alpha=None)
        turned = _orientation(image) if stored is None else stored
        told = colours_of(image, path, profile)
        notes = [*samples.notes, *_frame_note(image, source, pages)]
    if turned is None:
        notes.append("broken EXIF ignored")
    elif turned != 1:
        notes.append(f"EXIF orientation {turned} applied")
    orientation = 1 if is_tiff or turned is None else turned
    return replace(samples, told=told, orientation=orientation, notes=tuple(notes))


@contextmanager
def _open(source: Source) -> Generator[Image.Image]:
    """Open lazily, and silently: what Pillow warns of either is refused here or harms nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = BytesIO(source) if isinstance(source, bytes) else FileIO(source)
        with _CountedReads(raw) as file, Image.open(file, formats=formats_of(source)) as image:
            if is_slow(image):
                file.most_reads += _READS_A_PIXEL * min(image.width * image.height, MAX_PIXELS)
            yield image


class _CountedReads(BufferedReader):
    """A file that ends the endless: chains of empty frames, directories or blocks.

    Reads are counted, not seconds, so that the same file has the same verdict everywhere. None is
    given memory for more than the file holds, whatever a header claims.
    """

    def __init__(self, raw: BytesIO | FileIO) -> None:
        super().__init__(raw)  # pyright: ignore[reportArgumentType]
        self.most_reads = MOST_READS
        self._reads = 0
        self._size_bytes = self.seek(0, SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > self.most_reads:
            raise ValueError(f"it takes more than {self.most_reads} reads")
        return super().read(-1 if size is None else min(size, self._size_bytes))


def _refuse_no_file(path: Path) -> None:
    """Refuse what would block or never end: a pipe, a device; and what no memory could hold."""
    status = path.stat()
    mode = status.st_mode
    if not S_ISREG(mode):
        what = "a folder" if S_ISDIR(mode) else "a pipe, socket or device"
        raise ImageError(f"Cannot read {path.name}: it is {what}, not a picture's file.")
    refuse_file_size(path, status.st_size)


def _cause(error: Exception, path: Path) -> str:
    """Say in words why a file cannot be used.

    Pillow's plugins raise whatever a damaged file trips: SyntaxError, struct.error, TypeError, …
    """
    match error:
        case FileNotFoundError():
            return "it is a link to no file" if path.is_symlink() else "there is no such file"
        case PermissionError():
            return "reading it is not permitted"
        case OSError(errno=errno.ELOOP):
            return "it is a link to itself"
        case OSError(errno=errno.ENAMETOOLONG):
            return "its path is longer than the system takes"
        case UnidentifiedImageError():
            return unidentified(path)
        case Image.DecompressionBombError():
            return TOO_LARGE
        case MemoryError():
            return "memory ran out"
        case _ if _VARIANT.match(str(error)):
            return f"this variant cannot be decoded here ({error}): convert it to PNG"
        case AssertionError() | KeyError():
            return "it is damaged or cut short (something that it refers to is missing)"
        case _:
            detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            return f"it is damaged or cut short ({detail})"


def _raw_modes(image: Image.Image) -> tuple[str, ...]:
    """Return the raw mode of each of the file's tiles, before loading consumes them."""
    tiles: list[Any] = getattr(image, "tile", [])
    modes = (tile[3] if isinstance(tile[3], str) else (tile[3] or ("",))[0] for tile in tiles)
    return tuple(mode for mode in modes if isinstance(mode, str))


def _orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation; None where the EXIF cannot be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _frame_note(image: Image.Image, source: Source, pages: int | None) -> list[str]:
    # Asked of the picture itself, a property would count them here, and may fail.
    if not (hasattr(type(image), "n_frames") or "n_frames" in vars(image)):
        return []
    try:
        with _open(source) as again:
            count: int = getattr(again, "n_frames", 1) if pages is None else pages
    except Exception:
        # A damaged later frame does not matter: only the first is used, and it has been decoded.
        return ["first of several frames (the count is unreadable)"]
    if count == 0:
        return ["first of several frames (the count is unreadable)"]
    return [f"first of {count} frames"] if count > 1 else []


def _reread(source: Source, raw_mode: str) -> NDArray[Any]:
    """Decode the file once more, unpacking its samples as another raw mode."""
    with _open(source) as image:
        opened: Any = image
        opened.tile = [
            tile._replace(args=raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:]))
            for tile in opened.tile
        ]
        image.load()
        return np.asarray(image)
