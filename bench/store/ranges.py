"""What a record may say beyond its types: the names, sizes, boxes and numbers that ours have.

A seal says that a record is as it was written, not by whom. Each check raises a ValueError, a
clause that begins with where the value stands.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from ..errors import visible
from ..images.files.limits import MAX_PIXELS
from ..records import REFERENCE, WHOLE, CodecInfo, ImageRef, Region

_SHA256 = re.compile(r"[0-9a-f]{64}")

Size = tuple[int, int]
"""Width and height in px."""


def leads_out(image_id: str) -> bool:
    """Return whether a picture's name is a path out of the folder in which it would be kept."""
    path = PurePath(image_id)
    return path.is_absolute() or ".." in path.parts


def check_name(where: str, name: str) -> None:
    """Check that a name is there."""
    if not name:
        raise ValueError(f"{where}: expected a name, got ''")


def _check_plain(where: str, name: str) -> None:
    """Check a name of which those that steer a terminal are refused when they are read."""
    check_name(where, name)
    if visible(name) != name:
        raise ValueError(f"{where}: no picture or region is called {reprlib.repr(name)}")


def check_among(where: str, name: str, known: Iterable[str], what: str) -> None:
    """Check that what is named is there."""
    if name not in known:
        raise ValueError(f"{where}: {reprlib.repr(name)} is not among {what}")


def check_unique(where: str, names: Sequence[object]) -> None:
    """Check that nothing is there twice."""
    seen = set[object]()
    for place, name in enumerate(names):
        if name in seen:
            raise ValueError(f"{where}.{place}: {reprlib.repr(name)} is there twice")
        seen.add(name)


def check_counts(where: str, **counts: int | None) -> None:
    """Check that each number of things is one or more, or not told."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{where}.{name}: expected 1 or more, got {count}")


def check_picture(where: str, image_id: str, sha256: str, size_px: Size) -> None:
    """Check what identifies a picture, and that its size is one that is read."""
    _check_plain(f"{where}.image_id", image_id)
    if leads_out(image_id):
        raise ValueError(f"{where}.image_id: {image_id!r} leads out of its folder")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(
            f"{where}.sha256: expected 64 hexadecimal digits, got {reprlib.repr(sha256)}"
        )
    width_px, height_px = size_px
    check_counts(where, width_px=width_px, height_px=height_px)
    if width_px * height_px > MAX_PIXELS:
        raise ValueError(
            f"{where}.width_px: {width_px}x{height_px} px is more than the limit, "
            f"{MAX_PIXELS // 1_000_000} megapixels"
        )


def check_images(images: Sequence[ImageRef]) -> dict[str, Size]:
    """Check the pictures of a record; return their sizes by name."""
    sizes: dict[str, Size] = {}
    for place, image in enumerate(images):
        size_px = image.width_px, image.height_px
        check_picture(f"images.{place}", image.image_id, image.sha256, size_px)
        sizes[image.image_id] = size_px
    check_unique("images", [image.image_id for image in images])
    return sizes


def check_box(where: str, box_px: Sequence[int], size_px: Size) -> None:
    """Check that a box x0, y0, x1, y1, end-exclusive, is a part of its picture."""
    x0, y0, x1, y1 = box_px
    width_px, height_px = size_px
    if not (0 <= x0 < x1 <= width_px and 0 <= y0 < y1 <= height_px):
        raise ValueError(
            f"{where}.box_px: {list(box_px)} is no part of its picture of {width_px}x{height_px} px"
        )


def check_regions(regions: Sequence[Region], sizes: Mapping[str, Size]) -> None:
    """Check the regions of a record against its pictures."""
    for place, region in enumerate(regions):
        where = f"regions.{place}"
        check_among(f"{where}.image_id", region.image_id, sizes, "the images")
        _check_plain(f"{where}.name", region.name)
        check_name(f"{where}.kind", region.kind)
        if region.name == WHOLE:
            raise ValueError(f"{where}.name: {WHOLE!r} stands for the whole picture")
        check_box(where, region.box_px, sizes[region.image_id])
        x0, y0, x1, y1 = region.box_px
        expected = -(-(x1 - x0) * (y1 - y0) // 8)
        if region.mask is not None and len(region.mask) != expected:
            raise ValueError(
                f"{where}.mask: expected {expected} bytes for its box, got {len(region.mask)}"
            )
    check_unique("regions", [(region.image_id, region.name) for region in regions])


def check_codecs(codecs: Sequence[CodecInfo]) -> None:
    """Check the codecs of a record."""
    for place, info in enumerate(codecs):
        where = f"codecs.{place}"
        check_name(f"{where}.name", info.name)
        if info.name in (REFERENCE, ".", ".."):
            raise ValueError(f"{where}.name: no codec is called {info.name!r}")
        check_counts(
            where,
            latent_channels=info.latent_channels,
            spatial_factor=info.spatial_factor,
            multiple_px=info.multiple_px,
        )
    check_unique("codecs", [info.name for info in codecs])


def check_top(where: str, top: float) -> None:
    """Check what the 255 of error maps stands for."""
    if not (math.isfinite(top) and top > 0):
        raise ValueError(f"{where}: expected a finite number above 0, got {top}")
