"""The pages of a TIFF: how many there are, and whether the first is the picture or a thumbnail.

Pillow counts pages by reading each of them whole, in time that grows with the square.

Source: TIFF revision 6.0, section 2 image file directory; Adobe's technical note 1 (SubIFDs) and
its DNG specification 1.7, chapter 4; Aware Systems' BigTIFF design.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import ImageError

MOST_PAGES = 10_000
"""More are refused."""
_MOST_BELOW = 1000
_NEW_SUBFILE, _SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _BELOW = 254, 255, 256, 257, 259, 330
_WANTED = (_NEW_SUBFILE, _SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _BELOW)
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_MUCH = 2
"""How many times wider and higher a second page of the same shape makes the first a thumbnail."""


@dataclass(frozen=True)
class _Layout:
    """How a file writes its numbers: the order of bytes, and BigTIFF's wider ones."""

    order: str
    is_big: bool

    @property
    def first(self) -> int:
        return 8 if self.is_big else 4

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.is_big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.is_big else "HHI4s")


@dataclass(frozen=True)
class _Page:
    """What a directory says of its picture, and where those below it are."""

    width: int
    height: int
    kind: int
    below: tuple[int, ...]
    compression: int

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def is_small(self, other: _Page) -> bool:
        """Whether it is a small one of another: of its shape, but for rounding."""
        skew = abs(self.width * other.height - self.height * other.width)
        is_larger = other.width >= _MUCH * self.width and other.height >= _MUCH * self.height
        return is_larger and skew <= other.width + other.height


def check_pages(path: Path) -> int:
    """Return how many pages a TIFF has; 0 where its chain of them is broken.

    Raises: ImageError where there are too many, or the first is a thumbnail, a mask or a preview.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[8:10] == b"CR":
            raise ImageError(
                f"Cannot read {path.name}: it is a camera's raw file (CR2), whose first page is a "
                "preview: convert it to PNG."
            )
        layout = _layout(data)
        first: _Page | None = None
        pages = 0
        try:
            for at in _chain(data, layout):
                pages += 1
                if pages > MOST_PAGES:
                    raise ImageError(
                        f"Cannot read {path.name}: it has more than {MOST_PAGES} pages: save its "
                        "first as PNG."
                    )
                page = _page(data, layout, at)
                if first is None:
                    first = page
                    below = (_page(data, layout, place) for place in page.below[:_MOST_BELOW])
                    _refuse_thumbnail(first, below, path)
                elif pages == 2 and first.is_small(page):
                    raise _thumbnail(first, path)
        except (struct.error, ValueError, IndexError):
            return 0
    return pages


def first_compression(path: Path) -> int:
    """Return the number of the first page's compression; 0 where none can be read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            layout = _layout(data)
            return _page(data, layout, next(_chain(data, layout))).compression
    except (struct.error, ValueError, IndexError, StopIteration):
        return 0


def _layout(data: mmap.mmap) -> _Layout:
    return _Layout("<" if data[:2] == b"II" else ">", 43 in data[2:4])


def _refuse_thumbnail(first: _Page, below: Iterable[_Page], path: Path) -> None:
    if first.kind & _MASK:
        raise ImageError(
            f"Cannot read {path.name}: its first page is a transparency mask: convert it to PNG."
        )
    if first.kind & _REDUCED or any(page.pixels > first.pixels for page in below):
        raise _thumbnail(first, path)


def _thumbnail(first: _Page, path: Path) -> ImageError:
    return ImageError(
        f"Cannot read {path.name}: its first page is a thumbnail of {first.width}x{first.height} "
        "px: convert it to PNG."
    )


def _chain(data: mmap.mmap, layout: _Layout) -> Iterator[int]:
    """Yield the place of each page's directory. Raises: ValueError for a chain that goes round."""
    (at,) = struct.unpack_from(layout.offset, data, layout.first)
    seen: set[int] = set()
    while at:
        if at in seen:
            raise ValueError("a page follows itself")
        seen.add(at)
        yield at
        (count,) = struct.unpack_from(layout.count, data, at)
        end = at + struct.calcsize(layout.count) + count * struct.calcsize(layout.entry)
        (at,) = struct.unpack_from(layout.offset, data, end)


def _page(data: mmap.mmap, layout: _Layout, at: int) -> _Page:
    (count,) = struct.unpack_from(layout.count, data, at)
    start, size = at + struct.calcsize(layout.count), struct.calcsize(layout.entry)
    found: dict[int, tuple[int, ...]] = {}
    for place in range(start, start + min(count, _MOST_BELOW) * size, size):
        tag, kind, length, packed = struct.unpack_from(layout.entry, data, place)
        if tag in _WANTED and kind in _TYPES:
            form = f"{layout.order}{min(length, _MOST_BELOW)}{_TYPES[kind]}"
            if struct.calcsize(form) <= len(packed):
                found[tag] = struct.unpack_from(form, packed)
            else:
                found[tag] = struct.unpack_from(form, data, *struct.unpack(layout.offset, packed))
    is_old = found.get(_SUBFILE, (0,))[0] == _OLD_REDUCED
    kind = found.get(_NEW_SUBFILE, (0,))[0] | (_REDUCED if is_old else 0)
    width, height = (found.get(tag, (0,))[0] for tag in (_WIDTH, _HEIGHT))
    return _Page(width, height, kind, found.get(_BELOW, ()), found.get(_COMPRESSION, (1,))[0])
