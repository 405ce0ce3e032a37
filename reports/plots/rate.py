"""Quality against rate: what the bits buy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from ...bench.store.run import StoredRun
from ..tables.columns import Column, rate_columns
from ..tables.run import codec_names, finite_columns, whole_values
from .points import picture_links
from .style import (
    FAINT,
    PAGE_WIDTH_IN,
    NothingToShowError,
    Plot,
    colour_of,
    marker_of,
    new_figure,
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
    rows = math.ceil(len(columns) / COLUMNS)
    figure = new_figure(PAGE_WIDTH_IN, 3.1 * rows + 0.4)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    for axis, column in zip(axes.flat, columns, strict=False):
        _draw_panel(axis, run, column, rates)
    for axis in axes.flat[len(columns) :]:
        axis.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", ncols=min(len(labels), 5))
    legend_rows = math.ceil(len(labels) / 5)
    top = 1 - (0.12 + 0.2 * legend_rows) / float(figure.get_figheight())
    figure.tight_layout(pad=0.6, h_pad=1.4, w_pad=1.6, rect=(0, 0, 1, top))
    caption = (
        "Large markers are means over the pictures, small ones single pictures, to which they "
        "lead. Filled: real bytes "
        "of a file; hollow: latents as stored at their own precision, not yet entropy-coded, which "
        "is no fair race against a file."
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
    axis.set_xscale("log")
    axis.grid()
    _label_ticks(axis)
    unit = f", {column.unit}" if column.unit else ""
    better = "higher is better" if column.higher_is_better else "lower is better"
    axis.set_title(f"{column.label}{unit}")
    axis.set_xlabel(f"bits per pixel · {column.variant} · {better}", color=FAINT)


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


def _label_ticks(axis: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
