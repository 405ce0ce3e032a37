"""What a picture's first bytes rule out, before a pixel is decoded, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ...errors import ImageError

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header; a 61-megapixel camera's still pass.

At 16 bits and with alpha, reading that many stays within 2 GB.
"""

MAX_SLOW_PIXELS = 2_000_000
"""The limit of what Pillow decodes in Python, pixel by pixel: within 10 s on one core.

The slowest, QOI and DDS, take up to 5 µs a pixel.
"""

MOST_COMMENTS = 10_000
"""Of a plain PNM file: Pillow copies up to a megabyte for each."""

TOO_LARGE = f"its header claims more pixels than the limit, {MAX_PIXELS // 1_000_000} megapixels"

_PALETTE_BYTES, _PALETTE_MARK = 769, 0x0C

_MAGICS = {
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"II+\0": "a BigTIFF",
    b"MM\0+": "a BigTIFF",
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG\r\n\x1a\n": "a PNG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"8BPS": "a Photoshop file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000",
    b"\xff\x4f\xff\x51": "a JPEG 2000",
    b"\xff\x0a": "a JPEG XL",
    b"\0\0\0\x0cJXL ": "a JPEG XL",
}


def unidentified(path: Path) -> str:
    """Say of a file that no decoder takes what it is, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        return "the file is empty"
    kind = next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), None)
    if kind is None:
        return "it is no picture, or its header is damaged"
    return (
        f"it begins like {kind}, but its header is damaged, or its kind of samples, layout or "
        "compression cannot be decoded here: convert it to PNG"
    )


def is_slow(image: Image.Image) -> bool:
    """Return whether an opened picture's decoder is one that Pillow has in Python."""
    return decoder_name(image) in Image.DECODERS


def decoder_name(image: Image.Image) -> str:
    """Return the name of an opened picture's first decoder; empty where it has none."""
    tiles: list[Any] = getattr(image, "tile", [])
    return tiles[0][0] if tiles else ""


def refuse_by_header(image: Image.Image, path: Path) -> None:
    """Refuse what is too large, what Pillow would cut to 8 bits, and what lacks its palette.

    Raises: ImageError, its message the reason.
    """
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ImageError(f"Cannot read {path.name}: {TOO_LARGE}.")
    if decoder_name(image) != "ppm" and is_slow(image) and pixels > MAX_SLOW_PIXELS:
        raise ImageError(
            f"Cannot read {path.name}: it has {pixels / 1e6:.1f} megapixels, and its kind of "
            f"{image.format} is read up to {MAX_SLOW_PIXELS // 1_000_000}, because its decoder is "
            "slow. Convert it to PNG."
        )
    if decoder_name(image) == "ppm_plain" and path.read_bytes().count(b"#") > MOST_COMMENTS:
        raise ImageError(f"Cannot read {path.name}: it has more than {MOST_COMMENTS} comments.")
    if image.format == "PCX" and not _has_palette(path):
        raise ImageError(
            f"Cannot read {path.name}: it is damaged or cut short (its palette is missing)."
        )
    if _would_be_cut(image, path):
        raise ImageError(
            f"Cannot read {path.name}: it has more than 8 bits a sample in a layout of "
            f"{image.format} that would be cut to 8. Save it as a 16-bit PNG."
        )


def _would_be_cut(image: Image.Image, path: Path) -> bool:
    if image.format == "SGI":
        with path.open("rb") as file:
            return file.read(4)[3] == 2
    if image.format == "JPEG2000" and image.mode in ("LA", "RGB", "RGBA"):
        return max(jpeg2000_precisions(path.read_bytes()), default=8) > 8
    if image.format == "TIFF":
        tags: Any = image.getexif()
        bits = tags.get(ExifTags.Base.BitsPerSample, 8)
        return tags.get(ExifTags.Base.PlanarConfiguration) == 2 and bits != 8 and max(bits) > 8
    return False


def _has_palette(path: Path) -> bool:
    """Whether a PCX ends with the palette that 8 bits in a single plane need."""
    data = path.read_bytes()
    version, bits, planes = data[1], data[3], data[65]
    if (version, bits, planes) != (5, 8, 1):
        return True
    return len(data) > _PALETTE_BYTES and data[-_PALETTE_BYTES] == _PALETTE_MARK


def jpeg2000_precisions(data: bytes) -> tuple[int, ...]:
    """Return the bits of each component from a JPEG 2000 codestream's SIZ segment."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return ()
    size = data[at + 4 :]
    count = int.from_bytes(size[36:38], "big")
    return tuple((size[38 + 3 * index] & 0x7F) + 1 for index in range(count))
