"""Mean curves of a set of pictures, and their Bjøntegaard deltas with intervals over pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..records import MetricColumn
from .bd import Curve, Delta, bd_quality, bd_rate

RESAMPLES = 1000
CONFIDENCE = 0.95
FEWEST_PICTURES = 5
"""Of fewer pictures a percentile interval is far too narrow, so that none is given."""

MOST_REFUSED = 0.05
"""An interval is given only where at most this share of the resampled sets has no number."""

_Measure = Callable[[Curve, Curve], Delta]


@dataclass(frozen=True)
class Grid:
    """One codec and metric: bits per pixel and values, float64 [S, N], of settings and pictures."""

    codec: str
    settings: tuple[str, ...]
    images: tuple[str, ...]
    bpp: NDArray[np.float64]
    value: NDArray[np.float64]

    def mean(self, chosen: NDArray[np.intp]) -> Curve:
        """Return the set's curve: means of rate and metric at each setting, over some pictures."""
        return Curve(self.codec, self.bpp[:, chosen].mean(1), self.value[:, chosen].mean(1))


@dataclass(frozen=True)
class Interval:
    """A delta of a set and its interval over pictures; None where there is none: see `note`."""

    value: float | None
    low: float | None
    high: float | None
    note: str


def grid_of(points: pd.DataFrame, codec: str, variant: str) -> Grid:
    """Return a codec's points of one metric; NaN where a picture lacks one."""
    own = points[(points["codec"] == codec) & (points["variant"] == variant)]
    settings = list(dict.fromkeys(own["setting"]))
    images = list(dict.fromkeys(own["image_id"]))
    shape = {"index": "setting", "columns": "image_id"}
    tables = [
        own.pivot(values=name, **shape).reindex(index=settings, columns=images)
        for name in ("bpp", "value")
    ]
    bpp, value = (table.to_numpy(np.float64) for table in tables)
    return Grid(codec, tuple(settings), tuple(images), bpp, value)


def shared(codec: Grid, anchor: Grid) -> tuple[Grid, Grid, str]:
    """Return both without the settings that no picture has and the pictures that either lacks.

    So both means are over the same pictures, and no point of a curve is over fewer than another.
    """
    kept = [_without_empty(grid) for grid in (codec, anchor)]
    whole = [
        {name for name, full in zip(grid.images, _complete(grid), strict=True) if full}
        for grid in kept
    ]
    images = tuple(name for name in codec.images if all(name in have for have in whole))
    chosen = [_of_images(grid, images) for grid in kept]
    total = len({*codec.images, *anchor.images})
    note = "" if len(images) == total else f"{len(images)} of {total} pictures have all points"
    return chosen[0], chosen[1], note


def _without_empty(grid: Grid) -> Grid:
    # Of no picture at all numpy would say that every setting is empty and none is.
    empty = np.asarray(np.isnan(grid.value).all(axis=1), np.bool_)
    known = ~empty & bool(grid.images)
    settings = tuple(name for name, full in zip(grid.settings, known, strict=True) if full)
    return Grid(grid.codec, settings, grid.images, grid.bpp[known], grid.value[known])


def _complete(grid: Grid) -> NDArray[np.bool_]:
    if not grid.settings:
        return np.zeros(len(grid.images), np.bool_)
    return np.asarray(~np.isnan(grid.value).any(axis=0), np.bool_)


def _of_images(grid: Grid, images: Sequence[str]) -> Grid:
    places = [grid.images.index(name) for name in images]
    return Grid(
        grid.codec, grid.settings, tuple(images), grid.bpp[:, places], grid.value[:, places]
    )


def delta_tables(
    points: pd.DataFrame,
    columns: Sequence[MetricColumn],
    codecs: Sequence[str],
    anchor: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return BD-rate and BD-quality of every codec against the anchor, a row a codec and metric.

    Args:
        points: the columns of rd.parquet.
    Returns: frames with the columns of bd.csv and bd_quality.csv.
    """
    rate_rows: list[dict[str, object]] = []
    quality_rows: list[dict[str, object]] = []
    for codec in (name for name in codecs if name != anchor):
        for column in columns:
            pair = (grid_of(points, codec, column.variant), grid_of(points, anchor, column.variant))
            own, other, note = shared(*pair)
            better = bool(column.higher_is_better)

            def rate(a: Curve, b: Curve, better: bool = better, unit: str = column.unit) -> Delta:
                return bd_rate(a, b, better, unit)

            def quality(a: Curve, b: Curve, better: bool = better) -> Delta:
                return bd_quality(a, b, better)

            where = {"codec": codec, "anchor": anchor, "metric": column.variant}
            for rows, name, measure in (
                (rate_rows, "bd_rate_percent", rate),
                (quality_rows, "bd_quality", quality),
            ):
                found = set_delta(own, other, measure, resamples, seed)
                told = "; ".join(part for part in (found.note, note) if part)
                numbers = {name: found.value, "ci_low": found.low, "ci_high": found.high}
                rows.append({**where, **numbers, "unit": column.unit, "note": told})
    return pd.DataFrame(rate_rows), pd.DataFrame(quality_rows)


def set_delta(
    codec: Grid, anchor: Grid, measure: _Measure, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return a delta of the means over all pictures, with its percentile bootstrap interval.

    Each resample draws as many pictures as there are, with replacement, the same for both codecs,
    and computes the mean curves and their delta anew.

    Args:
        codec, anchor: over the same pictures, without NaN; see `shared`.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), 13.3.
    """
    count = len(codec.images)
    if not count:
        return Interval(None, None, None, "no picture has all points of both")
    everything = np.arange(count)
    delta = measure(anchor.mean(everything), codec.mean(everything))
    if delta.value is None:
        return Interval(None, None, None, delta.note)
    if count < FEWEST_PICTURES:
        told = f"no interval of fewer than {FEWEST_PICTURES} pictures"
        return Interval(delta.value, None, None, f"{delta.note}; {told}")
    draws = np.random.default_rng(seed).integers(0, count, (resamples, count))
    values = [measure(anchor.mean(draw), codec.mean(draw)).value for draw in draws]
    known = [value for value in values if value is not None]
    refused = 1 - len(known) / resamples
    if refused > MOST_REFUSED:
        told = f"no interval: {refused:.0%} of the resampled sets have no number"
        return Interval(delta.value, None, None, f"{delta.note}; {told}")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return Interval(delta.value, float(low), float(high), delta.note)
