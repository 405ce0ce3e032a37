"""Which formats are read, what a header rules out before a pixel is decoded, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin

from ...errors import ImageError
from .marks import BY_MARK, HEAD_BYTES, HEIF_EXTRA, READ, format_of, named_format, opens_heif
from .tiff import no_compression
from .tiff_pages import first_compression

_DECODED = {0, *TiffImagePlugin.COMPRESSION_INFO}
"""Compressions of TIFF that Pillow knows; 0 is none that could be read."""

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header; a 61-megapixel camera's still pass.

At 16 bits and with alpha, reading that many stays within 2 GB.
"""

MAX_BYTES, MAX_WHOLE_BYTES = 1_000_000_000, 300_000_000
"""Of a file, and of one in a format that its decoder holds in memory, often twice. 64 megapixels of
16 bits with alpha have 512 MB without compression, and a JPEG of quality 100 less than 200."""
_READ_IN_PIECES = ("PNG", "TIFF", "BMP", "PPM", "TGA")

MAX_SLOW_PIXELS = 2_000_000
"""The limit of what Pillow decodes in Python, pixel by pixel: within 10 s on one core.

The slowest, PNM with alpha, takes up to 5 µs a pixel.
"""

MOST_COMMENTS = 10_000
"""Of a plain PNM file: Pillow copies up to a megabyte for each."""

TOO_LARGE = f"its header claims more pixels than the limit, {MAX_PIXELS // 1_000_000} megapixels"


def formats_of(source: Path | bytes) -> tuple[str, ...]:
    """Return the formats of which a file may be; TGA has no mark, so a file is one by its name."""
    if not isinstance(source, Path):
        return BY_MARK
    if source.suffix.lower() == ".tga":
        return READ
    with source.open("rb") as file:
        head = file.read(HEAD_BYTES).ljust(HEAD_BYTES, b"\0")
    is_heif = format_of(head, "") in ("HEIC", "HEIF")
    return ("HEIF",) if is_heif and opens_heif() else BY_MARK


def unidentified(path: Path) -> str:
    """Say of a file that no decoder takes what it is."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return "the file is empty"
    suffix = path.suffix.lower()
    name = format_of(head.ljust(HEAD_BYTES, b"\0"), suffix)
    if name is None:
        return "it is no picture, or its header is damaged"
    if name == "TIFF" and (compression := first_compression(path)) not in _DECODED:
        return no_compression(compression)
    if name in READ or (name in ("HEIC", "HEIF") and opens_heif()):
        return (
            f"its format is {name}, but its header is damaged, or its kind of samples, layout or "
            "compression cannot be decoded here: convert it to PNG"
        )
    named = named_format(suffix)
    what = f"its format is {name}"
    if named in READ:
        what = f"its name says {named}, but it is a {name}"
    mend = f", or {HEIF_EXTRA}" if name in ("HEIC", "HEIF") else ""
    return f"{what}, which is not read: convert it to PNG{mend}"


def has_alpha_bits(path: Path) -> bool:
    """Return whether a TGA's header says that some of its bits are alpha; else they mean nothing.

    Source: Truevision TGA 2.0, field 5.6 image descriptor.
    """
    with path.open("rb") as file:
        descriptor = file.read(18)[17:18]
    return bool(descriptor and descriptor[0] & 0x0F)


def refuse_file_size(path: Path, size_bytes: int) -> None:
    """Refuse a file that is too long to be read, by what its first bytes say it is.

    Raises: ImageError, its message the reason. OSError.
    """
    if size_bytes <= MAX_WHOLE_BYTES:
        return
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).ljust(HEAD_BYTES, b"\0")
    limit = (
        MAX_BYTES if format_of(head, path.suffix.lower()) in _READ_IN_PIECES else MAX_WHOLE_BYTES
    )
    if size_bytes > limit:
        raise ImageError(
            f"Cannot read {path.name}: its file has {size_bytes / 1e6:.0f} MB, more than the limit "
            f"of its format, {limit // 1_000_000} MB."
        )


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
