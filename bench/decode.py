"""A picture file's first frame as it is stored: no colour converted, nothing cut to 8 bits."""

from __future__ import annotations

import errno
import functools
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

from .errors import ImageError
from .jpeg_scans import check_last_scan, check_scans
from .pixel_modes import Samples, from_ios, to_samples
from .png_stream import SoundPNG, check_png, still_png

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header; a 61-megapixel camera's still pass.

At 16 bits and with alpha, reading that many stays within 2 GB.
"""

_TOO_LARGE = f"its header claims more pixels than the limit, {MAX_PIXELS // 1_000_000} megapixels"

Source = Path | bytes

MOST_READS = 1_000_000

_JPEG = ("JPEG", "MPO")

# EPS would start Ghostscript; the others are stubs that Pillow recognises but cannot decode.
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the file suffixes, lower case with their dot, that can be read."""
    registered = Image.registered_extensions()
    # MPO is opened as the JPEG that it begins with.
    readable = {*_readable_formats(), "MPO"}
    return frozenset(suffix for suffix, name in registered.items() if name in readable)


def read_samples(path: Path) -> Samples:
    """Decode the first frame of a file.

    Raises: ImageError, its message the reason, for anything that is not a whole picture.
    """
    try:
        _refuse_no_file(path)
        with _open(path) as image:
            _refuse_unreadable(image, path)
            kind, pixels = image.format, image.width * image.height
        png = check_png(path) if kind == "PNG" else SoundPNG()
        if kind in _JPEG:
            check_scans(path, pixels)
        try:
            samples = _decode(png.rewritten or path, path)
        except Exception:
            still = still_png(path) if kind == "PNG" else None
            if still is None:
                raise
            samples = _decode(still, path)
            png = replace(png, notes=(*png.notes, "damaged animation left out"))
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"Cannot read {path.name}: {_cause(error, path)}.") from error
    if png.is_ios:
        samples = from_ios(samples)
    return replace(samples, notes=(*png.notes, *samples.notes))


def _decode(source: Source, path: Path) -> Samples:
    """Decode the file at `path`, from `source` where that is another form of it."""
    with _open(source) as image:
        raw_modes = _raw_modes(image)
        stored = _orientation(image) if image.format == "TIFF" else None
        image.load()
        if image.format in _JPEG:
            check_last_scan(path, image)
        samples = to_samples(image, raw_modes, lambda mode: _reread(source, mode), path.name)
        # Pillow turns a TIFF upright while it loads, and drops the tag.
        orientation = _orientation(image) if stored is None else 1
        profile = image.info.get("icc_profile") or None
        notes = [*samples.notes, *_frame_note(image, source), *_gamma_note(image, profile)]
    if (turned := stored or orientation) != 1:
        notes.append(f"EXIF orientation {turned} applied")
    return replace(samples, profile=profile, orientation=orientation, notes=tuple(notes))


@contextmanager
def _open(source: Source) -> Generator[Image.Image]:
    """Open lazily, and silently: what Pillow warns of either is refused here or harms nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = BytesIO(source) if isinstance(source, bytes) else FileIO(source)
        with (
            _CountedReads(raw) as file,
            Image.open(file, formats=_readable_formats()) as image,
        ):
            yield image


class _CountedReads(BufferedReader):
    """A file that ends the endless: chains of empty frames, directories or blocks.

    Reads are counted, not seconds, so that the same file has the same verdict everywhere. None is
    given memory for more than the file holds, whatever a header claims.
    """

    def __init__(self, raw: BytesIO | FileIO) -> None:
        super().__init__(raw)  # pyright: ignore[reportArgumentType]
        self._reads = 0
        self._size_bytes = self.seek(0, SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > MOST_READS:
            raise ValueError(f"it takes more than {MOST_READS} reads")
        return super().read(-1 if size is None else min(size, self._size_bytes))


def _refuse_no_file(path: Path) -> None:
    """Refuse what would block or never end: a pipe, a device."""
    mode = path.stat().st_mode
    if not S_ISREG(mode):
        what = "a folder" if S_ISDIR(mode) else "a pipe, socket or device"
        raise ImageError(f"Cannot read {path.name}: it is {what}, not a picture's file.")


@functools.cache
def _readable_formats() -> tuple[str, ...]:
    """Return the formats in the order in which Pillow tries them: the least particular last."""
    Image.init()
    return tuple(name for name in Image.ID if name not in _NO_PICTURES)


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
        case UnidentifiedImageError():
            empty = path.stat().st_size == 0
            return "the file is empty" if empty else "it is no picture, or its header is damaged"
        case Image.DecompressionBombError():
            return _TOO_LARGE
        case MemoryError():
            return "memory ran out"
        case _ if "MAX_TEXT_CHUNK" in str(error) or "MAX_TEXT_MEMORY" in str(error):
            return "a text or colour profile in it unpacks to more than 1 MB"
        case _:
            detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            return f"it is damaged or cut short ({detail})"


def _refuse_unreadable(image: Image.Image, path: Path) -> None:
    """Refuse, from the header alone, what is too large or what Pillow would cut to 8 bits."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"Cannot read {path.name}: {_TOO_LARGE}.")
    with path.open("rb") as file:
        head = file.read(16)
    cut = False
    if image.format == "SGI":
        cut = head[3] == 2
    elif image.format == "JPEG2000" and image.mode in ("LA", "RGB", "RGBA"):
        cut = max(jpeg2000_precisions(path.read_bytes()), default=8) > 8
    elif image.format == "TIFF":
        tags: Any = image.getexif()
        bits = tags.get(ExifTags.Base.BitsPerSample, 8)
        cut = tags.get(ExifTags.Base.PlanarConfiguration) == 2 and bits != 8 and max(bits) > 8
    if cut:
        raise ImageError(
            f"Cannot read {path.name}: it has more than 8 bits a sample in a layout of "
            f"{image.format} that would be cut to 8. Save it as a 16-bit PNG."
        )


def jpeg2000_precisions(data: bytes) -> tuple[int, ...]:
    """Return the bits of each component from a JPEG 2000 codestream's SIZ segment."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return ()
    size = data[at + 4 :]
    count = int.from_bytes(size[36:38], "big")
    return tuple((size[38 + 3 * index] & 0x7F) + 1 for index in range(count))


def _raw_modes(image: Image.Image) -> tuple[str, ...]:
    """Return the raw mode of each of the file's tiles, before loading consumes them."""
    tiles: list[Any] = getattr(image, "tile", [])
    modes = (tile[3] if isinstance(tile[3], str) else (tile[3] or ("",))[0] for tile in tiles)
    return tuple(mode for mode in modes if isinstance(mode, str))


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _frame_note(image: Image.Image, source: Source) -> list[str]:
    # Asked of the picture itself, a property would count them here, and may fail.
    if not (hasattr(type(image), "n_frames") or "n_frames" in vars(image)):
        return []
    try:
        with _open(source) as again:
            count: int = getattr(again, "n_frames", 1)
    except Exception:
        # A damaged later frame does not matter: only the first is used, and it has been decoded.
        return ["first of several frames (the count is unreadable)"]
    return [f"first of {count} frames"] if count > 1 else []


def _gamma_note(image: Image.Image, profile: bytes | None) -> list[str]:
    gamma = image.info.get("gamma")
    if profile or "srgb" in image.info or not isinstance(gamma, float):
        return []
    return [f"PNG gamma {gamma:.5g} not applied"] if abs(gamma - 0.45455) > 0.005 else []


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
