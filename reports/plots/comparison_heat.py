"""Where each codec gains and loses: codecs by regions, coloured by the difference in margins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...bench.compare.store import StoredComparison
from ..tables.comparison_rows import (
    ComparedRow,
    compared_codecs,
    compared_regions,
    compared_rows,
    metric_columns,
)
from .comparison_differences import NOTHING_COMPARED
from .style import FAINT, INK, PAGE_WIDTH_IN, NothingToShowError, Plot, grid_of, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "BrBG"
"""From brown (worse) to blue-green (better), told apart with any colour vision."""

LEAST_TOP = 10
NO_MARGIN_COLOUR = "#eeeeee"
ROW_IN = 0.44
TITLE_IN = 0.55
SCALE_IN = 0.65
WIDEST_CELL_IN = 1.5
NAMES_IN = 1.75


@styled
def comparison_heat(comparison: StoredComparison) -> list[Plot]:
    """Draw a panel a metric: a row a codec, a column a region, differences and verdicts inside."""
    rows = [row for row in compared_rows(comparison) if row.mean_diff is not None]
    if not rows:
        raise NothingToShowError(NOTHING_COMPARED)
    codecs, regions = compared_codecs(comparison), compared_regions(comparison)
    columns = [
        column
        for column in metric_columns(comparison)
        if any(row.column.variant == column.variant for row in rows)
    ]
    norm = _norm(rows)
    width = max(PAGE_WIDTH_IN, NAMES_IN + 0.75 * len(regions))
    height = (ROW_IN * len(codecs) + TITLE_IN) * len(columns) + SCALE_IN
    figure, axes = grid_of(len(columns), 1, 0, height, width_in=width)
    cell_in = min(WIDEST_CELL_IN, (width - NAMES_IN - 0.15) / len(regions))
    figure.subplots_adjust(
        left=NAMES_IN / width,
        right=(NAMES_IN + cell_in * len(regions)) / width,
        top=1 - 0.3 / height,
        bottom=(SCALE_IN + 0.22) / height,
        hspace=TITLE_IN / (ROW_IN * len(codecs)),
    )
    for axis, column in zip(axes, columns, strict=True):
        own = [row for row in rows if row.column.variant == column.variant]
        _draw_panel(axis, own, codecs, regions, norm)
        margin = next((row.margin_text for row in own if row.margin), "none, so no colour")
        axis.set_title(f"{column.title} · margin {margin}")
    _draw_scale(figure, norm, (width, height))
    caption = (
        "Mean difference to the baseline and verdict. The colour is the difference in units of the "
        "metric's margin, with its sign turned so that blue-green is always better and brown "
        "always worse; within one margin the scale is linear, beyond it logarithmic."
    )
    return [Plot("regions", caption, figure)]


def _norm(rows: list[ComparedRow]) -> Any:
    from matplotlib.colors import SymLogNorm

    sizes = [abs(row.gain / row.margin) for row in rows if row.gain is not None and row.margin]
    top = 10.0 ** math.ceil(math.log10(max([LEAST_TOP, *sizes])))
    return SymLogNorm(linthresh=1, linscale=1, vmin=-top, vmax=top)


def _draw_panel(
    axis: Axes, rows: list[ComparedRow], codecs: list[str], regions: list[str], norm: Any
) -> None:
    import matplotlib as mpl

    cells = {(row.codec, row.region): row for row in rows}
    for y, codec in enumerate(codecs):
        for x, region in enumerate(regions):
            row = cells.get((codec, region))
            if row is None or row.gain is None:
                axis.text(x, y, "–", ha="center", va="center", color=FAINT)
                continue
            colour: Any = NO_MARGIN_COLOUR
            if row.margin:
                colour = mpl.colormaps[COLOURS](norm(row.gain / row.margin))
            axis.fill(
                [x - 0.48, x + 0.48, x + 0.48, x - 0.48],
                [y - 0.46, y - 0.46, y + 0.46, y + 0.46],
                color=colour,
                linewidth=0,
            )
            ink = _ink_on(colour)
            text = row.difference.replace("-", "−")
            axis.text(x, y - 0.16, text, ha="center", va="center", color=ink, fontsize=8)
            axis.text(
                x,
                y + 0.2,
                row.verdict,
                ha="center",
                va="center",
                color=ink,
                fontsize=7.5,
                fontweight="bold",
            )
    axis.set_xlim(-0.5, len(regions) - 0.5)
    axis.set_ylim(len(codecs) - 0.5, -0.5)
    axis.set_xticks(range(len(regions)), [shorten(region, 14) for region in regions])
    axis.set_yticks(range(len(codecs)), [shorten(codec, 24) for codec in codecs])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _ink_on(colour: Any) -> str:
    """Return black or white, whichever is read on a colour: relative luminance of WCAG 2."""
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return INK if float(np.dot(linear, (0.2126, 0.7152, 0.0722))) > 0.2 else "white"


def _draw_scale(figure: Any, norm: Any, size_in: tuple[float, float]) -> None:
    from matplotlib.cm import ScalarMappable

    width, height = size_in
    axis = figure.add_axes((NAMES_IN / width, 0.36 / height, 4.0 / width, 0.11 / height))
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), axis, orientation="horizontal")
    powers = [10.0**place for place in range(round(math.log10(norm.vmax)) + 1)]
    ticks = [*(-power for power in reversed(powers)), 0.0, *powers]
    bar.set_ticks(ticks, labels=[f"{tick:g}".replace("-", "−") for tick in ticks], fontsize=7.5)
    bar.minorticks_off()
    bar.outline.set_visible(False)
    bar.set_label("worse  ←  difference in margins  →  better", fontsize=7.5)
