"""Which formats are read, what a header rules out before a pixel is decoded, and in which words."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ...errors import ImageError

_BY_MARK = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "GIF", "BMP", "PPM")
READ = (*_BY_MARK, "TGA")
"""The formats that are read, as Pillow calls them."""

# EPS would start Ghostscript; the others are stubs that Pillow recognises but cannot decode.
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_UNKNOWN_TO_PILLOW = {"JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ", "HEIC": b"....ftyphe"}

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header; a 61-megapixel camera's still pass.

At 16 bits and with alpha, reading that many stays within 2 GB.
"""

MAX_SLOW_PIXELS = 2_000_000
"""The limit of what Pillow decodes in Python, pixel by pixel: within 10 s on one core.

The slowest, PNM with alpha, takes up to 5 µs a pixel.
"""

MOST_COMMENTS = 10_000
"""Of a plain PNM file: Pillow copies up to a megabyte for each."""

TOO_LARGE = f"its header claims more pixels than the limit, {MAX_PIXELS // 1_000_000} megapixels"


def formats_of(source: Path | bytes) -> tuple[str, ...]:
    """Return the formats of which a file may be; TGA has no mark, so a file is one by its name."""
    is_tga = isinstance(source, Path) and source.suffix.lower() == ".tga"
    return READ if is_tga else _BY_MARK


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes, lower case with their dot, of a folder's pictures.

    Those of formats that are not read are among them, so that such a picture is told, not lost.
    """
    registered = Image.registered_extensions()
    # MPO is opened as the JPEG that it begins with.
    pictures = {*Image.ID, "MPO"} - _NO_PICTURES
    known = {suffix for suffix, name in registered.items() if name in pictures}
    return frozenset(known | {".heic", ".jxl"})


def unidentified(path: Path) -> str:
    """Say of a file that no decoder takes what it is."""
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "the file is empty"
    name = _format_of(head.ljust(16, b"\0"), path.suffix.lower())
    if name is None:
        return "it is no picture, or its header is damaged"
    if name not in READ:
        return f"its format is {name}, which is not read: convert it to PNG"
    return (
        f"its format is {name}, but its header is damaged, or its kind of samples, layout or "
        "compression cannot be decoded here: convert it to PNG"
    )


def _format_of(head: bytes, suffix: str) -> str | None:
    """Return the format whose mark a file begins with; its suffix's where that has none."""
    for name, mark in _UNKNOWN_TO_PILLOW.items():
        if re.match(mark, head, re.DOTALL):
            return name
    named = Image.registered_extensions().get(suffix)
    # The marks of some formats that are not read are short: CUR's is how many TGA begin.
    for name in (*_BY_MARK, named, *Image.ID):
        if name in Image.OPEN and name not in _NO_PICTURES:
            has_mark = Image.OPEN[name][1]
            if has_mark(head) if has_mark else name == named:
                return name
    return None


def decoder_name(image: Image.Image) -> str:
    """Return the name of an opened picture's first decoder; empty where it has none."""
    tiles: list[Any] = getattr(image, "tile", [])
    return tiles[0][0] if tiles else ""


def is_scaled_pnm(image: Image.Image) -> bool:
    """Return whether an opened picture is a PNM that `pnm_samples` reads in Pillow's place."""
    return decoder_name(image) == "ppm" and image.mode in ("L", "I", "RGB")


def is_slow(image: Image.Image) -> bool:
    """Return whether an opened picture's decoder is one that Pillow has in Python."""
    return decoder_name(image) in Image.DECODERS and not is_scaled_pnm(image)


def refuse_by_header(image: Image.Image, path: Path) -> None:
    """Refuse what is too large, and what Pillow would cut to 8 bits.

    Raises: ImageError, its message the reason.
    """
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ImageError(f"Cannot read {path.name}: {TOO_LARGE}.")
    if is_slow(image) and pixels > MAX_SLOW_PIXELS:
        raise ImageError(
            f"Cannot read {path.name}: it has {pixels / 1e6:.1f} megapixels, and its kind of "
            f"{image.format} is read up to {MAX_SLOW_PIXELS // 1_000_000}, because its decoder is "
            "slow. Convert it to PNG."
        )
    if decoder_name(image) == "ppm_plain" and path.read_bytes().count(b"#") > MOST_COMMENTS:
        raise ImageError(f"Cannot read {path.name}: it has more than {MOST_COMMENTS} comments.")
    if _would_be_cut(image, path):
        raise ImageError(
            f"Cannot read {path.name}: it has more than 8 bits a sample in a layout of "
            f"{image.format} that would be cut to 8. Save it as a 16-bit PNG."
        )


def _would_be_cut(image: Image.Image, path: Path) -> bool:
    if image.format == "JPEG2000" and image.mode in ("LA", "RGB", "RGBA"):
        return max(jpeg2000_precisions(path.read_bytes()), default=8) > 8
    if image.format == "TIFF":
        tags: Any = image.getexif()
        bits = tags.get(ExifTags.Base.BitsPerSample, 8)
        return tags.get(ExifTags.Base.PlanarConfiguration) == 2 and bits != 8 and max(bits) > 8
    return False


def jpeg2000_precisions(data: bytes) -> tuple[int, ...]:
    """Return the bits of each component from a JPEG 2000 codestream's SIZ segment."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return ()
    size = data[at + 4 :]
    count = int.from_bytes(size[36:38], "big")
    return tuple((size[38 + 3 * index] & 0x7F) + 1 for index in range(count))
