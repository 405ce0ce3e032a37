"""Bars of each kind of region beside the whole picture, so that a gap shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...bench.store.run import StoredRun
from ..tables.columns import Column, quality_columns
from ..tables.run import codec_names, per_region, whole_values
from ..tables.statistics import finite_mean
from .style import (
    INK,
    KIND_COLOURS,
    PAGE_WIDTH_IN,
    WHOLE_COLOUR,
    NothingToShowError,
    Plot,
    grid_of,
    legend_above,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_HEIGHT_IN = 2.5


@styled
def regions(run: StoredRun) -> list[Plot]:
    """Draw one panel a metric: whole pictures and each kind of region under each codec."""
    if not run.regions:
        raise NothingToShowError("the run has no regions; give some with --regions")
    table = per_region(run)
    columns = [
        column
        for column in quality_columns(run)
        if len(table) and np.isfinite(table[column.variant, "gap"]).any()
    ]
    if not columns:
        raise NothingToShowError("no metric has a value for a region")
    kinds = list(dict.fromkeys(table.index.get_level_values("kind")))
    bars = len(codec_names(run)) * (len(kinds) + 2)
    width_in = max(PAGE_WIDTH_IN, 0.36 * bars)
    figure, axes = grid_of(len(columns), 1, PANEL_HEIGHT_IN, 0.35, width_in=width_in)
    for axis, column in zip(axes, columns, strict=True):
        _draw_panel(axis, run, table, column, kinds)
    legend_above(figure, axes[0].get_legend_handles_labels(), 8, room_in=0.1)
    caption = (
        "Grey bars are the mean over whole pictures, coloured bars the mean over the regions of a "
        "kind, points single regions. The black line across a bar is the mean of the whole "
        "pictures that its regions lie in, the number the gap between the two."
    )
    return [Plot("regions", caption, figure)]


def _draw_panel(
    axis: Axes, run: StoredRun, table: pd.DataFrame, column: Column, kinds: list[str]
) -> None:
    values: Any = table[column.variant]
    whole = whole_values(run, column.variant)
    # One number of digits a panel, short enough to stand above its bar.
    coarse = float(np.nanmax(np.abs(values["gap"].to_numpy(dtype=float)))) >= 1
    width, start, centres = 0.86, 0.0, list[float]()
    for codec in codec_names(run):
        mean = finite_mean(whole[codec].to_numpy())
        label = "whole picture" if not centres else None
        axis.bar(start, mean, width, color=WHOLE_COLOUR, label=label)
        for place, kind in enumerate(kinds, start=1):
            rows: Any = values.xs((codec, kind), level=("codec", "kind"))
            _draw_kind(axis, start + place, rows, (kind, place, not centres), coarse)
        centres.append(start + len(kinds) / 2)
        start += len(kinds) + 2
    axis.set_xticks(centres, [shorten(name) for name in codec_names(run)])
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y")
    axis.margins(x=0.01, y=0.14)
    axis.set_title(f"{column.title} · {column.better}")


def _draw_kind(
    axis: Axes, x: float, rows: pd.DataFrame, kind: tuple[str, int, bool], coarse: bool
) -> None:
    name, place, labelled = kind
    of_kind = rows.index.get_level_values("region") == ""
    mean, whole, gap = (float(rows.loc[of_kind, key].iloc[0]) for key in ("value", "whole", "gap"))
    if math.isnan(gap):
        axis.text(x, 0, "unavailable", rotation=90, ha="center", va="bottom", fontsize=7)
        return
    colour = KIND_COLOURS[(place - 1) % len(KIND_COLOURS)]
    axis.bar(x, mean, 0.86, color=colour, label=name if labelled else None)
    single = rows.loc[~of_kind, "value"].to_numpy(dtype=float)
    single = single[np.isfinite(single)]
    if single.size > 1:
        axis.scatter(
            np.full(single.size, x),
            single,
            s=8,
            color="white",
            edgecolors=INK,
            linewidths=0.6,
            zorder=3,
        )
    axis.hlines(whole, x - 0.43, x + 0.43, color=INK, linewidth=1.4)
    top = max([whole, mean, *single])
    text = f"{gap:+.1f}" if coarse else f"{gap:+.3f}".replace("0.", ".", 1)
    text = text.replace("-", "−")
    axis.annotate(
        text,
        (x, top),
        (0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=7.5,
        fontweight="bold",
    )
