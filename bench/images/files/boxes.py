"""The boxes of AVIF, HEIF and JPEG 2000: which colours the picture's own say it has.

Source: ISO/IEC 14496-12, 4.2 boxes, 12.1.5 colour information; ISO/IEC 23008-12, 9.3 item
properties; ISO/IEC 15444-1, I.5.3.3 colour specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

MOST_BOXES = 10_000
"""More are not looked at: a file of empty ones would keep a reader busy."""

Bytes = bytes | memoryview
Box = tuple[bytes, int, int]
"""Its name, and where its body starts and stops."""


def boxes(data: Bytes, start: int = 0, stop: int | None = None) -> Iterator[Box]:
    """Yield the boxes that lie between two places; the last may be cut."""
    end = len(data) if stop is None else min(stop, len(data))
    for _ in range(MOST_BOXES):
        if start + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1 and body + 8 <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        following = end if size == 0 else start + size
        if following < body:
            return
        yield name, body, min(following, end)
        start = following


def within(data: Bytes, places: Iterator[Box], *names: bytes) -> Iterator[Box]:
    """Yield the boxes inside those of the first name, and so on down.

    A `meta` has its version first.
    """
    for name, start, stop in places:
        if name == names[0]:
            inner = boxes(data, start + 4 if name == b"meta" else start, stop)
            yield from within(data, inner, *names[1:]) if names[1:] else inner


def heif_colours(data: Bytes) -> list[bytes]:
    """Return the colour boxes of an AVIF's or HEIF's primary item; else of any item or track."""
    try:
        found = _of_primary(data)
    except (struct.error, IndexError):
        found = []
    if found:
        return found
    entries = within(data, boxes(data), b"meta", b"iprp", b"ipco")
    found = [bytes(data[start:stop]) for name, start, stop in entries if name == b"colr"]
    if not found:
        # A sequence alone: the box lies deep inside, behind the fields of a sample's entry.
        for name, start, stop in boxes(data):
            movie = bytes(data[start:stop]) if name == b"moov" else b""
            at = movie.find(b"colrnclx")
            if at >= 0:
                found.append(movie[at + 4 : at + 15])
    return found


def _of_primary(data: Bytes) -> list[bytes]:
    meta = {name: (start, stop) for name, start, stop in within(data, boxes(data), b"meta")}
    start, _ = meta.get(b"pitm", (0, 0))
    if b"iprp" not in meta or not start:
        return []
    (primary,) = struct.unpack_from(">I" if data[start] else ">H", data, start + 4)
    properties: list[Box] = []
    linked: list[int] = []
    for name, start, stop in boxes(data, *meta[b"iprp"]):
        if name == b"ipco":
            properties = list(boxes(data, start, stop))
        elif name == b"ipma":
            linked += _linked(bytes(data[start:stop]), primary)
    wanted = [properties[index - 1] for index in linked if 0 < index <= len(properties)]
    return [bytes(data[start:stop]) for name, start, stop in wanted if name == b"colr"]


def _linked(body: bytes, item: int) -> list[int]:
    """Return the numbers of an item's properties, from 1 on, of an `ipma` box."""
    version, is_wide = body[0], body[3] & 1
    (count,) = struct.unpack_from(">I", body, 4)
    at, found = 8, list[int]()
    for _ in range(min(count, MOST_BOXES)):
        (owner,) = struct.unpack_from(">I" if version else ">H", body, at)
        at += 4 if version else 2
        number, at = body[at], at + 1
        size, most = (2, 0x7FFF) if is_wide else (1, 0x7F)
        for place in range(at, at + number * size, size):
            # The highest bit says whether a reader must know the property.
            index = int.from_bytes(body[place : place + size], "big") & (most)
            found += [index] * (owner == item)
        at += number * size
    return found


def jpeg2000_colours(data: Bytes) -> list[bytes]:
    """Return the colour boxes of a JPEG 2000 file; none where it is a bare codestream."""
    return [
        bytes(data[start:stop])
        for name, start, stop in within(data, boxes(data), b"jp2h")
        if name == b"colr"
    ]
