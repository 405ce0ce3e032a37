"""Which pictures and regions a report shows, and reading them from the run folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...bench.records import Region
from ...bench.store.kept import read_kept
from ...bench.store.run import StoredRun
from ..tables.columns import Column, primary_column
from ..tables.run import codec_names, per_region, ranking, scored_images, whole_values

SHOWN_PICTURES = 6
ERROR_COLOURS = "magma"
SCALE_QUANTILE = 0.995
CONTEXT = 2.2
"""A crop's side, as a multiple of the region's longer side, so that its surroundings show."""
SMALLEST_CROP_PX = 40


@dataclass(frozen=True)
class Crop:
    """A window into a picture around a region, in the picture's pixels, end-exclusive."""

    region: Region
    box_px: tuple[int, int, int, int]
    size_px: tuple[int, int]

    @property
    def width_px(self) -> int:
        """The window's width."""
        return self.box_px[2] - self.box_px[0]

    @property
    def height_px(self) -> int:
        """The window's height."""
        return self.box_px[3] - self.box_px[1]


def crop_around(region: Region, width_px: int, height_px: int) -> Crop:
    """Return a square window around a region, moved (and at last shrunk) to lie in its picture."""
    x0, y0, x1, y1 = region.box_px
    side = max(SMALLEST_CROP_PX, round(CONTEXT * max(x1 - x0, y1 - y0)))
    left, right = _window(x0, x1, side, width_px)
    top, bottom = _window(y0, y1, side, height_px)
    return Crop(region, (left, top, right, bottom), (width_px, height_px))


