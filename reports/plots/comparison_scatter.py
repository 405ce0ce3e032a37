"""Each picture's value under the baseline and under the codecs, with the line of no change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from ..tables.columns import Column
from ..tables.comparison_rows import compared_codecs, differences_of, metric_columns
from .comparison_differences import NOTHING_COMPARED
from .style import (
    FAINT,
    PAGE_WIDTH_IN,
    NothingToShowError,
    Plot,
    colour_of,
    grid_of,
    legend_above,
    marker_of,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
BETTER_SIDE = "#eaf5f0"
BETTER_INK = "#14663a"
MANY = 400


@styled
def comparison_scatter(comparison: StoredComparison) -> list[Plot]:
    """Draw a panel a metric: the baseline's values of whole pictures across, the codecs' up."""
    codecs = compared_codecs(comparison)
    columns = [
        column
        for column in metric_columns(comparison)
        if any(_points(comparison, codec, column)[0].size for codec in codecs)
    ]
    if not columns:
        raise NothingToShowError(NOTHING_COMPARED)
    across = min(COLUMNS, len(columns))
    side = min(PAGE_WIDTH_IN / across, 4.5)
    figure, axes = grid_of(len(columns), across, side * 0.98, 0.35, width_in=side * across)
    for axis, column in zip(axes, columns, strict=True):
        _draw_panel(axis, comparison, codecs, column)
    legend = axes[0].get_legend_handles_labels()
    legend_above(figure, legend, 4, room_in=0.1, gaps=(1.4, 1.4))
    caption = (
        "A point a picture and codec. On the line the codec does as the baseline does; on the "
        "green side it does better. The distance from the line, up or down, is the difference."
    )
    return [Plot("scatter", caption, figure)]


def _points(
    comparison: StoredComparison, codec: str, column: Column
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the finite values of the baseline and the codec, and how many are not finite."""
    frame = differences_of(comparison, codec, WHOLE, column.variant)
    pairs = frame[["baseline_value", "codec_value"]].to_numpy(dtype=np.float64)
    finite = pairs[np.isfinite(pairs).all(axis=1)]
    return finite[:, 0], finite[:, 1], len(pairs) - len(finite)


def _draw_panel(
    axis: Axes, comparison: StoredComparison, codecs: list[str], column: Column
) -> None:
    drawn = [_points(comparison, codec, column) for codec in codecs]
    values = np.concatenate([part for across, up, _ in drawn for part in (across, up)])
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.01
    low, high = low - room, high + room
    far = high if column.higher_is_better else low
    axis.fill_between([low, high], [low, high], far, color=BETTER_SIDE, linewidth=0)
    axis.plot([low, high], [low, high], color=FAINT, linewidth=1.0)
    for place, (codec, (across, up, _)) in enumerate(zip(codecs, drawn, strict=True)):
        axis.scatter(
            across,
            up,
            s=16 if values.size <= MANY else 5,
            color=colour_of(place),
            marker=marker_of(place),
            alpha=0.8,
            linewidths=0,
            label=shorten(codec),
            rasterized=values.size > 1000,
        )
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_aspect("equal")
    axis.locator_params(nbins=5)
    axis.grid()
    axis.set_title(column.title)
    axis.set_xlabel(shorten(str(comparison.record["baseline"]), 34))
    axis.set_ylabel(shorten(codecs[0], 34) if len(codecs) == 1 else "codec")
    infinite = sum(count for _, _, count in drawn)
    if infinite:
        text = f"{infinite} infinite, not shown"
        axis.text(0.98, 0.03, text, transform=axis.transAxes, ha="right", fontsize=7, color=FAINT)
    side = "above" if column.higher_is_better else "below"
    axis.set_title(f"better {side}", loc="right", fontsize=7.5, color=BETTER_INK)
