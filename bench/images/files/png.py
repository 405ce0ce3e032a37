"""A PNG file's chunks: whether all its pixels are there, and the plain PNG inside a strange one.

Pillow fills what a file lacks with zeros where the compression ends properly or the file just
before its end, and gives up on files whose pixels are whole: rewritten for iOS (CgBI), altered
(checksum) or with a damaged animation.

Source: PNG specification, third edition, 5 datastream structure, 10 compression.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 100_000
"""More are refused: a reader spends as long on an empty chunk as on a full one."""

_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column and row, then the steps, of each pass of an interlaced picture.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True)
class SoundPNG:
    """A PNG whose pixels are all there.

    `rewritten` is a plain PNG of the same pixels, None where the file is one. `is_ios` tells that
    they are stored as blue, green, red, multiplied by alpha.
    """

    rewritten: bytes | None = None
    is_ios: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Pixels:
    """What a file's compressed pixels came to: their bytes, and where the compression ended."""

    size_bytes: int
    is_ended: bool
    adler: int
    compressed_bytes: int
    trailer: bytes


def check_png(path: Path, start: int = 0) -> SoundPNG:
    """Inflate a PNG's pixels, to count and sum them; `start` is where in the file it begins.

    Raises: ValueError, its message the reason, where there are fewer than the header claims or
        the compression is broken.
    """
    with _mapped(path) as data:
        chunks = list(_chunks(data, start))
        names = {name for name, _, _ in chunks}
        ios = chunks[:1] != [] and chunks[0][0] == b"CgBI"
        expected = _expected_bytes(data, chunks)
        pixels = _inflate(data, chunks, 0 if ios else 2, expected)
        if pixels.size_bytes < expected or not pixels.is_ended:
            raise ValueError(f"its pixels end after {pixels.size_bytes} of {expected} bytes")
        notes: list[str] = []
        if ios:
            # Apple's compression has no checksum.
            notes.append("iOS PNG: blue and red swapped back")
        elif pixels.trailer != struct.pack(">I", pixels.adler):
            if b"IEND" not in names:
                raise ValueError("it is cut short, and the checksum of its pixels is wrong")
            notes.append("the checksum of its pixels is wrong or missing: some may be damaged")
        if b"IEND" not in names:
            notes.append("cut short behind its pixels")
        rewritten = _rewritten(data, chunks, pixels, ios) if notes else None
    return SoundPNG(rewritten, ios, tuple(notes))


def check_icon(image: Image.Image, path: Path) -> tuple[str, ...]:
    """Check the PNG that an opened ICO or ICNS is read from, if it is one; return the notes on it.

    Raises: ValueError like `check_png`.
    """
    icon: Any = image
    if image.format == "ICO":
        starts = [icon.ico.entry[0].offset]
    else:
        names = [name for name, _ in icon.icns.SIZES[icon.best_size]]
        starts = [icon.icns.dct[name][0] for name in names if name in icon.icns.dct]
    with _mapped(path) as data:
        starts = [at for at in starts if data[at : at + len(SIGNATURE)] == SIGNATURE]
    return tuple(note for at in starts for note in check_png(path, at).notes)


def still_png(path: Path) -> bytes | None:
    """Return an animated PNG without its animation; None for one that has none."""
    with _mapped(path) as data:
        chunks = list(_chunks(data))
        if not any(name in _ANIMATION for name, _, _ in chunks):
            return None
        kept = [_chunk(n, data[a:b]) for n, a, b in chunks if n not in _ANIMATION]
    return SIGNATURE + b"".join(kept)


@contextmanager
def _mapped(path: Path) -> Generator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _chunks(data: mmap.mmap, start: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name and where its data starts and stops; the last may be cut."""
    at = start + len(SIGNATURE)
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at + 8, min(at + 8 + length, len(data))
        if name == b"IEND":
            return
        at += 12 + length
    raise ValueError(f"it has more than {MOST_CHUNKS} chunks")


def _expected_bytes(data: mmap.mmap, chunks: list[tuple[bytes, int, int]]) -> int:
    """Return the inflated size that the header claims: each row's filter byte and samples."""
    start = next((at for name, at, _ in chunks if name == b"IHDR"), None)
    if start is None:
        raise ValueError("it has no IHDR chunk")
    width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, start)
    if colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16):
        raise ValueError(f"its header claims colour type {colour} at {depth} bits")
    bits = depth * _CHANNELS[colour]
    total = 0
    for left, top, across, down in _ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _inflate(
    data: mmap.mmap, chunks: list[tuple[bytes, int, int]], header_bytes: int, expected: int
) -> _Pixels:
    """Inflate the IDAT chunks, keeping nothing. Raises: ValueError where that fails."""
    # A raw stream: zlib itself would swallow the last block where the checksum is wrong.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, adler, fed = 0, 1, 0
    tail = b""
    for piece in _compressed(data, chunks, header_bytes):
        if inflater.eof:
            tail += piece[: 4 - len(tail)]
            continue
        fed += len(piece)
        while piece and not inflater.eof:
            try:
                out = inflater.decompress(piece, _BLOCK_BYTES)
            except zlib.error as error:
                detail = str(error).partition(": ")[2] or str(error)
                raise ValueError(
                    f"its pixels cannot be unpacked beyond {size} of {expected} bytes: {detail}"
                ) from error
            size += len(out)
            adler = zlib.adler32(out, adler)
            piece = inflater.unconsumed_tail
            if size > 2 * expected + _BLOCK_BYTES:
                raise ValueError(f"its pixels unpack to far more than {expected} bytes")
        tail = inflater.unused_data[:4]
    rest = b"" if inflater.eof else inflater.flush()
    size, adler = size + len(rest), zlib.adler32(rest, adler)
    return _Pixels(size, inflater.eof, adler, fed - len(inflater.unused_data), tail)


def _compressed(
    data: mmap.mmap, chunks: list[tuple[bytes, int, int]], header_bytes: int
) -> Iterator[bytes]:
    """Yield the bytes of the IDAT chunks in blocks, without the header of the zlib format."""
    skip = header_bytes
    for name, start, stop in chunks:
        if name != b"IDAT":
            continue
        skipped = min(skip, stop - start)
        skip -= skipped
        for at in range(start + skipped, stop, _BLOCK_BYTES):
            yield data[at : min(at + _BLOCK_BYTES, stop)]


def _rewritten(
    data: mmap.mmap, chunks: list[tuple[bytes, int, int]], pixels: _Pixels, ios: bool
) -> bytes:
    """Return a plain PNG of the same compressed pixels, their checksum set right."""
    deflated = b"".join(_compressed(data, chunks, 0 if ios else 2))[: pixels.compressed_bytes]
    stream = b"\x78\x01" + deflated + struct.pack(">I", pixels.adler)
    kept: list[bytes] = []
    if chunks[-1][0] != b"IEND":
        chunks = [*chunks, (b"IEND", 0, 0)]
    for name, start, stop in chunks:
        if name == b"IDAT":
            # The first stands for all of them.
            kept += [_chunk(b"IDAT", stream)] if stream else []
            stream = b""
        elif name not in (b"CgBI", *_ANIMATION):
            kept.append(_chunk(name, data[start:stop]))
    return SIGNATURE + b"".join(kept)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