def _window(start: int, stop: int, side: int, length: int) -> tuple[int, int]:
    side = min(side, length)
    low = min(max(0, (start + stop - side) // 2), length - side)
    return low, low + side


def worst_pictures(run: StoredRun, count: int = SHOWN_PICTURES) -> list[str]:
    """Return pictures that are worst for some codec by the first metric, in turn by rank.

    Without any score there are none; pictures whose reconstructions were not kept are left out.
    """
    column = primary_column(run)
    if column is None:
        return []
    values = whole_values(run, column.variant).values()
    return list(islice(worst_in_turn(values, column, partial(_is_kept, run)), count))


def worst_in_turn(
    values: Iterable[pd.Series], column: Column, is_kept: Callable[[str], bool]
) -> Iterator[str]:
    """Yield the kept pictures, each codec's worst in turn, then each one's next, each once."""
    # Asking the disk takes longest: each picture is asked for once, while any is missing.
    asked, found = cache(is_kept), set[str]()
    rankings = [filter(asked, ranking(of_codec, column)) for of_codec in values]
    for image_id in (name for rank in zip_longest(*rankings) for name in rank if name):
        if image_id not in found:
            found.add(image_id)
            yield image_id


def picture_sizes(run: StoredRun) -> dict[str, tuple[int, int]]:
    """Return (width, height) in pixels of each picture, as scored."""
    return {image.image_id: (image.width_px, image.height_px) for image in run.record.images}


def _is_kept(run: StoredRun, image_id: str) -> bool:
    return run.reference_path(image_id) is not None and any(
        run.reconstruction_path(codec, image_id) for codec in codec_names(run)
    )


def shown_pictures(run: StoredRun) -> list[str]:
    """Return the pictures whose error maps are shown: that of the leading region, the worst."""
    leading = [crop.region.image_id for crop in leading_crops(run, 1)]
    return list(dict.fromkeys([*leading, *worst_pictures(run)]))[:SHOWN_PICTURES]


def leading_crops(run: StoredRun, count: int | None = None) -> list[Crop]:
    """Return crops of the regions whose pictures were kept; eyes first, largest losses first.

    A region's loss is its largest gap to its whole picture under any codec, by the first metric;
    the regions of one picture and kind stay together.
    """
    loss = region_losses(run)
    sizes = picture_sizes(run)
    kept = [region for region in run.regions if _is_kept(run, region.image_id)]
    kinds = list(dict.fromkeys(region.kind for region in kept))
    deepest: dict[tuple[str, str], float] = {}
    for region in kept:
        group = (region.kind, region.image_id)
        own = loss.get((region.kind, region.name, region.image_id), -math.inf)
        deepest[group] = max(deepest.get(group, -math.inf), own)

    def order(region: Region) -> tuple[bool, int, float, str, float]:
        own = loss.get((region.kind, region.name, region.image_id), -math.inf)
        group = deepest[region.kind, region.image_id]
        return region.kind != "eye", kinds.index(region.kind), -group, region.image_id, -own

    chosen = sorted(kept, key=order)[:count]
    return [crop_around(region, *sizes[region.image_id]) for region in chosen]


def region_losses(run: StoredRun) -> dict[tuple[str, str, str], float]:
    """Return how much worse each (kind, region, picture) is than its whole, under its worst codec.

    Positive is worse, in the unit of the first metric.
    """
    column = primary_column(run)
    if column is None or not run.regions:
        return {}
    table: Any = per_region(run, column)
    gaps = table[column.variant, "gap"] * (-1.0 if column.higher_is_better else 1.0)
    losses: dict[tuple[str, str, str], float] = {}
    for (_, kind, name, image_id), gap in gaps.items():
        if name and not math.isnan(gap):
            place = (kind, name, image_id)
            losses[place] = max(losses.get(place, -math.inf), float(gap))
    return losses


def error_scale(run: StoredRun, image_ids: list[str]) -> float | None:
    """Return the top of one colour scale for the error maps of some pictures, across codecs.

    It is their 99.5th percentile (so that a few pixels do not darken all others), rounded up to
    two digits, at most the stored maximum; None where no map was kept.
    """
    paths = (run.map_path(codec, name) for name in image_ids for codec in codec_names(run))
    stored = run.record.error_map
    return None if stored is None else scale_of_maps(filter(None, paths), stored.max)


def scale_of_maps(paths: Iterable[Path], stored_top: float) -> float | None:
    """Return the top of one colour scale for error maps whose 255 is `stored_top`; see above."""
    tops = [float(np.quantile(read_grey(path), SCALE_QUANTILE)) for path in paths]
    if not tops:
        return None
    top = max(*tops, 1.0) / 255 * stored_top
    digit = 10.0 ** (math.floor(math.log10(top)) - 1)
    return min(math.ceil(round(top / digit, 6)) * digit, stored_top)


def latents_picture(run: StoredRun) -> str | None:
    """Return the picture whose latents are shown: that of the leading region, or the first kept."""
    leading = [crop.region.image_id for crop in leading_crops(run, 1)]
    for image_id in (*leading, *scored_images(run)):
        if any(run.latents_path(codec, image_id) for codec in codec_names(run)):
            return image_id
    return None


def read_rgb(path: Path) -> np.ndarray:
    """Return a kept picture as uint8 [H, W, 3]. Raises: RunFolderError."""
    return np.asarray(read_kept(path).convert("RGB"))


def read_grey(path: Path) -> np.ndarray:
    """Return a kept error map as uint8 [H, W]. Raises: RunFolderError."""
    return np.asarray(read_kept(path).convert("L"))


def region_value(run: StoredRun, crop: Crop, codec: str, column: Column) -> tuple[float, float]:
    """Return a region's value and its gap to the whole picture; NaN where unavailable."""
    scores: Any = run.scores
    rows = scores[
        (scores["image_id"] == crop.region.image_id)
        & (scores["codec"] == codec)
        & (scores["variant"] == column.variant)
    ].set_index("region")["value"]
    value, whole = (
        float(rows[name]) if name in rows.index else np.nan for name in (crop.region.name, "whole")
    )
    return value, value - whole if np.isfinite(whole) else np.nan
