"""A picture file's first frame as it is stored: no colour converted, nothing cut to 8 bits."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from .errors import ImageError

MAX_PIXELS = 120_000_000
"""Larger pictures are refused from their header; a 100-megapixel camera's still pass."""

_TOO_LARGE = f"its header claims more pixels than the limit, {MAX_PIXELS // 1_000_000} megapixels"

Space = Literal["gray", "rgb", "cmyk", "lab"]

# EPS would start Ghostscript; the others are stubs that Pillow recognises but cannot decode.
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

# A raw mode names the order of a 16-bit sample's two bytes, and Pillow keeps the high one.
_DEEP = re.compile(r"(RGB|RGBA|RGBX|RGBa|LA|CMYK);16([BLN])")
_SIGNED = re.compile(r"I;16[BN]?S")


@dataclass(frozen=True)
class Samples:
    """A decoded frame: uint8 or uint16 `colour` [H, W, C] and, where there is one, `alpha` [H, W].

    `orientation` is the EXIF value (1..8) that is still to be applied; alpha is not premultiplied.
    """

    colour: NDArray[Any]
    space: Space
    alpha: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    profile: bytes | None = None
    orientation: int = 1


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the file suffixes, lower case with their dot, that can be read."""
    registered = Image.registered_extensions()
    readable = _readable_formats()
    return frozenset(suffix for suffix, name in registered.items() if name in readable)


def read_samples(path: Path) -> Samples:
    """Decode the first frame of a file.

    Raises: ImageError, its message the reason, for anything that is not a whole picture.
    """
    try:
        with _open(path) as image:
            _refuse_unreadable(image, path)
            raw_modes = _raw_modes(image)
            stored = _orientation(image) if image.format == "TIFF" else None
            image.load()
            samples = _samples(image, raw_modes, path)
            # Pillow turns a TIFF upright while it loads, and drops the tag.
            orientation = _orientation(image) if stored is None else 1
            profile = image.info.get("icc_profile") or None
            notes = [*samples.notes, *_frame_note(image, path), *_gamma_note(image, profile)]
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"Cannot read {path.name}: {_cause(error, path)}.") from error
    if (turned := stored or orientation) != 1:
        notes.append(f"EXIF orientation {turned} applied")
    return replace(samples, profile=profile, orientation=orientation, notes=tuple(notes))


@contextmanager
def _open(path: Path) -> Generator[Image.Image]:
    """Open lazily, and silently: what Pillow warns of either is refused here or harms nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=_readable_formats()) as image:
            yield image


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
            return "there is no such file"
        case PermissionError():
            return "reading it is not permitted"
        case UnidentifiedImageError():
            empty = path.stat().st_size == 0
            return "the file is empty" if empty else "it is no picture, or its header is damaged"
        case Image.DecompressionBombError():
            return _TOO_LARGE
        case MemoryError():
            return "memory ran out"
        case _:
            detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            return f"it is damaged or cut short ({detail})"


def _refuse_unreadable(image: Image.Image, path: Path) -> None:
    """Refuse, from the header alone, what is too large or what Pillow would cut to 8 bits."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"Cannot read {path.name}: {_TOO_LARGE}.")
    with path.open("rb") as file:
        head = file.read(16)
    if head[12:] == b"CgBI":
        raise ImageError(
            f"Cannot read {path.name}: it is a PNG rewritten for iOS (CgBI). Turn it back with "
            "pngcrush -revert-iphone-optimizations."
        )
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


def _frame_note(image: Image.Image, path: Path) -> list[str]:
    if not hasattr(image, "n_frames"):
        return []
    try:
        with _open(path) as again:
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


def _samples(image: Image.Image, raw_modes: tuple[str, ...], path: Path) -> Samples:
    """Split a loaded image into colour and alpha by its mode."""
    if raw_modes and (deep := _DEEP.fullmatch(raw_modes[0])) and image.format in ("PNG", "TIFF"):
        return _deep_samples(image, deep[1], deep[2], path)
    mode = image.mode
    if mode == "I" or mode.startswith("I;16") or mode == "F":
        return _single_channel(image, raw_modes, path)
    notes: tuple[str, ...] = ()
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        notes = ("palette expanded",)
    elif mode == "1":
        image = _converted(image, "L")
        notes = ("bilevel widened to 8 bits",)
    elif mode in ("YCbCr", "HSV", "RGBX"):
        image = image.convert("RGB")
        notes = (f"{mode} converted to RGB",) if mode != "RGBX" else ()
    elif mode in ("La", "RGBa"):
        image = image.convert("LA" if mode == "La" else "RGBA")
    pixels = np.asarray(image)
    match image.mode:
        case "L":
            return Samples(pixels[..., None], "gray", _keyed(image, pixels[..., None]), notes)
        case "LA":
            return Samples(pixels[..., :1], "gray", pixels[..., 1], notes)
        case "RGB":
            return Samples(pixels, "rgb", _keyed(image, pixels), notes)
        case "RGBA":
            return Samples(pixels[..., :3], "rgb", pixels[..., 3], notes)
        case "CMYK":
            return Samples(pixels, "cmyk", None, notes)
        case "LAB":
            return Samples(pixels, "lab", None, notes)
        case other:
            raise ImageError(f"Cannot read {path.name}: pixels of mode {other} are not supported.")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Convert, but leave a transparent colour to `_keyed`: Pillow would remap or drop it."""
    transparency = image.info.get("transparency")
    converted = image.convert(mode)
    converted.info["transparency"] = transparency
    return converted


