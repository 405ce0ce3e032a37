"""A TIFF of any tags, which no library would write."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

Tags = Mapping[int, Any]
"""Of a directory: a tag's bytes (type 7), text, whole numbers, or directories below it. 273 are the
pixels' bytes, of which 279 follows."""


def make_tiff(*pages: Tags) -> bytes:
    """Return a little-endian TIFF of pages."""
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for page in pages:
        at, following = _directory(out, page)
        struct.pack_into("<I", out, link, at)
        link = following
    return bytes(out)


def _directory(out: bytearray, tags: Tags) -> tuple[int, int]:
    """Append a directory and what it refers to; return its place and that of its link."""
    entries: list[tuple[int, int, int, bytes]] = []
    for tag, value in sorted(tags.items()):
        if tag == 273:
            entries += [(273, 4, 1, struct.pack("<I", len(out)))]
            entries += [(279, 4, 1, struct.pack("<I", len(value)))]
            out += value + bytes(len(value) % 2)
        elif isinstance(value, bytes):
            entries.append((tag, 7, len(value), value))
        elif isinstance(value, str):
            entries.append((tag, 2, len(value) + 1, value.encode() + b"\0"))
        elif isinstance(value[0], Mapping):
            places = [_directory(out, below)[0] for below in value]
            entries.append((tag, 4, len(places), struct.pack(f"<{len(places)}I", *places)))
        else:
            layout, kind = ("H", 3) if max(value) < 65536 else ("I", 4)
            packed = struct.pack(f"<{len(value)}{layout}", *value)
            entries.append((tag, kind, len(value), packed))
    body = struct.pack("<H", len(entries))
    for tag, kind, count, packed in sorted(entries):
        if len(packed) > 4:
            place = struct.pack("<I", len(out))
            out += packed + bytes(len(packed) % 2)
            packed = place
        body += struct.pack("<HHI4s", tag, kind, count, packed)
    at = len(out)
    out += body + bytes(4)
    return at, len(out) - 4


def grey_page(width: int, height: int, level: int = 128, **more: Sequence[int]) -> dict[int, Any]:
    """Return the tags of a flat 8-bit grey picture; further ones as tag_254=[1]."""
    tags: dict[int, Any] = {256: [width], 257: [height], 258: [8], 259: [1], 262: [1], 277: [1]}
    tags |= {278: [height], 273: bytes([level]) * (width * height)}
    return tags | {int(name.removeprefix("tag_")): value for name, value in more.items()}


@pytest.fixture(name="make_tiff")
def make_tiff_fixture() -> Callable[..., bytes]:
    """`make_tiff`."""
    return make_tiff


@pytest.fixture(name="grey_page")
def grey_page_fixture() -> Callable[..., dict[int, Any]]:
    """`grey_page`."""
    return grey_page
