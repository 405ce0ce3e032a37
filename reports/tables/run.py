"""The tables of a report: pure functions from a stored run to a DataFrame.

Two variants never share a column: columns are (variant, statistic) pairs, or plain variants. NaN
stands for a value that is unavailable (a rate: that the codec has not); `markup` writes the word.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pandas as pd

from ...bench.records import WHOLE
from ...bench.store.rates import rate_of_set
from ...bench.store.run import StoredRun
from .columns import Column, quality_columns, rate_columns
from .latents import latents
from .statistics import describe
from .timings import timings

WORST_COUNT = 5
COUNTS = ("pictures", "infinite", "regions")
"""Statistics that are whole numbers."""


def codec_names(run: StoredRun) -> list[str]:
    """Return the codecs in the order in which they were given."""
    return [codec.name for codec in run.record.codecs]


def scored_images(run: StoredRun) -> list[str]:
    """Return the pictures that have scores, in the order of the run."""
    scored = set(run.scores["image_id"].unique())
    return [image.image_id for image in run.record.images if image.image_id in scored]


def whole_values(run: StoredRun, variant: str) -> dict[str, pd.Series]:
    """Return one variant's values of whole pictures: under each codec a Series by image_id."""
    scores: Any = run.scores
    rows = scores[(scores["region"] == WHOLE) & (scores["variant"] == variant)]
    rows = rows.drop_duplicates(["image_id", "codec"], keep="last")
    table = rows.pivot(index="image_id", columns="codec", values="value")
    table = table.reindex(index=scored_images(run), columns=codec_names(run)).astype(np.float64)
    return {codec: table[codec] for codec in codec_names(run)}


def value_of(values: pd.Series, image_id: str) -> float:
    """Return a picture's value; NaN where it is unavailable."""
    return float(cast(Any, values.loc[image_id]))


def finite_columns(run: StoredRun) -> list[Column]:
    """Return the metrics that have a finite value for any whole picture, in the order asked."""
    return [
        column
        for column in quality_columns(run)
        if any(
            np.isfinite(values.to_numpy()).any()
            for values in whole_values(run, column.variant).values()
        )
    ]


def ranking(values: pd.Series, column: Column) -> list[str]:
    """Return the pictures that have a value, worst first."""
    known = values.dropna()
    ordered = known.to_numpy() if column.higher_is_better else -known.to_numpy()
    names = known.index.to_numpy(object)
    return [str(name) for name in names[np.argsort(ordered, kind="stable")]]


def summary(run: StoredRun) -> pd.DataFrame:
    """Return one row a codec, columns (variant, statistic): see `describe`.

    The columns `infinite` and `mean of the finite` are there where a codec has an infinite value.
    A rate has `pictures` and its `mean`: see `rate_of_set`.
    """
    pixels = pd.Series(
        {image.image_id: image.width_px * image.height_px for image in run.record.images}
    )
    counted = pixels.reindex(scored_images(run)).to_numpy(np.float64)
    blocks: dict[tuple[str, str], list[float | str]] = {}
    for column in quality_columns(run):
        values = whole_values(run, column.variant)
        rows = [describe(of_codec, column, pixels) for of_codec in values.values()]
        infinite = any(cast(float, row["infinite"]) > 0 for row in rows)
        for statistic in rows[0] if rows else ():
            if infinite or statistic not in ("infinite", "mean of the finite"):
                blocks[column.variant, statistic] = [row[statistic] for row in rows]
    for column in rate_columns(run):
        values = [of_codec.to_numpy() for of_codec in whole_values(run, column.variant).values()]
        known = [float(np.isfinite(of_codec).sum()) for of_codec in values]
        blocks[column.variant, "pictures"] = list(known)
        means = [rate_of_set(column.metric, of_codec, counted) for of_codec in values]
        blocks[column.variant, "mean"] = list(means)
    return _frame(blocks, pd.Index(codec_names(run), name="codec"))


def per_image(run: StoredRun) -> pd.DataFrame:
    """Return one row a picture and codec, a column a variant (rates last)."""
    rows = pd.MultiIndex.from_product(
        [scored_images(run), codec_names(run)], names=["image_id", "codec"]
    )
    columns = [*quality_columns(run), *rate_columns(run)]
    data: dict[str, np.ndarray] = {}
    for column in columns:
        values = [of_codec.to_numpy() for of_codec in whole_values(run, column.variant).values()]
        data[column.variant] = np.stack(values, axis=1).ravel()
    return pd.DataFrame(data, index=rows, dtype=np.float64)