def _keyed(image: Image.Image, pixels: NDArray[Any]) -> NDArray[Any] | None:
    """Return the alpha that a single transparent colour (PNG's tRNS, GIF) stands for."""
    key = image.info.get("transparency")
    if not isinstance(key, int | tuple):
        return None
    opaque = (pixels != np.asarray(key)).any(axis=-1)
    return opaque * np.asarray(np.iinfo(pixels.dtype).max, pixels.dtype)


def _single_channel(image: Image.Image, raw_modes: tuple[str, ...], path: Path) -> Samples:
    """Scale integers of more than 8 bits, and floats, to 16-bit grey."""
    values = np.asarray(image)
    if image.mode == "F":
        return _float_samples(values, path)
    full = 32767 if raw_modes and _SIGNED.fullmatch(raw_modes[0]) else 65535
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > full:
        raise ImageError(
            f"Cannot read {path.name}: its samples run from {low} to {high}, "
            f"expected 0 to {full}. Save it as a 16-bit PNG."
        )
    gray = values.astype(np.uint16)[..., None]
    alpha = _keyed(image, gray)
    if full == 32767:
        gray = ((gray.astype(np.uint32) * 65535 + 16383) // 32767).astype(np.uint16)
    return Samples(gray, "gray", alpha, ("16-bit scaled to 8",))


def _float_samples(values: NDArray[Any], path: Path) -> Samples:
    """Take floats up to 1 as [0, 1] and floats up to 255 as 8-bit levels; refuse the rest."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):
        raise ImageError(
            f"Cannot read {path.name}: its float samples run from {low:g} to {high:g}, "
            "expected 0 to 1 or 0 to 255. Scale them first."
        )
    full = 1.0 if high <= 1 else 255.0
    gray = np.rint(values.astype(np.float64) * (65535 / full)).astype(np.uint16)[..., None]
    return Samples(gray, "gray", None, (f"float samples in 0..{full:g} scaled to 8 bits",))


def _deep_samples(image: Image.Image, layout: str, order: str, path: Path) -> Samples:
    """Put 16-bit samples together from a second pass that reads the other byte of each.

    Pillow has no mode for 16-bit colour: its decoders keep one byte of each sample. Told the
    opposite byte order, the same decoder (filters, interlacing, compression) keeps the other.
    """
    if layout == "LA":
        # Four bytes a pixel, which "RGBA" takes as they come: grey high, low, alpha high, low.
        four = _reread(path, "RGBA").astype(np.uint16)
        pixels = four[..., 0::2] << 8 | four[..., 1::2]
    else:
        native = "L" if sys.byteorder == "little" else "B"
        high = native if order == "N" else order
        low = "B" if high == "L" else "L"
        # Left to itself Pillow divides premultiplied colour by alpha at 8 bits.
        layout_read = "RGBA" if layout == "RGBa" else layout
        first = _reread(path, f"{layout_read};16{high}") if layout == "RGBa" else np.asarray(image)
        pixels = first.astype(np.uint16) << 8 | _reread(path, f"{layout_read};16{low}")
    notes = ("16-bit scaled to 8",)
    if layout == "CMYK":
        return Samples(pixels, "cmyk", None, notes)
    if layout in ("RGB", "RGBX"):
        return Samples(pixels, "rgb", _keyed(image, pixels), notes)
    colour, alpha = pixels[..., :-1], pixels[..., -1]
    if layout == "RGBa":
        divisor = np.maximum(alpha, 1)[..., None].astype(np.uint32)
        scaled = (colour.astype(np.uint32) * 65535 + divisor // 2) // divisor
        colour = np.minimum(scaled, 65535).astype(np.uint16)
    return Samples(colour, "gray" if layout == "LA" else "rgb", alpha, notes)


def _reread(path: Path, raw_mode: str) -> NDArray[Any]:
    """Decode the file once more, unpacking its samples as another raw mode."""
    with _open(path) as image:
        opened: Any = image
        opened.tile = [
            tile._replace(args=raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:]))
            for tile in opened.tile
        ]
        image.load()
        return np.asarray(image)
