"""Named regions of pictures: read from what people have, and moved with the pixels by a fit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RegionError, visible
from ..records import WHOLE, ImageRef, Region
from .pixels import Fit, placement
from .region_files import Draft, Pictures, RegionSource, read_boxes, read_coco, read_masks
from .region_shapes import pack_mask, tight_box, unpack_mask
from .sample import SAMPLE, SAMPLE_REGIONS, sample_paths

MASKS = "masks"
"""The word for mask pictures that lie beside the pictures of the set."""

REGION_READERS: dict[str, Callable[[RegionSource, Pictures], Iterator[Draft]]] = {
    "boxes": read_boxes,
    "coco": read_coco,
    "masks": read_masks,
}
"""Every layout of regions that can be read; `read_regions` recognises which one a source has."""


MAX_BYTES = 200_000_000
"""Of a JSON file, which takes ten times as much memory."""


@dataclass(frozen=True)
class RegionSet:
    """The regions of a set's pictures, and `image/name` of those of pictures not in the set."""

    regions: tuple[Region, ...]
    unused: tuple[str, ...]


def read_regions(source: str, images: Sequence[ImageRef]) -> RegionSet:
    """Read the regions of a set of pictures.

    `source` is a JSON file ({"picture": [{"name", "kind", "box"}]} or COCO), a folder with
    NAME.REGION.mask.png files laid out like the set, the word `masks` (the same files beside
    the pictures) or the word `sample`. A box with fractions is rounded outward.

    Raises: RegionError for a malformed file, a box outside its picture, a name that a picture has
        twice, or the name `whole`.
    """
    layout, opened = _open(source)
    if source == SAMPLE:
        shipped = {str(path) for path in sample_paths()}
        images = [image for image in images if image.path in shipped]
    regions: dict[tuple[str, str], Region] = {}
    unused: list[str] = []
    for draft in REGION_READERS[layout](opened, Pictures(images)):
        if draft.image is None:
            unused.append(f"{draft.picture}/{draft.name}".removesuffix("/"))
            continue
        what = f"{opened.name}: region {draft.name!r} of {draft.image.image_id}"
        region = _region(draft, draft.image, what)
        if (draft.image.image_id, draft.name) in regions:
            raise RegionError(f"{what} is there twice. Give each region of a picture its own name.")
        regions[draft.image.image_id, draft.name] = region
    return RegionSet(tuple(regions.values()), tuple(unused))


def _open(source: str) -> tuple[str, RegionSource]:
    """Return a source's layout, and the source with its JSON parsed."""
    if source == MASKS:
        return "masks", RegionSource(None)
    path = SAMPLE_REGIONS if source == SAMPLE else Path(source).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:
        raise RegionError(f"Cannot read the regions in {source!r}: {error}.") from error
    if is_folder:
        return "masks", RegionSource(path)
    if not is_file:
        raise RegionError(
            f"No regions in {source!r}: expected a JSON file, a folder of NAME.REGION.mask.png "
            f"files, {MASKS!r} or {SAMPLE!r}."
        )
    size_bytes = path.stat().st_size
    if size_bytes > MAX_BYTES:
        raise RegionError(
            f"Cannot read the regions in {path.name}: it has {size_bytes / 1e6:.0f} MB, more than "
            f"the limit, {MAX_BYTES // 1_000_000} MB. Keep the regions of the scored pictures."
        )
    document = _parse(path)
    is_coco = isinstance(document, dict) and {"images", "annotations"} <= document.keys()
    return "coco" if is_coco else "boxes", RegionSource(path, document)


