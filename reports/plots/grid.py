"""Rows of pictures with a line of text above and below each, at page width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.selection import ERROR_COLOURS
from .style import FAINT, INK, PAGE_WIDTH_IN, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CODECS_A_ROW = 5
GAP_IN = 0.08
LINE_IN = 0.17
TITLE_IN = 0.34
SCALE_IN = 0.62
MARGIN_IN = 0.12


@dataclass(frozen=True)
class Cell:
    """A picture of a row: uint8 RGB or grey with its range, words above and below, a box."""

    pixels: np.ndarray
    above: str = ""
    below: str = ""
    strong: bool = False
    value_range: tuple[float, float] | None = None
    colours: str = ERROR_COLOURS
    nearest: bool = False
    box_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Row:
    """Cells beside each other, None where a place stays empty; a title above them."""

    cells: Sequence[Cell | None]
    title: str = ""


def chunks(names: Sequence[str], size: int = CODECS_A_ROW) -> list[Sequence[str]]:
    """Return the codecs in groups that fit beside a reference at page width."""
    return [names[start : start + size] for start in range(0, len(names), size)]


def draw_rows(
    rows: Sequence[Row], scale: tuple[float, str] | None = None, widest_in: float = 2.2
) -> Figure:
    """Draw rows of cells; `scale` adds the bar of the error colours from 0 to a top, and its label.

    All cells are equally wide; a picture taller than wide is fitted into a square.
    """
    columns = max(len(row.cells) for row in rows)
    width = min(widest_in, (PAGE_WIDTH_IN - 2 * MARGIN_IN + GAP_IN) / columns - GAP_IN)
    heights = [_row_height(row, width) for row in rows]
    total = sum(heights) + 2 * MARGIN_IN + (SCALE_IN if scale else 0.0)
    figure = new_figure(PAGE_WIDTH_IN, total)
    top = total - MARGIN_IN
    for row, height in zip(rows, heights, strict=True):
        _draw_row(figure, row, width, top)
        top -= height
    if scale:
        _draw_scale(figure, *scale)
    return figure


def _texts(row: Row) -> tuple[float, float]:
    cells = [cell for cell in row.cells if cell]
    above = LINE_IN if any(cell.above for cell in cells) else 0.0
    lines = max((cell.below.count("\n") + 1 for cell in cells if cell.below), default=0)
    return above, LINE_IN * lines


def _row_height(row: Row, width: float) -> float:
    above, below = _texts(row)
    return (TITLE_IN if row.title else 0.0) + above + _picture_height(row, width) + below + GAP_IN


def _picture_height(row: Row, width: float) -> float:
    shapes = [cell.pixels.shape for cell in row.cells if cell]
    return width * min(1.0, max(shape[0] / shape[1] for shape in shapes))


def _draw_row(figure: Figure, row: Row, width: float, top: float) -> None:
    total_width, total_height = (float(side) for side in figure.get_size_inches())
    if row.title:
        place = (MARGIN_IN / total_width, (top - 0.2) / total_height)
        figure.text(*place, row.title, fontweight="bold", fontsize=9.5)
        top -= TITLE_IN
    top -= _texts(row)[0]
    height = _picture_height(row, width)
    for column, cell in enumerate(row.cells):
        if cell is None:
            continue
        left = MARGIN_IN + column * (width + GAP_IN)
        box = (left / total_width, (top - height) / total_height)
        axis = figure.add_axes((*box, width / total_width, height / total_height))
        _draw_cell(axis, cell, width)


def _draw_cell(axis: Axes, cell: Cell, width: float) -> None:
    low, high = cell.value_range or (None, None)
    axis.imshow(
        cell.pixels,
        cmap=cell.colours,
        vmin=low,
        vmax=high,
        interpolation="nearest" if cell.nearest else "auto",
    )
    axis.set_anchor("NW")
    axis.set_axis_off()
    letters = int(width * 14)
    if cell.above:
        # Text of its own: a title is laid out around tick labels that are not there, slowly.
        above = shorten(cell.above, letters)
        axis.annotate(
            above, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", fontsize=8
        )
    if cell.below:
        weight = "bold" if cell.strong else "normal"
        axis.text(
            0,
            -0.02,
            cell.below,
            transform=axis.transAxes,
            va="top",
            fontsize=7.5,
            fontweight=weight,
        )
    if cell.box_px:
        _draw_box(axis, cell.box_px)


def _draw_box(axis: Axes, box_px: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box_px
    # Dark under light: one of the two shows on any picture.
    for colour, line in ((INK, 2.2), ("white", 1.0)):
        axis.add_patch(
            Rectangle(
                (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=line
            )
        )


def _draw_scale(figure: Figure, top: float, label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    total_width, total_height = (float(side) for side in figure.get_size_inches())
    place = (MARGIN_IN / total_width, 0.42 / total_height, 3.2 / total_width, 0.12 / total_height)
    axis = figure.add_axes(place)
    mappable = ScalarMappable(Normalize(0, top), ERROR_COLOURS)
    bar = figure.colorbar(mappable, cax=axis, orientation="horizontal", extend="max")
    bar.outline.set_visible(False)
    axis.tick_params(labelsize=7.5, length=2, color=FAINT)
    figure.text(
        (MARGIN_IN + 3.4) / total_width, 0.43 / total_height, label, fontsize=8, va="bottom"
    )
