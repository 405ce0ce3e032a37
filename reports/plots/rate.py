"""Quality against rate: what the bits buy."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from ...bench.store.run import StoredRun
from ..tables.columns import Column, rate_columns
from ..tables.run import codec_names, finite_columns, whole_values
from .points import picture_links
from .style import (
    FAINT,
    NothingToShowError,
    Plot,
    colour_of,
    grid_of,
    legend_above,
    marker_of,
    scale_rates,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2


@styled
def rate(run: StoredRun) -> list[Plot]:
    """Draw one panel a metric against bits per pixel on a log axis."""
    rates = [column for column in rate_columns(run) if column.metric == "bpp"]
    columns = finite_columns(run)
    if not rates or not columns:
        raise NothingToShowError("no codec has both a rate and a quality")
    figure, axes = grid_of(len(columns), COLUMNS, 3.1, 0.4)
    for axis, column in zip(axes, columns, strict=True):
        _draw_panel(axis, run, column, rates)
    legend_above(figure, axes[0].get_legend_handles_labels())
    caption = (
        "Large markers are means over the pictures, small ones single pictures, to which they "
        "lead. Filled: real bytes; hollow: latents at their own precision, or indices of a "
        "codebook, not yet entropy-coded, which is no fair race against real bytes."
    )
    return [Plot("rate", caption, figure)]


def _draw_panel(axis: Axes, run: StoredRun, column: Column, rates: list[Column]) -> None:
    quality = whole_values(run, column.variant)
    for bits in rates:
        table = whole_values(run, bits.variant)
        for place, codec in enumerate(codec_names(run)):
            pairs = pd.DataFrame({"x": table[codec], "y": quality[codec]}).replace(np.inf, np.nan)
            pairs = pairs.dropna()
            if len(pairs):
                hollow = not bits.variant.endswith("measured")
                urls = picture_links(cast(pd.Series, pairs["y"]), codec, column)
                _draw_codec(axis, pairs, place, shorten(codec), hollow, urls)
    scale_rates(axis)
    axis.set_title(column.title)
    axis.set_xlabel(f"bits per pixel · {column.variant} · {column.better}", color=FAINT)


def _draw_codec(
    axis: Axes, pairs: pd.DataFrame, place: int, label: str, hollow: bool, urls: list[str | None]
) -> None:
    colour, marker = colour_of(place), marker_of(place)
    face = "white" if hollow else colour
    many = len(pairs) > 500
    single = axis.scatter(
        pairs["x"],
        pairs["y"],
        s=8,
        color=colour,
        alpha=0.35,
        linewidths=0,
        marker=marker,
        rasterized=many,
    )
    single.set_urls(urls)
    axis.scatter(
        [pairs["x"].mean()],
        [pairs["y"].mean()],
        s=62,
        facecolor=face,
        edgecolors=colour,
        linewidths=1.8,
        marker=marker,
        zorder=4,
        label=label,
    )
