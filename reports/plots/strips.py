"""Zoomed regions: the reference beside every codec's, with the error below."""

from __future__ import annotations

import numpy as np

from ...bench.store.run import StoredRun
from ..pictures.selection import (
    Crop,
    error_scale,
    leading_crops,
    read_grey,
    read_rgb,
    region_value,
)
from ..tables.columns import Column, primary_column
from ..tables.run import codec_names
from .error_maps import map_range, scale_label
from .grid import Cell, Row, chunks, draw_rows
from .style import NothingToShowError, Plot, styled

SHOWN_REGIONS = 6


@styled
def strips(run: StoredRun) -> list[Plot]:
    """Draw the regions that lose most, eyes first: reference, codecs, errors."""
    if not run.regions:
        raise NothingToShowError("the run has no regions; give some with --regions")
    crops = leading_crops(run, SHOWN_REGIONS)
    column = primary_column(run)
    if not crops or column is None:
        raise NothingToShowError("no picture with a region was kept; run with --keep all")
    top = error_scale(run, [crop.region.image_id for crop in crops])
    rows = [row for crop in crops for row in _rows(run, crop, column, top)]
    figure = draw_rows(rows, (top, scale_label(run)) if top else None)
    caption = (
        "Regions enlarged without smoothing; the outlined box is what was scored. Below each codec "
        f"the region's {column.label} and, in brackets, its gap to the whole picture; in the second"
        " row where the region lies, and the error maps on one colour scale."
    )
    return [Plot("strips", caption, figure, has_pictures=True)]


def _rows(run: StoredRun, crop: Crop, column: Column, top: float | None) -> list[Row]:
    region = crop.region
    reference = run.reference_path(region.image_id)
    if reference is None:
        return []
    original = read_rgb(reference)
    inner = _shift(region.box_px, crop)
    rows: list[Row] = []
    for names in chunks(codec_names(run)):
        title = "" if rows else f"{region.image_id} · {region.name} ({region.kind})"
        upper: list[Cell | None] = [
            Cell(_cut(original, crop), "reference", nearest=True, box_px=inner)
        ]
        lower: list[Cell | None] = [Cell(original, below="where it lies", box_px=region.box_px)]
        for name in names:
            path, errors = run.reconstruction_path(name, region.image_id), None
            if top is not None:
                errors = run.map_path(name, region.image_id)
            note = _note(*region_value(run, crop, name, column), column)
            upper.append(
                Cell(_cut(read_rgb(path), crop), name, note, True, nearest=True, box_px=inner)
                if path
                else None
            )
            lower.append(
                Cell(
                    _cut(read_grey(errors), crop),
                    value_range=map_range(run, top),
                    nearest=True,
                    box_px=inner,
                )
                if errors and top is not None
                else None
            )
        rows.extend([Row(upper, title), Row(lower)])
    return rows


def _note(value: float, gap: float, column: Column) -> str:
    text = column.quantity(value)
    if np.isfinite(gap):
        text += f" ({column.number(gap, signed=True)})"
    return text.replace("-", "−")


def _shift(box_px: tuple[int, int, int, int], crop: Crop) -> tuple[float, float, float, float]:
    left, top = crop.box_px[:2]
    return box_px[0] - left, box_px[1] - top, box_px[2] - left, box_px[3] - top


def _cut(pixels: np.ndarray, crop: Crop) -> np.ndarray:
    x0, y0, x1, y1 = crop.box_px
    return pixels[y0:y1, x0:x1]
