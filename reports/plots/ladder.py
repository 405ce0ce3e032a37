"""The loss ladder: what each rung costs alone, and what all rungs up to it cost together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .style import FAINT, INK, NothingToShowError, Plot, grid_of, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASE = "base"
ALONE_COLOUR = "#0072B2"
TOGETHER_COLOUR = "#E69F00"
BAR = 0.38


@styled
def ladder_plot(table: pd.DataFrame, units: Mapping[str, str]) -> Plot:
    """Draw a panel a metric, a pair of bars a rung: the differences to the base.

    Args:
        table: rung, mode (alone, cumulative), metric, value, difference; null where unavailable.
        units: the unit of each metric, in the order of the panels.
    Raises: NothingToShowError where no metric has a value of the base.
    """
    known = table.loc[table["rung"].eq(BASE) & table["value"].notna(), "metric"]
    shown = [metric for metric in units if metric in set(known)]
    rungs = [rung for rung in dict.fromkeys(table["rung"]) if rung != BASE]
    if not shown or not rungs:
        raise NothingToShowError("no metric has a value of the ladder's base")
    figure, axes = grid_of(len(shown), len(shown), 0.95 + 0.3 * len(rungs), sharey=True)
    for axis, metric in zip(axes, shown, strict=True):
        _draw(axis, table, metric, rungs)
        base = table.loc[table["rung"].eq(BASE) & table["metric"].eq(metric), "value"].iloc[0]
        unit = f" {units[metric]}" if units[metric] else ""
        axis.set_title(f"{metric}: base {base:.4g}{unit}")
        axis.set_xlabel(f"difference to the base{f', {units[metric]}' if units[metric] else ''}")
    axes[0].set_yticks(range(len(rungs)), rungs)
    axes[0].set_ylim(len(rungs) - 0.4, -0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower right", ncols=2)
    figure.tight_layout(pad=0.6, w_pad=1.6, rect=(0, 0.06, 1, 1))
    caption = (
        "What each rung of the protocol changes against the base (float32, mode of the posterior, "
        "no tiling, not rounded): switched on alone, and together with every rung above it."
    )
    return Plot("ladder", caption, figure)


def _draw(axis: Axes, table: pd.DataFrame, metric: str, rungs: list[str]) -> None:
    axis.grid(axis="x")
    axis.axvline(0, color=INK, linewidth=0.8)
    keys = zip(table["metric"], table["mode"], table["rung"], strict=True)
    differences = dict(zip(keys, table["difference"].to_numpy(np.float64), strict=True))
    for mode, shift, colour in (
        ("alone", -BAR / 2, ALONE_COLOUR),
        ("cumulative", BAR / 2, TOGETHER_COLOUR),
    ):
        values = np.array([differences[metric, mode, rung] for rung in rungs])
        places = np.arange(len(rungs)) + shift
        is_known = np.isfinite(values)
        axis.barh(places[is_known], values[is_known], BAR, color=colour, label=mode)
        for place in places[~is_known]:
            axis.annotate(
                f"{mode}: unavailable",
                (0, float(place)),
                (3, 0),
                textcoords="offset points",
                va="center",
                color=FAINT,
                fontsize=6.5,
            )
