"""PNG files: whether all pixels are there, the plain PNG inside a strange one, and writing one.

Pillow fills what a file lacks with zeros where the compression ends properly or the file just
before its end, and gives up on files whose pixels are whole: altered (checksum) or with a damaged
animation.

Source: PNG specification, third edition, 5 datastream structure, 9 filtering, 10 compression,
11 chunks.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ImageError
from .limits import MAX_PIXELS, TOO_LARGE
from .png_metadata import TEXTS, long_metadata

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
_UP = 2


@dataclass(frozen=True)
class SoundPNG:
    """A PNG whose pixels are all there; `rewritten` is a plain one of them, None if it is one.

    `profile` is what was too long for Pillow, and is not in the other.
    """

    rewritten: bytes | None = None
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Pixels:
    """What a file's compressed pixels came to: their bytes, and where the compression ended."""

    size_bytes: int
    is_ended: bool
    adler: int
    compressed_bytes: int
    trailer: bytes


def is_png(path: Path) -> bool:
    """Return whether a file begins as a PNG does. Raises: OSError."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def check_png(path: Path) -> SoundPNG:
    """Inflate a PNG's pixels, to count and sum them, and sum its chunks.

    Raises: ValueError, its message the reason, where there are fewer than the header claims or
        the compression is broken. ImageError for one that was rewritten for iOS, or is too large.
    """
    with _mapped(path) as data:
        chunks = list(_chunks(data))
        names = {name for name, _, _ in chunks}
        if b"CgBI" in names:
            raise ImageError(
                f"Cannot read {path.name}: its format is PNG rewritten for iOS (CgBI), which is "
                "not read: convert it to plain PNG."
            )
        _refuse_size(data, chunks, path)
        expected = _expected_bytes(data, chunks)
        pixels = _inflate(data, chunks, expected)
        if pixels.size_bytes < expected or not pixels.is_ended:
            raise ValueError(f"its pixels end after {pixels.size_bytes} of {expected} bytes")
        notes: list[str] = []
        if pixels.trailer != struct.pack(">I", pixels.adler):
            if b"IEND" not in names:
                raise ValueError("it is cut short, and the checksum of its pixels is wrong")
            notes.append("the checksum of its pixels is wrong or missing: some may be damaged")
        if b"IEND" not in names:
            notes.append("cut short behind its pixels")
        wrong = _wrong_sums(data, chunks)
        if b"IDAT" in wrong and not notes:
            notes.append("the checksum of its pixels is wrong or missing: some may be damaged")
        others = [name.decode("latin-1") for name in wrong if name not in (b"IDAT", b"IEND")]
        if others:
            notes.append(f"the checksum of its {', '.join(others[:5])} is wrong: it may be damaged")
        looked_at = (*TEXTS, b"iCCP")
        metadata = long_metadata(
            [(name, data[a:b] if name in looked_at else b"") for name, a, b in chunks],
            path.name,
        )
        if wrong or notes or metadata.left_out:
            kept = [chunk for at, chunk in enumerate(chunks) if at not in metadata.left_out]
            rewritten = _rewritten(data, kept, pixels)
        else:
            rewritten = None
    return SoundPNG(rewritten, metadata.profile, (*notes, *metadata.notes))


def _refuse_size(data: mmap.mmap, chunks: list[tuple[bytes, int, int]], path: Path) -> None:
    start = next((at for name, at, _ in chunks if name == b"IHDR"), None)
    width, height = struct.unpack_from(">II", data, start) if start is not None else (0, 0)
    if width * height > MAX_PIXELS:
        raise ImageError(f"Cannot read {path.name}: {TOO_LARGE}.")


def _wrong_sums(data: mmap.mmap, chunks: list[tuple[bytes, int, int]]) -> list[bytes]:
    """Return the names of the chunks whose checksum is another, each once."""
    wrong = dict[bytes, None]()
    for name, start, stop in chunks:
        if stop + 4 <= len(data):
            with memoryview(data) as view, view[start:stop] as body:
                total = zlib.crc32(body, zlib.crc32(name))
            if data[stop : stop + 4] != struct.pack(">I", total):
                wrong[name] = None
    return list(wrong)


def chunks_of(path: Path, wanted: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the data of the first chunk of each wanted name that is there."""
    with _mapped(path) as data:
        found = [(name, start, stop) for name, start, stop in _chunks(data) if name in wanted]
        return {name: data[start:stop] for name, start, stop in reversed(found)}


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


def _chunks(data: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name and where its data starts and stops; the last may be cut."""
    at = len(SIGNATURE)
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


def _inflate(data: mmap.mmap, chunks: list[tuple[bytes, int, int]], expected: int) -> _Pixels:
    """Inflate the IDAT chunks, keeping nothing. Raises: ValueError where that fails."""
    # A raw stream: zlib itself would swallow the last block where the checksum is wrong.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, adler, fed = 0, 1, 0
    tail = b""
    for piece in _compressed(data, chunks):
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


def _compressed(data: mmap.mmap, chunks: list[tuple[bytes, int, int]]) -> Iterator[bytes]:
    """Yield the bytes of the IDAT chunks in blocks, without the header of the zlib format."""
    skip = 2
    for name, start, stop in chunks:
        if name != b"IDAT":
            continue
        skipped = min(skip, stop - start)
        skip -= skipped
        for at in range(start + skipped, stop, _BLOCK_BYTES):
            yield data[at : min(at + _BLOCK_BYTES, stop)]


def _rewritten(data: mmap.mmap, chunks: list[tuple[bytes, int, int]], pixels: _Pixels) -> bytes:
    """Return a plain PNG of the same compressed pixels, their checksum set right."""
    deflated = b"".join(_compressed(data, chunks))[: pixels.compressed_bytes]
    stream = b"\x78\x01" + deflated + struct.pack(">I", pixels.adler)
    kept: list[bytes] = []
    if chunks[-1][0] != b"IEND":
        chunks = [*chunks, (b"IEND", 0, 0)]
    for name, start, stop in chunks:
        if name == b"IDAT":
            # The first stands for all of them.
            kept += [_chunk(b"IDAT", stream)] if stream else []
            stream = b""
        elif name not in _ANIMATION:
            kept.append(_chunk(name, data[start:stop]))
    return SIGNATURE + b"".join(kept)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return uint8 [H, W, 3] or [H, W] as PNG, in half the time that Pillow takes.

    Each row is stored as its difference from the row above, where Pillow tries all five filters;
    zlib works without the interpreter's lock. The file is about as long as Pillow's at level 1.
    """
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    is_grey = pixels.ndim == 2
    # In the noise of an error map the matches that a search finds cost more than they save.
    strategy = zlib.Z_RLE if is_grey else zlib.Z_DEFAULT_STRATEGY
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if is_grey else 2, 0, 0, 0)
    data = deflate.compress(filtered.data) + deflate.flush()
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    check = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)