def per_region(run: StoredRun, only: Column | None = None) -> pd.DataFrame:
    """Return every region beside its whole picture, and the mean of each kind of region.

    Of all metrics, or of one alone.

    Rows are (codec, kind, region, image_id). A row whose region is empty is the mean of its kind:
    of the regions that have a value, the whole picture counting once for each, so that the gap is
    exactly the mean of the gaps. Columns are (variant, statistic): `value` of the region, `whole`,
    `gap` = value - whole; in the rows of a kind `regions`, how many were averaged. A region or
    picture that is infinite has no gap that can be averaged, and is left out of its kind's mean.
    """
    places = _region_places(run)
    keys: list[tuple[str, str, str, str]] = []
    for codec in codec_names(run):
        for kind in dict.fromkeys(place[0] for place in places):
            keys.append((codec, kind, "", ""))
            keys.extend((codec, *place) for place in places if place[0] == kind)
    rows = pd.MultiIndex.from_tuples(keys, names=["codec", "kind", "region", "image_id"])
    blocks: dict[tuple[str, str], list[float | str]] = {}
    for column in [only] if only else quality_columns(run):
        for statistic, values in _region_block(run, column, keys).items():
            blocks[column.variant, statistic] = values
    return _frame(blocks, rows)


def _region_places(run: StoredRun) -> list[tuple[str, str, str]]:
    """Return (kind, name, image_id) of the scored regions; eyes first, then in the run's order."""
    scored = set(scored_images(run))
    places = [(region.kind, region.name, region.image_id) for region in run.regions]
    places = [place for place in dict.fromkeys(places) if place[2] in scored]
    return sorted(places, key=lambda place: place[0] != "eye")


def _region_block(
    run: StoredRun, column: Column, keys: list[tuple[str, str, str, str]]
) -> dict[str, list[float | str]]:
    scores: Any = run.scores
    pictures = {image_id for *_, image_id in keys}
    scores = scores[(scores["variant"] == column.variant) & scores["image_id"].isin(pictures)]
    # Lists, as an Arrow array takes microseconds to give one of its values.
    names = (scores[name].tolist() for name in ("codec", "region", "image_id"))
    known = dict(zip(zip(*names, strict=True), scores["value"].tolist(), strict=True))
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    singles: dict[tuple[str, str, str, str], tuple[float, float]] = {}
    for codec, kind, name, image_id in keys:
        if name:
            region = known.get((codec, name, image_id), math.nan)
            pair = (region, known.get((codec, WHOLE, image_id), math.nan))
            singles[codec, kind, name, image_id] = pair
            pairs.setdefault((codec, kind), []).append(pair)
    block: dict[str, list[float | str]] = {"regions": [], "value": [], "whole": [], "gap": []}
    for key in keys:
        if key in singles:
            region, whole = singles[key]
            count = float(not math.isnan(region))
        else:
            finite = [pair for pair in pairs[key[:2]] if all(map(math.isfinite, pair))]
            count = float(len(finite))
            region, whole = np.mean(finite, axis=0) if finite else (math.nan, math.nan)
        gap = region - whole if math.isfinite(whole) else math.nan
        for statistic, value in zip(block, (count, region, whole, gap), strict=True):
            block[statistic].append(float(value))
    return block


def worst(run: StoredRun) -> pd.DataFrame:
    """Return each codec's worst pictures by each variant, worst first.

    Rows are (codec, rank); columns (variant, `picture`) and (variant, `value`).
    """
    count = min(WORST_COUNT, len(scored_images(run)))
    rows = pd.MultiIndex.from_product(
        [codec_names(run), range(1, count + 1)], names=["codec", "rank"]
    )
    blocks: dict[tuple[str, str], list[float | str]] = {}
    for column in quality_columns(run):
        values = whole_values(run, column.variant)
        pictures: list[float | str] = []
        numbers: list[float | str] = []
        for of_codec in values.values():
            ranked = ranking(of_codec, column)[:count]
            blank = count - len(ranked)
            pictures.extend([*ranked, *[""] * blank])
            numbers.extend(value_of(of_codec, image_id) for image_id in ranked)
            numbers.extend([math.nan] * blank)
        blocks[column.variant, "picture"] = pictures
        blocks[column.variant, "value"] = numbers
    return _frame(blocks, rows)


def unavailable(run: StoredRun) -> pd.DataFrame:
    """Return why numbers are missing: metric, variant, codec, pictures, reason."""
    columns = ["metric", "variant", "codec", "pictures", "reason"]
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for entry in run.record.unavailable:
        key = (entry.metric, entry.variant, entry.codec or "all", entry.reason)
        groups.setdefault(key, []).append(entry.image_id or "")
    rows = [
        (metric, variant, codec, _pictures_phrase(images), reason)
        for (metric, variant, codec, reason), images in groups.items()
    ]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _pictures_phrase(images: list[str]) -> str:
    names = list(dict.fromkeys(images))
    if "" in names:
        return "all"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _frame(blocks: dict[tuple[str, str], list[float | str]], index: pd.Index) -> pd.DataFrame:
    if not blocks:
        return pd.DataFrame(index=index)
    columns = pd.MultiIndex.from_tuples(list(blocks), names=["variant", "statistic"])
    frame = pd.DataFrame(dict(enumerate(blocks.values())), index)
    frame.columns = columns
    counts = [column for column in columns if column[1] in COUNTS]
    return frame.astype(dict.fromkeys(counts, np.int64))


TABLES: dict[str, Callable[[StoredRun], pd.DataFrame]] = {
    "summary": summary,
    "per_image": per_image,
    "per_region": per_region,
    "worst": worst,
    "unavailable": unavailable,
    "timings": timings,
    "latents": latents,
}
