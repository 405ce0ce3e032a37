"""A loaded picture's pixels, of whatever mode, as colour and alpha with every bit they have."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ...errors import ImageError
from .told import SRGB_TOLD, Told

Space = Literal["gray", "rgb", "cmyk", "lab"]
Reread = Callable[[str], NDArray[Any]]
"""Decodes the file again, unpacking its samples as another raw mode."""

# A raw mode names the order of a 16-bit sample's two bytes, and Pillow keeps the high one.
_DEEP = re.compile(r"(RGB|RGBA|RGBX|RGBa|LA|CMYK);16([BLN])")
_SIGNED = re.compile(r"I;16[BN]?S")
# What Pillow multiplies a PNG's grey of fewer bits by, but not its transparent colour.
_WIDENED = {"L;2": 85, "L;4": 17}
_WHITE_IS_ZERO = 0
_SIGNED_SAMPLES = 2


@dataclass(frozen=True)
class Samples:
    """A decoded frame: uint8 or uint16 `colour` [H, W, C] and, where there is one, `alpha` [H, W].

    `told` is what decides its colours, `orientation` the EXIF value (1..8) that is still to be
    applied; alpha is not premultiplied.
    """

    colour: NDArray[Any]
    space: Space
    alpha: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    told: Told = SRGB_TOLD
    orientation: int = 1


def row_blocks(count: int) -> Iterator[slice]:
    """Yield a few of `count` rows at a time: all at once, each step would copy a whole picture."""
    for top in range(0, count, 256):
        yield slice(top, top + 256)


def to_samples(
    image: Image.Image, raw_modes: tuple[str, ...], reread: Reread, name: str
) -> Samples:
    """Split a loaded image into colour and alpha by its mode.

    Args:
        raw_modes: of its tiles, as they were before it was loaded.
        name: what messages call the file.
    Raises: ImageError for samples whose range cannot be known, and for modes of no picture.
    """
    if raw_modes and (deep := _DEEP.fullmatch(raw_modes[0])) and image.format in ("PNG", "TIFF"):
        return _deep_samples(image, deep[1], deep[2], reread)
    mode = image.mode
    if mode == "I" or mode.startswith("I;16") or mode == "F":
        return _single_channel(image, raw_modes, name)
    notes: tuple[str, ...] = ()
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        notes = ("palette expanded",)
    elif mode == "1":
        # Pillow would remap or drop a transparent colour, which is left to `_keyed`.
        transparency = image.info.get("transparency")
        image = image.convert("L")
        image.info["transparency"] = transparency
        notes = ("bilevel widened to 8 bits",)
    elif mode in ("YCbCr", "RGBX"):
        image = image.convert("RGB")
        notes = ("YCbCr converted to RGB",) if mode == "YCbCr" else ()
    elif mode in ("La", "RGBa"):
        image = image.convert(mode.upper())
    pixels = np.asarray(image)
    match image.mode:
        case "L" if _is_signed(image):
            signed = pixels.view(np.int8)
            low, high = int(signed.min()), int(signed.max())
            if low < 0:
                raise _out_of_range(name, low, high, 127)
            gray = scaled(pixels[..., None], 127, 255)
            return Samples(gray, "gray", None, ("signed 8-bit samples of 0 to 127 scaled",))
        case "L":
            factor = _WIDENED.get(raw_modes[0], 1) if raw_modes else 1
            alpha = _keyed(image, pixels[..., None], factor)
            return Samples(pixels[..., None], "gray", alpha, notes)
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
            raise ImageError(f"Cannot read {name}: pixels of mode {other} are not supported.")


def _keyed(image: Image.Image, pixels: NDArray[Any], factor: int = 1) -> NDArray[Any] | None:
    """Return the alpha that a single transparent colour (PNG's tRNS, GIF) stands for.

    `factor` is what the pixels were multiplied by since that colour was written.
    """
    key = image.info.get("transparency")
    if not isinstance(key, int | tuple):
        return None
    opaque = (pixels != np.asarray(key) * factor).any(axis=-1)
    return opaque * np.asarray(np.iinfo(pixels.dtype).max, pixels.dtype)


def _single_channel(image: Image.Image, raw_modes: tuple[str, ...], name: str) -> Samples:
    """Scale integers of more than 8 bits, and floats, to 16-bit grey."""
    # Pillow turns white-is-zero round in 8 bits and less alone.
    tags: Any = getattr(image, "tag_v2", {})
    is_inverted = tags.get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO
    values = np.asarray(image)
    if image.mode == "F":
        return _float_samples(values, name, is_inverted)
    raw_mode = raw_modes[0] if raw_modes else image.mode
    full = 4095 if raw_mode == "I;12" else 32767 if _SIGNED.fullmatch(raw_mode) else 65535
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > full:
        raise _out_of_range(name, low, high, full)
    gray = values.astype(np.uint16)[..., None]
    alpha = _keyed(image, gray)
    if is_inverted:
        gray = full - gray
    if full < 65535:
        gray = scaled(gray, full, 65535)
    if full == 4095:
        note = "12-bit scaled to 8"
    elif image.mode == "I" and ";16" not in raw_mode:
        note = "32-bit samples, taken as 0 to 65535, scaled to 8"
    else:
        note = "16-bit scaled to 8"
    return Samples(gray, "gray", alpha, (note,))


def _is_signed(image: Image.Image) -> bool:
    """Return whether a TIFF's samples are signed; of 8 bits Pillow reads them as unsigned."""
    tags: Any = getattr(image, "tag_v2", {})
    return tags.get(ExifTags.Base.SampleFormat, (1,))[0] == _SIGNED_SAMPLES


def _out_of_range(name: str, low: int, high: int, full: int) -> ImageError:
    return ImageError(
        f"Cannot read {name}: its samples run from {low} to {high}, "
        f"expected 0 to {full}. Save it as a 16-bit PNG."
    )


def scaled(samples: NDArray[Any], full: int, full_after: Literal[255, 65535]) -> NDArray[Any]:
    """Return integers of 0..full as 0..full_after, rounded: uint8 or uint16."""
    result = np.empty(samples.shape, np.uint8 if full_after == 255 else np.uint16)
    for rows in row_blocks(len(samples)):
        result[rows] = (samples[rows].astype(np.uint32) * full_after + full // 2) // full
    return result


def _float_samples(values: NDArray[Any], name: str, is_inverted: bool) -> Samples:
    """Take floats up to 1 as [0, 1] and floats up to 255 as 8-bit levels; refuse the rest."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):
        raise ImageError(
            f"Cannot read {name}: its float samples run from {low:g} to {high:g}, "
            "expected 0 to 1 or 0 to 255. Scale them first."
        )
    full = 1.0 if high <= 1 else 255.0
    gray = np.empty((*values.shape, 1), np.uint16)
    for rows in row_blocks(len(values)):
        light = values[rows].astype(np.float64)
        gray[rows, :, 0] = np.rint((full - light if is_inverted else light) * (65535 / full))
    return Samples(gray, "gray", None, (f"float samples in 0..{full:g} scaled to 8 bits",))


def _deep_samples(image: Image.Image, layout: str, order: str, reread: Reread) -> Samples:
    """Put 16-bit samples together from a second pass that reads the other byte of each.

    Pillow has no mode for 16-bit colour: its decoders keep one byte of each sample. Told the
    opposite byte order, the same decoder (filters, interlacing, compression) keeps the other.
    """
    if layout == "LA":
        # Four bytes a pixel, which "RGBA" takes as they come: grey high, low, alpha high, low.
        pixels = np.ascontiguousarray(reread("RGBA")).view(">u2").astype(np.uint16)
    else:
        native = "L" if sys.byteorder == "little" else "B"
        high = native if order == "N" else order
        low = "B" if high == "L" else "L"
        # Left to itself Pillow divides premultiplied colour by alpha at 8 bits.
        layout_read = "RGBA" if layout == "RGBa" else layout
        first = reread(f"{layout_read};16{high}") if layout == "RGBa" else np.asarray(image)
        pixels = first.astype(np.uint16)
        pixels <<= 8
        del first
        pixels |= reread(f"{layout_read};16{low}")
    notes = ("16-bit scaled to 8",)
    if layout == "CMYK":
        return Samples(pixels, "cmyk", None, notes)
    if layout in ("RGB", "RGBX"):
        return Samples(pixels, "rgb", _keyed(image, pixels), notes)
    colour, alpha = pixels[..., :-1], pixels[..., -1]
    if layout == "RGBa":
        colour = _unmultiplied(colour, alpha)
    return Samples(colour, "gray" if layout == "LA" else "rgb", alpha, notes)


def _unmultiplied(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide premultiplied uint16 by alpha, rounded; where alpha is 0 they pass."""
    plain = np.empty_like(colour)
    for rows in row_blocks(len(colour)):
        divisor = np.maximum(alpha[rows, :, None], 1).astype(np.uint32)
        divided = (colour[rows].astype(np.uint32) * 65535 + divisor // 2) // divisor
        plain[rows] = np.minimum(divided, 65535)
    return plain
