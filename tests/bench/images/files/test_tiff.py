"""TIFFs of JPEG and fax code that libtiff would fill up, and whole ones in every layout."""

from __future__ import annotations

import io
import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files import tiff as tiff_strips
from vaebench.bench.images.files.tiff import with_strips
from vaebench.bench.images.pixels import read_pixels

Y, X = np.mgrid[0:120, 0:160]
RGB = np.stack([128 + 90 * np.sin(X / 9 + c) * np.cos(Y / 7) for c in range(3)], -1)
PICTURE = Image.fromarray(RGB.astype(np.uint8))
BILEVEL = PICTURE.convert("1")
EOI, EOFB, RTC = b"\xff\xd9", b"\x00\x10\x01", b"\x00\x10\x01" * 3


def saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", **options)
    return buffer.getvalue()


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", subsampling=0, quality=90)
    return buffer.getvalue()


def written(tags: dict[int, tuple[int, ...]], blocks: list[bytes], order: str) -> bytes:
    """Return a TIFF of 120 x 160 px; blocks are strips, or tiles where there is a tile's width."""
    offsets, lengths = (324, 325) if 322 in tags else (273, 279)
    at = list(itertools.accumulate(map(len, blocks), initial=8))
    all_tags = {256: (160,), 257: (120,), **tags, offsets: tuple(at[:-1])}
    all_tags[lengths] = tuple(map(len, blocks))
    body = b"".join(blocks)
    values = b""
    entries = b""
    for tag, value in sorted(all_tags.items()):
        packed = struct.pack(f"{order}{len(value)}I", *value)
        if len(packed) > 4:
            values += packed
            packed = struct.pack(order + "I", 8 + len(body) + len(values) - len(packed))
        entries += struct.pack(order + "HHI", tag, 4, len(value)) + packed
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 42)
    directory = struct.pack(order + "I", 8 + len(body) + len(values))
    ended = struct.pack(order + "H", len(all_tags)) + entries + bytes(4)
    return mark + directory + body + values + ended


YCBCR = {258: (8, 8, 8), 259: (7,), 262: (6,), 277: (3,), 530: (1, 1)}


def tiled() -> bytes:
    blocks = [
        jpeg(PICTURE.crop((left, top, left + 64, top + 64)))
        for top in range(0, 120, 64)
        for left in range(0, 160, 64)
    ]
    return written({**YCBCR, 322: (64,), 323: (64,)}, blocks, "<")


def big_endian() -> bytes:
    blocks = [jpeg(PICTURE.crop((0, top, 160, top + 40))) for top in range(0, 120, 40)]
    return written({**YCBCR, 278: (40,)}, blocks, ">")


def fill_order_2() -> bytes:
    (strip,) = strips_of(saved(BILEVEL, compression="group4"))
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip)
    tags = {258: (1,), 259: (4,), 262: (1,), 266: (2,), 277: (1,), 278: (120,)}
    return written(tags, [turned], "<")


JPEGS = {
    "one strip": lambda: saved(PICTURE, compression="jpeg"),
    "strips": lambda: saved(PICTURE, compression="jpeg", strip_size=160 * 3 * 16),
    "grey": lambda: saved(PICTURE.convert("L"), compression="jpeg"),
    "tiles": tiled,
    "BigTIFF": lambda: saved(PICTURE, compression="jpeg", big_tiff=True, strip_size=160 * 3 * 16),
    "big-endian": big_endian,
}
FAXES = {
    "group 3": (lambda: saved(BILEVEL, compression="group3"), RTC),
    "group 3, strips": (lambda: saved(BILEVEL, compression="group3", strip_size=400), RTC),
    "group 4": (lambda: saved(BILEVEL, compression="group4"), EOFB),
    "group 4, strips": (lambda: saved(BILEVEL, compression="group4", strip_size=400), EOFB),
    "group 4, order 2": (fill_order_2, b""),
    "run-lengths": (lambda: saved(BILEVEL, compression="tiff_ccitt"), b""),
}


def strips_of(data: bytes) -> list[bytes]:
    tags = Image.open(io.BytesIO(data)).tag_v2
    places = (tags[273], tags[279]) if 273 in tags else (tags[324], tags[325])
    return [data[at : at + size] for at, size in zip(*places, strict=True)]


def cut(data: bytes, share: float, closing: bytes) -> bytes:
    """Return a TIFF whose last strip or tile ends early."""
    *others, last = strips_of(data)
    return with_strips(data, [*others, last[: int(len(last) * share)] + closing])


def expected(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", [*JPEGS, *FAXES])
def test_whole_pictures_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(JPEGS[name]() if name in JPEGS else FAXES[name][0]())
    np.testing.assert_array_equal(read_pixels(path).rgb, expected(path))


@pytest.mark.parametrize("share", [0.3, 0.66, 0.9])
@pytest.mark.parametrize("name", [*JPEGS, *FAXES])
def test_a_strip_that_ends_early_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / "a.tif"
    data = JPEGS[name]() if name in JPEGS else FAXES[name][0]()
    for closing in {b"", EOI if name in JPEGS else FAXES[name][1]}:
        path.write_bytes(cut(data, share, closing))
        with pytest.raises(ImageError, match=r"Cannot read a\.tif: it is damaged or cut short"):
            read_pixels(path)


def test_pillow_alone_would_fill_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for data, closing in [(JPEGS["one strip"](), EOI), (FAXES["group 4"][0](), EOFB)]:
        path.write_bytes(data)
        whole = expected(path)
        path.write_bytes(cut(data, 0.5, closing))
        assert (expected(path) != whole).any()
        with pytest.raises(ImageError, match="its last rows are missing in a strip or tile"):
            read_pixels(path)


def test_strips_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    data = bytearray(tiled())
    entry = data.index(struct.pack("<HHI", 325, 4, 6))
    (place,) = struct.unpack_from("<I", data, entry + 8)
    # Each goes on to the end of the last: libtiff stops at the end of its own.
    struct.pack_into(
        "<6I", data, place, *[place - at for at in Image.open(io.BytesIO(data)).tag_v2[324]]
    )
    path.write_bytes(data)
    assert expected(path).shape == (120, 160, 3)
    with pytest.raises(ImageError, match="its strips or tiles are longer than the file"):
        read_pixels(path)


def test_too_many_strips_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_strips, "MOST_STRIPS", 2)
    (tmp_path / "a.tif").write_bytes(big_endian())
    with pytest.raises(ImageError, match="it has 3 strips or tiles, more than 2"):
        read_pixels(tmp_path / "a.tif")
