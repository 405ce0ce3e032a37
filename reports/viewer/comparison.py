"""What the viewer of comparison.html shows: what changed most, under the baseline and the codecs.

A region is a picture of its own, as the comparison keeps no more of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandas as pd

from ...bench.compare.store import StoredComparison
from ...bench.records import REFERENCE, WHOLE
from ...bench.store.record import ErrorMap
from ..pictures.comparison import error_top
from ..pictures.selection import worst_in_turn
from ..tables.columns import Column
from ..tables.comparison_rows import compared_codecs, metric_columns
from .viewed import Values, Viewed

_SIDES = (("baseline", "baseline_value"), ("codec", "codec_value"))
_Paths = dict[tuple[str, str], Path]


def picture_name(image_id: str, place: str) -> str:
    """Return what the viewer calls a changed picture, or the region at `place` of it."""
    return f"{image_id} · {place}" if place else image_id


def viewed_comparison(comparison: StoredComparison) -> Viewed:
    """Return what the viewer of a comparison shows; without pictures where nothing changed."""
    record = comparison.record
    codecs = [str(record["baseline"]), *compared_codecs(comparison)]
    columns, sizes, values = metric_columns(comparison), _sizes(record), _values(comparison)
    pictures, maps = _paths(comparison)
    kept = [name for name in sizes if any(name == own for _, own in (*pictures, *maps))]
    stored = record["map"]
    return Viewed(
        folder=comparison.folder,
        codecs=codecs,
        columns=columns,
        sizes=sizes,
        pictures=_worst_first(kept, codecs, columns, values),
        values=values,
        regions={},
        error_map=stored and ErrorMap(stored["metric"], stored["variant"], "", stored["max"]),
        top=error_top(comparison),
        picture_path=lambda codec, name: pictures.get((codec, name)),
        map_path=lambda codec, name: maps.get((codec, name)),
        latents_path=lambda codec, name: None,
    )


def _name(row: dict[str, Any]) -> str:
    place = "" if row["region"] == WHOLE else f"{row['region']}, {row['kind']}"
    return picture_name(str(row["image_id"]), place)


def _sizes(record: dict[str, Any]) -> dict[str, tuple[int, int]]:
    whole = {
        entry["image_id"]: (entry["width_px"], entry["height_px"]) for entry in record["images"]
    }
    sizes: dict[str, tuple[int, int]] = {}
    for entry in record["changed"]:
        box = entry["box_px"]
        size = (box[2] - box[0], box[3] - box[1]) if box else whole[entry["image_id"]]
        sizes.setdefault(_name(entry), size)
    return sizes


def _paths(comparison: StoredComparison) -> tuple[_Paths, _Paths]:
    """Return the kept pictures and error maps by codec (or reference) and picture."""
    baseline = str(comparison.record["baseline"])
    pictures, maps = _Paths(), _Paths()
    for entry in comparison.record["changed"]:
        for kept, room, codec in (
            ("reference", pictures, REFERENCE),
            ("baseline", pictures, baseline),
            ("codec", pictures, entry["codec"]),
            ("baseline_map", maps, baseline),
            ("codec_map", maps, entry["codec"]),
        ):
            below = entry["pictures"].get(kept)
            if below and (comparison.folder / below).is_file():
                room[codec, _name(entry)] = comparison.folder / below
    return pictures, maps


def _values(comparison: StoredComparison) -> Values:
    """Return the values of what changed: of whole pictures every metric, of regions the one."""
    baseline, changed = str(comparison.record["baseline"]), comparison.record["changed"]
    wholes = {str(entry["image_id"]) for entry in changed if entry["region"] == WHOLE}
    table: Any = comparison.per_image
    own = table[(table["region"] == WHOLE) & table["image_id"].isin(wholes)].to_dict("records")
    found: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    for row in [*own, *(entry for entry in changed if entry["region"] != WHOLE)]:
        for side, value in _SIDES:
            codec = baseline if side == "baseline" else str(row["codec"])
            found[_name(row), WHOLE][codec, str(row["variant"])] = float(row[value])
    return found


def _worst_first(
    names: list[str], codecs: list[str], columns: list[Column], values: Values
) -> list[str]:
    """Return the pictures by the first metric that has a value, each codec's worst in turn."""
    index = pd.Index(names, dtype=object)
    for column in columns:
        keys = [(codec, column.variant) for codec in codecs]
        rows = [
            [values.get((name, WHOLE), {}).get(key, math.nan) for name in names] for key in keys
        ]
        if not all(math.isnan(value) for row in rows for value in row):
            own = (pd.Series(row, index) for row in rows)
            return list(dict.fromkeys([*worst_in_turn(own, column, lambda name: True), *names]))
    return names
