"""What the viewer tells of a picture in numbers: its scores, regions, worst patches, latents."""

from __future__ import annotations

import math
from typing import Any

from ...bench.compare.patches import worst_patches
from ...bench.records import WHOLE
from ..pictures.selection import read_grey
from ..tables.columns import Column
from .viewed import Viewed

PATCHES_SHOWN = 6


def labels_of(columns: list[Column]) -> list[str]:
    """Return what each row of the viewer's table is called; variants of a metric by the variant."""
    names = [column.label for column in columns]
    arrows = {True: " ↑", False: " ↓", None: ""}
    return [
        (column.label if names.count(column.label) == 1 else column.variant)
        + (f", {column.unit}" if column.unit and not column.is_rate else "")
        + arrows[column.higher_is_better]
        for column in columns
    ]


def facts_of(
    viewed: Viewed, image_id: str, sheets: dict[str, Any], *, has_pixels: bool
) -> dict[str, Any]:
    """Return what is told of a picture, ready for JSON.

    Args:
        sheets: its latent channels, by the codec's place.
        has_pixels: whether its pixels are among the parts; only then its patches are sought.
    """
    sources = viewed.sources(image_id)
    return {
        "sources": {name: viewed.address(path) for name, path in sources.items()},
        "hasPixels": has_pixels,
        "areas": _areas(viewed, image_id),
        "patches": _patches(viewed, image_id) if has_pixels else {},
        "latents": sheets,
    }


def _areas(viewed: Viewed, image_id: str) -> list[dict[str, Any]]:
    whole = {"name": WHOLE, "kind": WHOLE, "box": None}
    areas = [whole] + [
        {
            "name": region.name,
            "kind": region.kind if region.mask is None else f"{region.kind}, masked",
            "box": list(region.box_px),
        }
        for region in viewed.regions.get(image_id, ())
    ]
    return [{**area, "rows": _rows(viewed, image_id, str(area["name"]))} for area in areas]


def _rows(viewed: Viewed, image_id: str, region: str) -> list[dict[str, Any]]:
    """Return a row a column that any codec has: its place, a text a codec, the best codecs."""
    values = viewed.values.get((image_id, region), {})
    rows: list[dict[str, Any]] = []
    for place, column in enumerate(viewed.columns):
        if not any((codec, column.variant) in values for codec in viewed.codecs):
            continue
        own = [float(values.get((codec, column.variant), math.nan)) for codec in viewed.codecs]
        texts = [column.number(value).replace("-", "−") for value in own]
        rows.append({"column": place, "cells": texts, "best": _best(own, column)})
    return rows


def _best(values: list[float], column: Column) -> list[int]:
    """Return which codecs have the best value; none where there is nothing to compare."""
    known = [value for value in values if not math.isnan(value)]
    if column.is_rate or len(known) < 2:
        return []
    best = max(known) if column.higher_is_better else min(known)
    return [place for place, value in enumerate(values) if value == best]


def _patches(viewed: Viewed, image_id: str) -> dict[str, list[dict[str, Any]]]:
    """Return the patches with the largest mean error, by the codec's place, worst first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for place, codec in enumerate(viewed.codecs):
        path = viewed.map_path(codec, image_id)
        if path is not None and viewed.error_map is not None:
            found[str(place)] = [
                {
                    "box": list(patch.box_px),
                    "value": f"{patch.error / 255 * viewed.error_map.max:.3g}",
                }
                for patch in worst_patches(read_grey(path), PATCHES_SHOWN, least=0.0)
            ]
    return found
