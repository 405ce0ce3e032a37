"""Quality against time: what the milliseconds buy."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...bench.records import Timing
from ...bench.store.run import StoredRun
from ..tables.columns import Column
from ..tables.run import codec_names, finite_columns, whole_values
from ..tables.statistics import finite_mean
from ..tables.timings import CPU, device_phrase, devices_of, size_text
from .lines import cells_or_reason, place_of
from .panels import place_legend, scale_log
from .points import picture_links
from .style import (
    FAINT,
    NothingToShowError,
    Plot,
    colour_of,
    grid_of,
    labels_once,
    marker_of,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2
MANY = 500
"""More points than this are drawn as pixels: an SVG of thousands is slow to open."""


@dataclass(frozen=True)
class Timed:
    """A codec's round trip as it was scored: the cell and its median time for one picture."""

    cell: Timing
    ms_a_picture: float


@styled
def quality_latency(run: StoredRun) -> list[Plot]:
    """Draw one panel a metric against the time of a round trip on a log axis."""
    columns = finite_columns(run)
    cells = cells_or_reason(run)
    if not columns:
        raise NothingToShowError("no metric has a value")
    timed = _round_trips(run, cells)
    if not timed:
        raise NothingToShowError(
            "no codec was timed on a round trip in the precision in which it was scored"
        )
    figure, axes = grid_of(len(columns), COLUMNS, 2.9, 0.4)
    shown = [one.cell for one in timed.values()]
    fills = [
        f"{shorten(device, 26)} ({'hollow' if device == CPU else 'filled'})"
        for device in devices_of(shown)
    ]
    batch = f" in batches of {shown[0].batch}" if shown[0].batch > 1 else ""
    label = f"ms a picture of {size_text(shown[0])} px{batch} (p50)\non {', '.join(fills)}"
    for axis, column in zip(axes, columns, strict=True):
        _draw_panel(axis, run, column, timed)
        axis.set_xlabel(label, color=FAINT)
    place_legend(figure, labels_once(axes[:1]))
    return [Plot("quality_latency", _caption(run, shown), figure)]


def _caption(run: StoredRun, cells: list[Timing]) -> str:
    fills = [
        f"hollow markers are on {device_phrase(run, cells, device)}, not on a GPU"
        if device == CPU
        else f"filled markers are on {device_phrase(run, cells, device)}"
        for device in devices_of(cells)
    ]
    return (
        "The mean of a metric over the pictures (large markers; small ones are single pictures, to "
        "which they lead) against the median time (p50) of encoding and decoding one picture; "
        f"lines reach to p90; {'; '.join(fills)}. Every codec is in the "
        "precision in which it was scored. The quality is that of the run's pictures, the time "
        "that of pictures of the size named below each panel."
    )


def _round_trips(run: StoredRun, cells: list[Timing]) -> dict[str, Timed]:
    """Return each codec's round trip in its scored precision, all of one size and batch.

    The size and batch are those that most codecs have, the smaller batch and larger size first.
    """
    scored = {codec.name: codec for codec in run.record.codecs}
    usable = [
        cell
        for cell in cells
        if cell.stage == "roundtrip"
        and cell.samples_ms
        and cell.codec in scored
        and cell.dtype == scored[cell.codec].dtype
    ]
    owners = {(c.codec, c.batch, c.width_px, c.height_px) for c in usable}
    counts = Counter(owner[1:] for owner in owners)
    if not counts:
        return {}
    shape = max(counts, key=lambda key: (counts[key], -key[0], key[1] * key[2]))
    chosen: dict[str, Timed] = {}
    for cell in usable:
        settings = scored[cell.codec].settings
        on = [mode for mode in ("channels_last", "compile") if settings.get(mode)]
        as_scored = cell.mode == ("+".join(on) or "eager")
        median_ms = cell.percentile_ms(50)
        fits = (cell.batch, cell.width_px, cell.height_px) == shape
        if fits and median_ms and (as_scored or cell.codec not in chosen):
            chosen[cell.codec] = Timed(cell, median_ms / cell.batch)
    return {name: chosen[name] for name in codec_names(run) if name in chosen}


def _draw_panel(axis: Axes, run: StoredRun, column: Column, timed: dict[str, Timed]) -> None:
    values = whole_values(run, column.variant)
    edges: list[float] = []
    for codec, one in timed.items():
        mean = finite_mean(values[codec].to_numpy())
        if math.isnan(mean):
            continue
        place = place_of(run, codec)
        colour = colour_of(place)
        slow_ms = (one.cell.percentile_ms(90) or 0.0) / one.cell.batch
        edges += [one.ms_a_picture, slow_ms]
        axis.hlines(mean, one.ms_a_picture, slow_ms, color=colour, linewidth=1.2)
        _draw_pictures(axis, values[codec], one, column, codec, colour)
        axis.scatter(
            [one.ms_a_picture],
            [mean],
            s=62,
            facecolor="white" if one.cell.device == CPU else colour,
            edgecolors=colour,
            linewidths=1.8,
            marker=marker_of(place),
            zorder=4,
            label=shorten(codec),
        )
    if edges:
        scale_log(axis, edges, vertical=False)
    axis.margins(y=0.15)
    axis.grid()
    axis.set_title(f"{column.title} · {column.better}")


def _draw_pictures(
    axis: Axes, values: pd.Series, one: Timed, column: Column, codec: str, colour: str
) -> None:
    """Draw each picture's value at its codec's time: only scores are of single pictures."""
    known = values.replace(np.inf, np.nan).dropna()
    single = axis.scatter(
        np.full(len(known), one.ms_a_picture),
        known,
        s=8,
        color=colour,
        alpha=0.35,
        linewidths=0,
        rasterized=len(known) > MANY,
    )
    single.set_urls(picture_links(known, codec, column))
