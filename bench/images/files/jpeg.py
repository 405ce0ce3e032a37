"""Whether a JPEG's scans hold all of its picture.

libjpeg fills what a scan lacks with grey, and only warns of it where Pillow does not listen.

Source: ITU-T T.81, annex B compressed data formats.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import Image, ImageChops

MOST_SCANS, MOST_SCANNED = 100, 1_500_000_000
"""More scans, or more pixels times scans, are refused: each goes over the whole picture, in as
little as a few bytes."""

# 00 after FF stands for FF itself, and RST0 to RST7 lie inside a scan. A single FF before it, and
# not all that fill the place up: what begins with a letter is found several times as fast.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SOS, _EOI = 0xDA, 0xD9
_FRAMES = (0xC0, 0xC1, 0xC2)
_WITHOUT_LENGTH = (0x01, 0xD8)
# CC lies among them, but is DAC: tables, which a file of Huffman code may hold as well.
_ARITHMETIC = (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_STRANGE_CODE = (0xA5, 0x5A, 0xF0, 0xB3)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FF = re.compile(rb"\xff.?", re.DOTALL)
_BEHIND, _COPIED = 1 << 20, 512


@dataclass(frozen=True)
class _Scans:
    """How many scans a file has, where the code of the last lies, and whether some are missing.

    `end` is None where there is no scan, or arithmetic code, which may end early.
    """

    count: int
    start: int
    end: int | None
    is_complete: bool = True


def check_scans(data: bytes, pixels: int) -> None:
    """Refuse a JPEG of too many scans for its number of pixels, or too few for its coefficients.

    Raises: ValueError, its message the reason.
    """
    scans = _read_scans(data)
    if scans.end == len(data):
        raise ValueError("it has no end marker")
    if scans.count > MOST_SCANS:
        raise ValueError(f"it has more than {MOST_SCANS} scans")
    if scans.count * pixels > MOST_SCANNED:
        raise ValueError(f"it has {scans.count} scans, too many for its size")
    if not scans.is_complete:
        raise ValueError("its last scans are missing")


def check_last_scan(data: bytes, decoded: Image.Image) -> None:
    """Refuse a JPEG whose last scan ends before its picture does.

    It is decoded twice more with further code behind that scan: a decoder that has its picture
    skips it, one that lacks some takes it.

    Raises: ValueError, its message the reason.
    """
    for longer in with_more_code(data):
        # Code that cannot be told the end of comes back as it was.
        if longer != data:
            with Image.open(io.BytesIO(longer), formats=("JPEG",)) as other:
                refuse_changes(decoded, other, "its last scan ends before the picture does")


def with_more_code(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG twice, with further code of either kind behind its last scan."""
    scans = _read_scans(data)
    if scans.end is None:
        return data, data
    whole = data[: scans.end]
    own, strange = _more_code(data[scans.start : scans.end])
    return whole + own + b"\xff\xd9", whole + strange + b"\xff\xd9"


def refuse_changes(decoded: Image.Image, other: Image.Image, reason: str) -> None:
    """Raise a ValueError of that reason where two pictures are not the same."""
    other.load()
    is_same = decoded.size == other.size and decoded.mode == other.mode
    if not is_same or ImageChops.difference(decoded, other).getbbox(alpha_only=False):
        raise ValueError(reason)


def _more_code(scan: bytes) -> tuple[bytes, bytes]:
    """Return code to go on with, for a decoder within an interval or before its next restart.

    The first is the scan's own: of any other, its Huffman tables might make nothing at all. But the
    few blocks that a cut in the last bytes leaves open may by chance come out of it as they come
    out of no code, so the second is another.
    """
    tail = scan[-_BEHIND:]
    code = _FF.sub(b"", tail[-_COPIED:]) or b"\x00"
    restarts = list(_RESTART.finditer(tail))
    last = restarts[-1][0][1] if restarts else 0xD7
    own, strange = [], []
    # Many intervals, each from another place: one that begins with an end of block adds nothing.
    for step in range(1, 65):
        restart = bytes((0xFF, 0xD0 + (last + step) % 8))
        own += [code[37 * step % len(code) :], restart]
        strange += [bytes((_STRANGE_CODE[(step - 1) % 4],)) * 64, restart]
    return b"".join(own), b"".join(strange)


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
            while following and end > start and data[end - 1] == 0xFF:
                end -= 1
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
