"""Rate-distortion curves, and Bjøntegaard deltas as bars with their intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...bench.rate.store import StoredRd
from ..tables.columns import Column
from ..tables.rate import curve_means, metric_columns, swept_codecs
from .style import (
    FAINT,
    INK,
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
LEGEND_COLUMNS = 6
_MANY_POINTS = 500
_CLOSE = 4
"""An axis of fewer doublings is labelled at its ends, a longer one half-way."""


@styled
def rd_curves(found: StoredRd) -> list[Plot]:
    """Draw a panel a metric: the set's mean curve of each codec, and each picture's points."""
    columns = metric_columns(found)
    if not columns:
        raise NothingToShowError("no metric has a value")
    figure, axes = grid_of(len(columns), COLUMNS, 3.3, 0.3)
    for axis, column in zip(axes, columns, strict=True):
        _draw_curves(axis, found, column)
    legend_above(figure, axes[0].get_legend_handles_labels(), LEGEND_COLUMNS)
    caption = (
        "Lines: means of rate and metric over the pictures at each setting. Small marks: single "
        "pictures. All rates are real bytes: an autoencoder's are its quantised, range-coded "
        "latents with their header."
    )
    return [Plot("rd_curves", caption, figure)]


def _draw_curves(axis: Axes, found: StoredRd, column: Column) -> None:
    means: Any = curve_means(found, column.variant)
    own: Any = found.points[found.points["variant"] == column.variant]
    own = own.replace([np.inf, -np.inf], np.nan).dropna(subset=["value"])
    for place, codec in enumerate(swept_codecs(found)):
        colour, marker = colour_of(place), marker_of(place)
        single = own[own["codec"] == codec]
        axis.scatter(
            single["bpp"],
            single["value"],
            s=5,
            color=colour,
            alpha=0.22,
            linewidths=0,
            marker=marker,
            rasterized=len(own) > _MANY_POINTS,
        )
        curve = means[means["codec"] == codec].sort_values("bpp")
        axis.plot(
            curve["bpp"],
            curve["value"],
            color=colour,
            marker=marker,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.7,
            zorder=4,
            label=shorten(codec, 22),
        )
    scale_rates(axis)
    axis.set_title(column.title)
    axis.set_xlabel(f"bits per pixel · {column.variant} · {column.better}", color=FAINT)


@styled
def bd_rates(found: StoredRd) -> list[Plot]:
    """Draw a panel a metric, a bar a codec: BD-rate against the anchor on a log axis."""
    if not bool(found.bd["bd_rate_percent"].notna().any()):
        raise NothingToShowError("every BD-rate was refused; the table says why")
    columns = metric_columns(found)
    codecs = [name for name in swept_codecs(found) if name != found.record["anchor"]]
    figure, axes = grid_of(len(columns), len(columns), 1.0 + 0.36 * len(codecs), sharey=True)
    reach = _reach(found.bd)
    for axis, column in zip(axes, columns, strict=True):
        rows = found.bd[found.bd["metric"] == column.variant].set_index("codec")
        _draw_bars(axis, rows, codecs, swept_codecs(found), reach)
        axis.set_title(column.label)
    axes[0].set_yticks(range(len(codecs)), [shorten(name, 18) for name in codecs])
    axes[0].set_ylim(len(codecs) - 0.4, -0.6)
    figure.supxlabel(
        f"bits for the quality of {found.record['anchor']}, log scale", fontsize=8.5, color=FAINT
    )
    figure.tight_layout(pad=0.6, w_pad=1.0)
    per_cent = f"{100 * float(found.record['bootstrap']['confidence']):g} %"
    caption = (
        f"BD-rate against {found.record['anchor']}: to the left fewer bits for equal quality. "
        f"Whiskers are {per_cent} intervals over pictures. Where no bar stands, the curves share "
        "too little quality for a number."
    )
    return [Plot("bd_rates", caption, figure)]


def _reach(bd: pd.DataFrame) -> float:
    """Return how far the axes go to either side, in factors of two."""
    numbers = bd[["bd_rate_percent", "ci_low", "ci_high"]].to_numpy(np.float64)
    return max(1.0, float(np.nanmax(np.abs(_doublings(numbers)))) * 1.1)


def _doublings(percent: Any) -> Any:
    """Return per cent more bits as a number of doublings: −50 % is −1, +100 % is +1."""
    return np.log2(1 + np.asarray(percent, np.float64) / 100)


def _draw_bars(
    axis: Axes, rows: pd.DataFrame, codecs: list[str], order: list[str], reach: float
) -> None:
    axis.grid(axis="x", which="both")
    axis.axvline(0, color=INK, linewidth=0.8)
    for place, codec in enumerate(codecs):
        row: Any = rows.loc[codec]
        value = float(row["bd_rate_percent"])
        if math.isnan(value):
            where: Any = {"textcoords": "offset points", "va": "center", "fontsize": 6.5}
            axis.annotate("no overlap", (0, place), (3, 0), color=FAINT, **where)
            continue
        axis.barh(place, float(_doublings(value)), 0.62, color=colour_of(order.index(codec)))
        low, high = float(row["ci_low"]), float(row["ci_high"])
        if not math.isnan(low):
            ends = [float(_doublings(low)), float(_doublings(high))]
            axis.plot(ends, [place, place], color=INK, linewidth=1.1, marker="|", markersize=5)
    axis.set_xlim(-reach, reach)
    steps = range(-math.floor(reach), math.floor(reach) + 1)
    # Three labels are what a narrow panel holds.
    outer = steps[-1] if steps[-1] < _CLOSE else steps[-1] // 2
    places = [-outer, 0, outer]
    labels = ["0" if step == 0 else _per_cent(step) for step in places]
    axis.set_xticks(places, labels)
    axis.set_xticks(steps, minor=True)
    axis.tick_params(axis="x", labelsize=7)


def _per_cent(doublings: int) -> str:
    return f"{100 * (2.0**doublings - 1):+.0f} %".replace("-", "−")
