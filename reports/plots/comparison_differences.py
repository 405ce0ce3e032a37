"""The difference of each picture, sorted, with the mean and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from ..tables.comparison_rows import ComparedRow, compared_codecs, compared_rows
from .comparison_panels import (
    BETTER_COLOUR,
    FEWEST_PICTURES,
    NOTHING_COMPARED,
    VERDICT_COLOURS,
    WORSE_COLOUR,
    differences,
    gains,
    stem_of,
    worth_drawing,
)
from .style import FAINT, INK, PAGE_WIDTH_IN, NothingToShowError, Plot, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 2
PANEL_HEIGHT_IN = 1.95
TIED_COLOUR = "#a3a3a3"
FEWEST_BARS = 10
MOST_SEPARATE_BARS = 120


@styled
def comparison_differences(comparison: StoredComparison) -> list[Plot]:
    """Draw a figure a codec: every metric over whole pictures, the first one in every region."""
    plots: list[Plot] = []
    rows = compared_rows(comparison)
    for codec in compared_codecs(comparison):
        chosen = worth_drawing(_chosen([row for row in rows if row.codec == codec]))
        if not chosen:
            continue
        caption = (
            f"{codec} minus {chosen[0].baseline}, a bar a picture, from the greatest loss on the "
            "left to the greatest gain on the right: green is better, orange worse. The line "
            "is the mean of the pictures, the band its "
            f"{100 * float(comparison.record['confidence']):g} % interval; dotted lines are the "
            "margin within which the two are called the same. Regions of fewer than "
            f"{FEWEST_PICTURES} pictures are in the table alone."
        )
        stem = stem_of("differences", codec, plots)
        plots.append(Plot(stem, caption, _draw(comparison, chosen)))
    if not plots:
        raise NothingToShowError(NOTHING_COMPARED)
    return plots


def _chosen(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    first = next((row.column.variant for row in rows), "")
    return [row for row in rows if row.region == WHOLE or row.column.variant == first]


def _draw(comparison: StoredComparison, rows: Sequence[ComparedRow]) -> Figure:
    lines = math.ceil(len(rows) / COLUMNS)
    figure = new_figure(PAGE_WIDTH_IN, PANEL_HEIGHT_IN * lines + 0.1)
    axes = figure.subplots(lines, COLUMNS, squeeze=False)
    for axis, row in zip(axes.flat, rows, strict=False):
        _draw_panel(axis, row, differences(comparison, row))
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    figure.tight_layout(pad=0.6, h_pad=1.3, w_pad=1.6)
    return figure


def _draw_panel(axis: Axes, row: ComparedRow, values: np.ndarray) -> None:
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    places = np.arange(values.size)[is_finite]
    won = np.sign(gains(finite, row))
    names = {-1.0: WORSE_COLOUR, 0.0: TIED_COLOUR, 1.0: BETTER_COLOUR}
    colours = [names[float(sign)] for sign in won]
    if values.size <= MOST_SEPARATE_BARS:
        axis.bar(places, finite, 0.82, color=colours)
    else:
        # Thousands of vector bars make an SVG that no browser opens quickly.
        axis.vlines(places, 0, finite, colors=colours, linewidth=0.7, rasterized=True)
    if row.mean_diff is not None:
        if row.ci_low is not None and row.ci_high is not None:
            axis.axhspan(row.ci_low, row.ci_high, color=INK, alpha=0.16, linewidth=0)
        axis.axhline(row.mean_diff, color=INK, linewidth=1.3)
    axis.axhline(0, color=FAINT, linewidth=0.8)
    _show_margin(axis, row, finite)
    axis.grid(axis="y")
    axis.set_xticks([])
    spare = max(0, FEWEST_BARS - values.size) / 2
    axis.set_xlim(-0.8 - spare, values.size - 0.2 + spare)
    axis.margins(y=0.12)
    infinite = int(values.size - finite.size)
    pictures = f"{values.size} picture{'' if values.size == 1 else 's'}"
    axis.set_xlabel(f"{pictures}, {infinite} infinite" if infinite else pictures, color=FAINT)
    unit = f", {row.column.unit}" if row.column.unit else ""
    axis.set_title(f"{row.column.label}{unit} · {shorten(row.region, 16)}")
    interval = "" if row.ci_low is None else f" {row.interval}"
    text = f"{row.difference}{interval} {row.verdict}".replace("-", "−")
    axis.set_title(
        text, loc="right", fontsize=7.8, fontweight="bold", color=VERDICT_COLOURS[row.verdict]
    )


def _show_margin(axis: Axes, row: ComparedRow, finite: np.ndarray) -> None:
    """Dot the margin, unless it would leave the bars no height."""
    highest = float(np.abs(finite).max()) if finite.size else 0.0
    if row.margin and highest * 8 >= row.margin:
        for side in (-row.margin, row.margin):
            axis.axhline(side, color=FAINT, linewidth=0.9, linestyle=":")
