"""Whether the strips or tiles of a TIFF hold all of its picture, where libtiff would not tell.

It fills what JPEG and fax code (CCITT) lack.

Source: TIFF revision 6.0, sections 2 image file directory, 11 CCITT, 15 tiles; technical note 2.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import ImageError
from .complaints import libtiff_lines
from .jpeg import check_scans, refuse_changes, with_more_code

MOST_STRIPS = 10_000
"""More are refused: each is given some 20 KB of further code."""

_FAX, _JPEG = (2, 3, 4, 32771), 7
_COMPRESSION, _FILL_ORDER, _PLANES, _SAMPLES = 259, 266, 284, 277
_STRIPS, _TILES = (273, 279), (324, 325)
_WIDTH, _HEIGHT, _ROWS, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 322, 323
_LONG = 4

_END_MARK = re.compile("0{11}11?(?:0{11,}11?)*0*$")
"""The ends of lines by which a decoder knows the end of its data (RTC, EOFB), as bits."""
_MARKED_BYTES = 64
# With an end of line before them, which a decoder of group 3 may wait for, and without.
_MORE_FAX = tuple(
    (start + line) * 8 for start in ("", "0" * 15 + "1") for line in ("1" * 256, "01" * 128)
)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


COMPRESSIONS = {
    6: "JPEG, old style",
    32766: "NeXT",
    32809: "ThunderScan",
    34661: "JBIG",
    34712: "JPEG 2000",
    34715: "JBIG2",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    22610: "JPEG XR",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
}
"""Names of what may not be decoded: libtiff's tiff.h and the registry of Aware Systems."""


def no_compression(number: int) -> str:
    """Say that a compression cannot be decoded."""
    name = COMPRESSIONS.get(number, f"number {number}")
    return f"its compression ({name}) cannot be decoded here: convert it to PNG"


def load_tiff(image: Image.Image, path: Path) -> None:
    """Load the first page of an opened TIFF.

    Raises: ImageError, or what Pillow raises, where it is damaged: also where libtiff fills in
        what it could not decode, and complains of it.
    """
    tags: Any = getattr(image, "tag_v2", {})
    compression: int = tags.get(_COMPRESSION, 1)
    complaints: list[str] = []
    try:
        with libtiff_lines() as complaints:
            image.load()
    except Exception as error:
        if any("not configured" in line for line in complaints):
            raise ImageError(f"Cannot read {path.name}: {no_compression(compression)}.") from error
        if complaints:
            raise ValueError(complaints[0]) from error
        raise
    if complaints:
        raise ValueError(complaints[0])
    with libtiff_lines():
        # Further code behind a strip is what it complains of here.
        check_strips(path, image)


def check_strips(path: Path, decoded: Image.Image) -> None:
    """Refuse a TIFF of JPEG or fax code that ends before the picture does.

    It is decoded again with further code of several kinds behind each strip: a decoder that has its
    rows skips it, one that lacks some takes it.

    Args:
        decoded: the file's first frame, loaded.
    Raises: ValueError, its message the reason.
    """
    tags: Any = getattr(decoded, "tag_v2", {})
    compression = tags.get(_COMPRESSION)
    if compression not in (*_FAX, _JPEG):
        return
    data = path.read_bytes()
    strips = _strips(data, tags)
    if compression == _JPEG:
        for strip in strips:
            check_scans(strip, decoded.width * decoded.height)
        longer = [with_more_code(strip) for strip in strips]
    else:
        is_reversed = tags.get(_FILL_ORDER) == 2
        longer = [_with_more_fax(strip, is_reversed) for strip in strips]
    for others in zip(*longer, strict=True):
        rewritten = io.BytesIO(with_strips(data, others))
        with Image.open(rewritten, formats=("TIFF",)) as other:
            refuse_changes(decoded, other, "its last rows are missing in a strip or tile")


def _strips(data: bytes, tags: Any) -> list[bytes]:
    offsets, lengths = (tags.get(tag) for tag in (_TILES if _TILES[0] in tags else _STRIPS))
    if offsets is None or lengths is None:
        raise ValueError("it does not tell the places and lengths of its strips")
    width, height = tags[_WIDTH], tags[_HEIGHT]
    across = -(-width // tags[_TILE_WIDTH]) if _TILES[0] in tags else 1
    rows = tags[_TILE_HEIGHT] if _TILES[0] in tags else min(tags.get(_ROWS, height), height)
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANES) == 2 else 1
    expected = across * -(-height // rows) * planes
    if len(lengths) < expected or len(offsets) < expected:
        raise ValueError(f"it has {len(offsets)} of {expected} strips or tiles")
    if expected > MOST_STRIPS:
        raise ValueError(f"it has {expected} strips or tiles, more than {MOST_STRIPS}")
    if sum(lengths[:expected]) > len(data):
        raise ValueError("its strips or tiles are longer than the file")
    places = zip(offsets[:expected], lengths[:expected], strict=True)
    return [data[at : at + size] for at, size in places]


def _with_more_fax(strip: bytes, is_reversed: bool) -> list[bytes]:
    """Return a strip with further code of each kind in place of its end mark, if it has one."""
    if is_reversed:
        strip = strip.translate(_REVERSED)
    tail = strip[-_MARKED_BYTES:]
    bits = _END_MARK.sub("", "".join(f"{byte:08b}" for byte in tail))
    longer: list[bytes] = []
    for more in _MORE_FAX:
        size_bytes = -(-len(bits + more) // 8)
        code = int((bits + more).ljust(8 * size_bytes, "0"), 2).to_bytes(size_bytes, "big")
        whole = strip[: len(strip) - len(tail)] + code
        longer.append(whole.translate(_REVERSED) if is_reversed else whole)
    return longer


def with_strips(data: bytes, strips: Sequence[bytes]) -> bytes:
    """Return the file with other strips, put behind all else; the old remain, unused."""
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    offset, entry, field = ("Q", "HHQ8s", 8) if is_big else ("I", "HHI4s", 4)
    (directory,) = struct.unpack_from(order + offset, data, 8 if is_big else 4)
    count_layout = order + ("Q" if is_big else "H")
    (count,) = struct.unpack_from(count_layout, data, directory)
    out = bytearray(data)
    lengths = [len(strip) for strip in strips]
    offsets = list(itertools.accumulate(lengths, initial=len(out)))[:-1]
    for strip in strips:
        out += strip
    first = directory + struct.calcsize(count_layout)
    size = struct.calcsize(order + entry)
    for at in range(first, first + count * size, size):
        tag = struct.unpack_from(order + "H", out, at)[0]
        if tag in (_STRIPS[0], _TILES[0]):
            values = offsets
        elif tag in (_STRIPS[1], _TILES[1]):
            values = lengths
        else:
            continue
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > field:
            packed, place = struct.pack(order + offset, len(out)), packed
            out += place
        struct.pack_into(order + entry, out, at, tag, _LONG, len(values), packed)
    return bytes(out)
