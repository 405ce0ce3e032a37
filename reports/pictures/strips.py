"""The pictures of report.html: thumbnails of whole ones and of regions, with their numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...bench.store.run import StoredRun
from ..tables.columns import primary_column
from ..tables.run import codec_names, ranking, value_of, whole_values
from .selection import (
    ERROR_COLOURS,
    Crop,
    error_scale,
    leading_crops,
    picture_sizes,
    region_value,
    shown_pictures,
)
from .thumbnails import Thumbnails

SHOWN_CELLS = 72
"""Regions' pictures on the page, whatever the number of codecs; there are SHOWN_STRIPS at most."""
SHOWN_STRIPS = 24
COLOUR_STEPS = 128
NAMED_RANKS = 3


@dataclass(frozen=True)
class Place:
    """Where a region's box lies in its window, in per cent of it.

    A window taller than wide is `width` of its cell, so that it stays in a square.
    """

    ratio: str
    width: float
    box_left: float
    box_top: float
    box_width: float
    box_height: float


@dataclass(frozen=True)
class Shown:
    """One codec's (or the reference's) picture: thumbnails below the run folder, words."""

    name: str
    picture: str | None
    errors: str | None
    value: str = ""
    gap: str = ""
    is_loss: bool = False


@dataclass(frozen=True)
class Strip:
    """A region beside every codec's; `whole` places the same box in `whole_picture`."""

    image_id: str
    region: str
    kind: str
    size: str
    window: Place
    whole: Place
    whole_picture: str | None
    reference: Shown
    codecs: tuple[Shown, ...]


@dataclass(frozen=True)
class PictureRow:
    """A whole picture beside every codec's; `why` says for whom it is among the worst."""

    image_id: str
    why: str
    ratio: str
    reference: Shown
    codecs: tuple[Shown, ...]


def scale_of(run: StoredRun) -> float | None:
    """Return the top of the error colours of the whole page; None without error maps."""
    crops = leading_crops(run, SHOWN_STRIPS)
    pictures = [*shown_pictures(run), *(crop.region.image_id for crop in crops)]
    return error_scale(run, list(dict.fromkeys(pictures)))


def colour_table(top: float, stored_top: float) -> list[str]:
    """Return for red, green and blue the colours of grey levels 0..1, as an SVG filter wants them.

    Grey 1 stands for `stored_top`; the colours reach their end at `top` already.
    """
    import matplotlib as mpl

    colours = mpl.colormaps[ERROR_COLOURS]
    steps = [min(1.0, step / (COLOUR_STEPS - 1) * stored_top / top) for step in range(COLOUR_STEPS)]
    table = [colours(step)[:3] for step in steps]
    return [" ".join(f"{colour[band]:.3f}" for colour in table) for band in range(3)]


def error_colours() -> list[str]:
    """Return the error colours from 0 to the top of the scale, for a CSS gradient."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    return [to_hex(mpl.colormaps[ERROR_COLOURS](step / 12)) for step in range(13)]


def region_strips(run: StoredRun, scale: float | None, thumbnails: Thumbnails) -> list[Strip]:
    """Return the strips of the regions that lose most, eyes first."""
    count = min(SHOWN_STRIPS, max(1, SHOWN_CELLS // max(1, len(codec_names(run)))))
    return [_strip(run, crop, scale, thumbnails) for crop in leading_crops(run, count)]


def picture_rows(run: StoredRun, scale: float | None, thumbnails: Thumbnails) -> list[PictureRow]:
    """Return the leading region's picture and the worst ones, by the first metric."""
    column = primary_column(run)
    if column is None:
        return []
    values = whole_values(run, column.variant)
    first = {codec: ranking(of_codec, column)[:NAMED_RANKS] for codec, of_codec in values.items()}
    sizes = picture_sizes(run)
    rows: list[PictureRow] = []
    for image_id in shown_pictures(run):
        shown = [
            Shown(
                codec,
                thumbnails.picture(run.reconstruction_path(codec, image_id)),
                thumbnails.error_map(run.map_path(codec, image_id)) if scale else None,
                column.quantity(value_of(values[codec], image_id)),
            )
            for codec in codec_names(run)
        ]
        reference = Shown("reference", thumbnails.picture(run.reference_path(image_id)), None)
        ranks = [
            f"{codec}: worst" if order.index(image_id) == 0 else f"{codec}: {_nth(order, image_id)}"
            for codec, order in first.items()
            if image_id in order
        ]
        width, height = sizes[image_id]
        rows.append(
            PictureRow(image_id, ", ".join(ranks), f"{width} / {height}", reference, tuple(shown))
        )
    return rows


def _nth(order: list[str], image_id: str) -> str:
    return {1: "2nd worst", 2: "3rd worst"}[order.index(image_id)]


def _strip(run: StoredRun, crop: Crop, scale: float | None, thumbnails: Thumbnails) -> Strip:
    region, window = crop.region, crop.box_px
    x0, y0, x1, y1 = region.box_px
    whole = (0, 0, *crop.size_px)
    reference = run.reference_path(region.image_id)
    return Strip(
        region.image_id,
        region.name,
        region.kind,
        f"{x1 - x0} × {y1 - y0} px" + ("" if region.mask is None else ", masked"),
        _place(region.box_px, window),
        _place(region.box_px, whole),
        thumbnails.picture(reference),
        Shown("reference", thumbnails.picture(reference, window), None),
        tuple(_in_window(run, crop, codec, scale, thumbnails) for codec in codec_names(run)),
    )


def _in_window(
    run: StoredRun, crop: Crop, codec: str, scale: float | None, thumbnails: Thumbnails
) -> Shown:
    column, image_id = primary_column(run), crop.region.image_id
    value = gap = math.nan
    if column:
        value, gap = region_value(run, crop, codec, column)
    loses = math.isfinite(gap) and (gap < 0) == bool(column and column.higher_is_better)
    return Shown(
        codec,
        thumbnails.picture(run.reconstruction_path(codec, image_id), crop.box_px),
        thumbnails.error_map(run.map_path(codec, image_id), crop.box_px) if scale else None,
        column.quantity(value) if column else "",
        column.number(gap, signed=True) if column and math.isfinite(gap) else "",
        loses and gap != 0,
    )


def _place(box: tuple[int, int, int, int], window: tuple[int, int, int, int]) -> Place:
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    return Place(
        ratio=f"{width} / {height}",
        width=min(100.0, _per_cent(width, height)),
        box_left=_per_cent(box[0] - x0, width),
        box_top=_per_cent(box[1] - y0, height),
        box_width=_per_cent(box[2] - box[0], width),
        box_height=_per_cent(box[3] - box[1], height),
    )


def _per_cent(part: int, whole: int) -> float:
    return round(100 * part / whole, 4)
