"""Error maps of the same pictures under every codec, on one colour scale."""

from __future__ import annotations

from ...bench.store.run import StoredRun
from ..pictures.selection import error_scale, read_grey, read_rgb, shown_pictures
from ..tables.columns import Column, primary_column
from ..tables.run import codec_names, value_of, whole_values
from .grid import Cell, Row, chunks, draw_rows
from .style import NothingToShowError, Plot, styled


@styled
def error_maps(run: StoredRun) -> list[Plot]:
    """Draw reference and error maps of the worst pictures, a row a picture."""
    column = primary_column(run)
    pictures = [
        image_id
        for image_id in shown_pictures(run)
        if any(run.map_path(codec, image_id) for codec in codec_names(run))
    ]
    top = error_scale(run, pictures)
    if top is None or column is None:
        raise NothingToShowError(missing_maps(run))
    rows = [row for image_id in pictures for row in _rows(run, image_id, column, top)]
    figure = draw_rows(rows, (top, scale_label(run)))
    caption = (
        "Where the error lies: the reference, then the error map of each codec, all on one colour "
        f"scale; below each the picture's {column.label}. First the picture of the leading region, "
        "then the worst ones."
    )
    return [Plot("error_maps", caption, figure, has_pictures=True)]


def missing_maps(run: StoredRun) -> str:
    """Return why a run has no error maps to show."""
    if run.record.error_map is None:
        return "no metric of the run gives an error map; add one with --metric flip"
    return "no error map was kept; run with --keep all"


def scale_label(run: StoredRun) -> str:
    """Return what the colours of the error maps measure."""
    stored = run.record.error_map
    if stored is None:
        return ""
    unit = f", {stored.unit}" if stored.unit else ""
    label = Column(stored.metric, stored.variant, stored.unit, False).label
    return f"{label} per pixel{unit} ({stored.variant})"


def map_range(run: StoredRun, top: float) -> tuple[float, float]:
    """Return the range of a stored map's grey levels that the colours from 0 to `top` cover."""
    stored = run.record.error_map
    return 0.0, 255 * top / stored.max if stored else 255.0


def _rows(run: StoredRun, image_id: str, column: Column, top: float) -> list[Row]:
    rows: list[Row] = []
    values = whole_values(run, column.variant)
    reference = run.reference_path(image_id)
    for names in chunks(codec_names(run)):
        cells: list[Cell | None] = [Cell(read_rgb(reference), "reference") if reference else None]
        for name in names:
            path = run.map_path(name, image_id)
            value = column.quantity(value_of(values[name], image_id))
            cells.append(
                Cell(read_grey(path), name, value, value_range=map_range(run, top))
                if path
                else None
            )
        rows.append(Row(cells, "" if rows else image_id))
    return rows
