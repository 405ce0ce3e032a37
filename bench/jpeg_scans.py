"""Whether a JPEG's scans hold all of its picture.

libjpeg fills what a scan lacks with grey, and only warns of it where Pillow does not listen.

Source: ITU-T T.81, annex B compressed data formats.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MOST_SCANS, MOST_SCANNED = 100, 1_500_000_000
"""More scans, or more pixels times scans, are refused: each goes over the whole picture, in as
little as a few bytes."""

# 00 after FF stands for FF itself, and RST0 to RST7 lie inside a scan.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SOS, _EOI = 0xDA, 0xD9
_FRAMES = (0xC0, 0xC1, 0xC2)
_WITHOUT_LENGTH = (0x01, 0xD8)
_ARITHMETIC = range(0xC9, 0xD0)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FF = re.compile(rb"\xff.?", re.DOTALL)
_BEHIND, _COPIED = 1 << 20, 512
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class _Scans:
    """How many scans a file has, where the code of the last lies, and whether some are missing.

    `end` is None where there is no scan, or arithmetic code, which may end early.
    """

    count: int
    start: int
    end: int | None
    is_complete: bool = True


def check_scans(path: Path, pixels: int) -> None:
    """Refuse a JPEG of too many scans for its number of pixels, or too few for its coefficients.

    Raises: ValueError, its message the reason.
    """
    data = path.read_bytes()
    scans = _read_scans(data)
    if scans.end == len(data):
        raise ValueError("it has no end marker")
    if scans.count > MOST_SCANS:
        raise ValueError(f"it has more than {MOST_SCANS} scans")
    if scans.count * pixels > MOST_SCANNED:
        raise ValueError(f"it has {scans.count} scans, too many for its size")
    if not scans.is_complete:
        raise ValueError("its last scans are missing")


def check_last_scan(path: Path, decoded: Image.Image) -> None:
    """Refuse a JPEG whose last scan ends before its picture does.

    It is decoded once more with further code behind that scan: a decoder that has its picture
    skips it, one that lacks some takes it.

    Raises: ValueError, its message the reason.
    """
    data = path.read_bytes()
    scans = _read_scans(data)
    if scans.end is None:
        return
    more = _more_code(data[scans.start : scans.end])
    longer = io.BytesIO(data[: scans.end] + more + b"\xff\xd9")
    with Image.open(longer, formats=("JPEG",)) as other:
        other.load()
        for top in range(0, decoded.height, _ROWS_AT_ONCE):
            box = (0, top, decoded.width, min(top + _ROWS_AT_ONCE, decoded.height))
            if decoded.crop(box).tobytes() != other.crop(box).tobytes():
                raise ValueError("its last scan ends before the picture does")


def _more_code(scan: bytes) -> bytes:
    """Return code to go on with, for a decoder within an interval or before its next restart.

    It is the scan's own: of any other, its Huffman tables might make nothing at all.
    """
    tail = scan[-_BEHIND:]
    code = _FF.sub(b"", tail[-_COPIED:]) or b"\x00"
    restarts = list(_RESTART.finditer(tail))
    last = restarts[-1][0][1] if restarts else 0xD7
    # Many intervals, each from another place: one that begins with an end of block adds nothing.
    return b"".join(
        code[37 * step % len(code) :] + bytes((0xFF, 0xD0 + (last + step) % 8))
        for step in range(1, 65)
    )


def _read_scans(data: bytes) -> _Scans:
    count, start, end, at = 0, 0, None, 2
    unsent: dict[int, set[int]] = {}
    while (marker := _MARKER.search(data, at)) is not None and count <= MOST_SCANS:
        code, at = marker[1][0], marker.end()
        if code == _EOI:
            break
        if code in _ARITHMETIC:
            return _Scans(count, 0, None)
        if code in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        at += length
        if code in _FRAMES and len(segment) > 6:
            unsent = {component: set(range(64)) for component in segment[6::3]}
        elif code == _SOS and len(segment) > 3:
            count += 1
            _send(segment, unsent)
            start, following = at, _MARKER.search(data, at)
            at = end = following.start() if following else len(data)
    return _Scans(count, start, end, not any(unsent.values()))


def _send(scan: bytes, unsent: dict[int, set[int]]) -> None:
    """Strike off the coefficients that a scan brings to their last bit, by its header."""
    first, last, approximation = scan[-3:]
    for component in scan[1:-3:2]:
        coefficients = unsent.get(component, set())
        if approximation & 0x0F:
            coefficients.update(range(first, last + 1))
        else:
            coefficients.difference_update(range(first, last + 1))
