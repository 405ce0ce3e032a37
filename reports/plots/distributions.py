"""How each metric is distributed over the pictures, a box and its points for each codec."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...bench.store.run import StoredRun
from ..tables.columns import Column
from ..tables.run import codec_names, finite_columns, whole_values
from .style import (
    FAINT,
    INK,
    PAGE_WIDTH_IN,
    NothingToShowError,
    Plot,
    colour_of,
    new_figure,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2
GOLDEN = 0.6180339887
"""Steps of the golden ratio spread points evenly without a random number."""


@styled
def distributions(run: StoredRun) -> list[Plot]:
    """Draw one panel a metric: the values of all pictures under each codec."""
    columns = finite_columns(run)
    if not columns:
        raise NothingToShowError("no metric has a value")
    names = codec_names(run)
    rows = math.ceil(len(columns) / COLUMNS)
    height = 0.75 + 0.42 * len(names)
    figure = new_figure(PAGE_WIDTH_IN, max(1.0, rows * height))
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    for axis, column in zip(axes.flat, columns, strict=False):
        _draw_panel(axis, run, column)
    for axis in axes.flat[len(columns) :]:
        axis.set_visible(False)
    first = axes[0, 0]
    first.set_yticks(range(len(names)), [shorten(name) for name in names])
    first.set_ylim(len(names) - 0.4, -0.6)
    figure.tight_layout(pad=0.6, h_pad=1.4, w_pad=1.6)
    caption = (
        "Each point is a picture; boxes span the middle half of the pictures around the median, "
        "whiskers reach to 1.5 times the box."
    )
    return [Plot("distributions", caption, figure)]


def _draw_panel(axis: Axes, run: StoredRun, column: Column) -> None:
    axis.grid(axis="x")
    better = "higher is better" if column.higher_is_better else "lower is better"
    unit = f", {column.unit}" if column.unit else ""
    axis.set_title(f"{column.label}{unit}")
    axis.set_xlabel(f"{column.variant} · {better}", color=FAINT)
    for place, of_codec in enumerate(whole_values(run, column.variant).values()):
        values = of_codec.dropna().to_numpy()
        finite = values[np.isfinite(values)]
        if not finite.size:
            word = "unavailable" if not values.size else f"all {values.size} identical"
            axis.text(
                0.02, place, word, transform=axis.get_yaxis_transform(), color=FAINT, va="center"
            )
            continue
        _draw_box(axis, place, finite)
        infinite = int(np.isinf(values).sum())
        if infinite:
            note = f"+{infinite} identical (inf)"
            axis.text(
                1, place - 0.38, note, transform=axis.get_yaxis_transform(), ha="right", fontsize=7
            )


def _draw_box(axis: Axes, place: int, values: np.ndarray) -> None:
    colour = colour_of(place)
    line = {"color": INK, "linewidth": 1.0}
    axis.boxplot(
        [values],
        positions=[place],
        widths=0.56,
        orientation="horizontal",
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": f"{colour}30", "edgecolor": colour, "linewidth": 1.0},
        medianprops={"color": INK, "linewidth": 1.6},
        whiskerprops={**line, "color": colour},
        capprops={**line, "color": colour},
    )
    jitter = (np.arange(values.size) * GOLDEN % 1 - 0.5) * 0.42
    axis.scatter(
        values,
        place + jitter,
        s=9 if values.size <= 200 else 3,
        color=colour,
        alpha=0.75 if values.size <= 200 else 0.3,
        linewidths=0,
        zorder=3,
        # Thousands of vector points make an SVG that no browser opens quickly.
        rasterized=values.size > 500,
    )
