"""How each metric is distributed over the pictures, a box and its points for each codec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...bench.store.run import StoredRun
from ..tables.columns import Column
from ..tables.run import codec_names, finite_columns, whole_values
from .style import FAINT, INK, NothingToShowError, Plot, colour_of, grid_of, shorten, styled

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
    figure, axes = grid_of(len(columns), COLUMNS, 0.75 + 0.42 * len(names), sharey=True)
    for axis, column in zip(axes, columns, strict=True):
        _draw_panel(axis, run, column)
    axes[0].set_yticks(range(len(names)), [shorten(name) for name in names])
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    figure.tight_layout(pad=0.6, h_pad=1.4, w_pad=1.6)
    caption = (
        "Each point is a picture; boxes span the middle half of the pictures around the median, "
        "whiskers reach to 1.5 times the box."
    )
    return [Plot("distributions", caption, figure)]


def _draw_panel(axis: Axes, run: StoredRun, column: Column) -> None:
    axis.grid(axis="x")
    axis.set_title(column.title)
    axis.set_xlabel(f"{column.variant} · {column.better}", color=FAINT)
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
