"""All scores of a run in the compact form from which the page's script makes one table.

A row of that table is a picture or one of its regions under one codec. Names stand once, and a
column's numbers are one text, so that thousands of pictures cost six bytes a number and no element
of the page: only the rows in view are made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from ...bench.records import WHOLE
from ...bench.store.run import StoredRun
from .columns import (
    NOT_APPLICABLE,
    UNAVAILABLE,
    Column,
    primary_column,
    quality_columns,
    rate_columns,
)
from .run import codec_names, scored_images

MISSING = "?"
"""Stands for `unavailable` in a column's text, where the word would be most of the page."""


def score_table(run: StoredRun) -> dict[str, Any]:
    """Return the table as JSON-ready values.

    `places` are the rows' pictures and regions as indices into `pictures` and `regions`; each
    holds once for every codec, in the order of `codecs`. Region 0 is the whole picture.
    `columns` say which way is better: 1 up, -1 down, 0 neither, and whether regions alone have a
    value; `values` are their numbers as read, separated by spaces. `first` is the column by which
    worst comes first, or None.
    """
    pictures, codecs = scored_images(run), codec_names(run)
    regions = list(dict.fromkeys((region.kind, region.name) for region in run.regions))
    places = _places(run, pictures, regions)
    columns = [*quality_columns(run), *rate_columns(run)]
    names = [(pictures[picture], _name(regions, region)) for picture, region in places]
    texts: list[str] = []
    heads: list[dict[str, Any]] = []
    primary = primary_column(run)
    for column in columns:
        values = _values(run, column.variant, names, codecs)
        regional = np.array([[bool(region)] for _, region in places])
        texts.append(_joined(values, column, blank=regional if column.is_rate else None))
        heads.append(_head(column))
        if column == primary and regions:
            gaps = _gaps(values, places)
            texts.append(_joined(gaps, column, blank=~regional, signed=True))
            heads.append(_head(column, gap=True))
    first = None if primary is None else columns.index(primary)
    return {
        "pictures": pictures,
        "codecs": codecs,
        "regions": [[WHOLE, WHOLE], *([name, kind] for kind, name in regions)],
        "places": [index for place in places for index in place],
        "columns": heads,
        "values": texts,
        "first": first,
        "missing": MISSING,
        "unavailable": UNAVAILABLE,
    }


def _places(
    run: StoredRun, pictures: list[str], regions: list[tuple[str, str]]
) -> list[tuple[int, int]]:
    numbers = {region: place for place, region in enumerate(regions, start=1)}
    own: dict[str, list[int]] = {}
    for region in run.regions:
        own.setdefault(region.image_id, []).append(numbers[region.kind, region.name])
    return [
        (place, region)
        for place, image_id in enumerate(pictures)
        for region in (0, *dict.fromkeys(own.get(image_id, ())))
    ]


def _name(regions: list[tuple[str, str]], place: int) -> str:
    return regions[place - 1][1] if place else WHOLE


def _values(
    run: StoredRun, variant: str, names: list[tuple[str, str]], codecs: list[str]
) -> np.ndarray:
    """Return one variant's values, [places, codecs], NaN where there is none."""
    scores: Any = run.scores
    rows = scores[scores["variant"] == variant]
    rows = rows.drop_duplicates(["image_id", "region", "codec"], keep="last")
    table = rows.pivot(index=["image_id", "region"], columns="codec", values="value")
    index = pd.MultiIndex.from_tuples(names, names=["image_id", "region"])
    return table.reindex(index=index, columns=codecs).to_numpy(np.float64)


def _gaps(values: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
    """Return what each region lies above its whole picture; NaN where that is infinite."""
    own_row = {picture: row for row, (picture, region) in enumerate(places) if not region}
    whole = values[[own_row[picture] for picture, _ in places]]
    return values - np.where(np.isfinite(whole), whole, np.nan)


def _joined(
    values: np.ndarray, column: Column, *, blank: np.ndarray | None = None, signed: bool = False
) -> str:
    words = [_word(float(value), column, signed) for value in values.flat]
    if blank is not None:
        dashes = np.broadcast_to(blank, values.shape).flat
        words = [NOT_APPLICABLE if dash else word for word, dash in zip(words, dashes, strict=True)]
    return " ".join(words)


def _word(value: float, column: Column, signed: bool) -> str:
    if math.isnan(value):
        return NOT_APPLICABLE if column.is_rate else MISSING
    return column.number(value, signed)


def _head(column: Column, *, gap: bool = False) -> dict[str, Any]:
    better = 0 if column.higher_is_better is None else 1 if column.higher_is_better else -1
    return {
        "label": f"{column.label} gap" if gap else column.label,
        "variant": f"{column.variant} to whole" if gap else column.variant,
        "unit": column.unit,
        "better": better,
        "regional": gap,
    }