def _parse(path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, value in pairs:
            if key in fields:
                raise RegionError(f"{path.name}: {key!r} is there twice. Put its entries together.")
            fields[key] = value
        return fields

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise RegionError(
            f"{path.name} is no valid JSON: {error.msg} in line {error.lineno}, "
            f"column {error.colno}."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RegionError(f"Cannot read the regions in {path.name}: {error}.") from error


def _region(draft: Draft, image: ImageRef, what: str) -> Region:
    """Check a draft and make it a record."""
    if draft.name == WHOLE:
        raise RegionError(f"{what}: {WHOLE!r} stands for the whole picture. Choose another name.")
    for word in (draft.name, draft.kind):
        if visible(word) != word:
            raise RegionError(
                f"{what}: {word!r} holds a character that steers a terminal. Leave it out."
            )
    box = None if draft.box is None else _pixel_box(draft.box, image, what)
    packed = None
    if draft.mask is not None:
        box = tight_box(draft.mask)
        inside = draft.mask[box[1] : box[3], box[0] : box[2]] if box else draft.mask
        packed = None if inside.all() else pack_mask(inside)
    if box is None:
        raise RegionError(f"{what}: its mask is all black.")
    return Region(image.image_id, draft.name, draft.kind, box, packed)


def _pixel_box(
    box: tuple[float, float, float, float], image: ImageRef, what: str
) -> tuple[int, int, int, int]:
    """Round a box outward to whole pixels. Raises: RegionError unless it lies in its picture."""
    # A thousandth of a pixel is what single precision and decimal rounding leave behind.
    x0, y0 = (math.floor(value + 1e-3) for value in box[:2])
    x1, y1 = (math.ceil(value - 1e-3) for value in box[2:])
    got = "[" + ", ".join(f"{value:g}" for value in box) + "]"
    if not (x0 < x1 and y0 < y1):
        raise RegionError(f"{what}: box {got} is empty; expected x0 < x1 and y0 < y1.")
    if x0 < 0 or y0 < 0 or x1 > image.width_px or y1 > image.height_px:
        raise RegionError(
            f"{what}: box {got} lies outside the picture's {image.width_px} x {image.height_px} px."
        )
    return x0, y0, x1, y1


def region_mask(region: Region) -> NDArray[np.bool_]:
    """Return bool [box height, box width]: which pixels of the box belong to the region."""
    x0, y0, x1, y1 = region.box_px
    if region.mask is None:
        return np.ones((y1 - y0, x1 - x0), np.bool_)
    return unpack_mask(region.mask, x1 - x0, y1 - y0)


def fit_region(
    region: Region, width_px: int, height_px: int, size: int | None, fit: Fit
) -> Region | None:
    """Move a region of a width_px x height_px picture to where `fit_pixels` puts its pixels.

    Rounded outward: every pixel of the result that any part of the region falls on. Clipped
    to the frame; None where a crop leaves nothing of it, and as it is for size None.
    """
    if size is None:
        return region
    place = placement(width_px, height_px, size, fit)
    x0, y0, x1, y1 = region.box_px
    columns = _scaled_span(x0, x1, width_px, place.width_px)
    rows = _scaled_span(y0, y1, height_px, place.height_px)
    # The span before scaling under each pixel after it, cut to the box.
    mask = _touched(region_mask(region), rows, y0, height_px, place.height_px)
    mask = _touched(mask.T, columns, x0, width_px, place.width_px).T
    left, top = columns.start + place.left_px, rows.start + place.top_px
    cut_left, cut_top = max(0, -left), max(0, -top)
    mask = mask[cut_top : max(0, size - top), cut_left : max(0, size - left)]
    box = tight_box(mask) if mask.size else None
    if box is None:
        return None
    mask = mask[box[1] : box[3], box[0] : box[2]]
    left, top = left + cut_left, top + cut_top
    moved = (left + box[0], top + box[1], left + box[2], top + box[3])
    packed = None if region.mask is None or mask.all() else pack_mask(mask)
    return Region(region.image_id, region.name, region.kind, moved, packed)


def _scaled_span(start: int, stop: int, before: int, after: int) -> range:
    """Return the pixels, of `after`, that a span of `before` pixels touches once scaled."""
    return range(start * after // before, -(-stop * after // before))


def _touched(
    mask: NDArray[np.bool_], span: range, start: int, before: int, after: int
) -> NDArray[np.bool_]:
    """Scale a mask's rows, the first of which is row `start` of `before`: any part counts."""
    sums = np.concatenate([np.zeros((1, mask.shape[1]), np.int64), mask.cumsum(axis=0)])
    pixels = np.arange(span.start, span.stop)
    first = np.clip(pixels * before // after - start, 0, len(mask))
    last = np.clip(-(-(pixels + 1) * before // after) - start, 0, len(mask))
    return sums[last] > sums[first]
