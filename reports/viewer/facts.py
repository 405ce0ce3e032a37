"""What the viewer tells of a picture in numbers: its scores, regions, worst patches, latents."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from ...bench.compare.patches import worst_patches
from ...bench.records import WHOLE, Region
from ...bench.store.run import StoredRun
from ..pictures.selection import leading_crops, picture_sizes, read_grey, worst_pictures
from ..tables.columns import Column, quality_columns, rate_columns
from ..tables.run import codec_names
from .parts import address_of, sources_of

PATCHES_SHOWN = 6


def kept_pictures(run: StoredRun) -> list[str]:
    """Return the pictures that can be looked at, the leading region's first, then the worst."""
    codecs = codec_names(run)
    kept = [image_id for image_id in picture_sizes(run) if _has_any(run, image_id, codecs)]
    leading = [crop.region.image_id for crop in leading_crops(run, 1)]
    ordered = dict.fromkeys([*leading, *worst_pictures(run, len(kept)), *kept])
    known = set(kept)
    return [image_id for image_id in ordered if image_id in known]


def _has_any(run: StoredRun, image_id: str, codecs: list[str]) -> bool:
    """Return whether anything of a picture was kept; asks the disk for no more than needed."""
    paths = (
        path(codec, image_id)
        for path in (run.reconstruction_path, run.map_path)
        for codec in codecs
    )
    return run.reference_path(image_id) is not None or any(paths)


def columns_of(run: StoredRun) -> list[Column]:
    """Return the metrics and rates that the viewer tells."""
    return [*quality_columns(run), *rate_columns(run)]


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


class Facts:
    """What the viewer tells of each picture of a run; what all have in common is found once."""

    def __init__(self, run: StoredRun) -> None:
        """Read the scores and regions of a run."""
        self.run = run
        self.codecs = codec_names(run)
        self.columns = columns_of(run)
        self.keys = {
            str(image["image_id"]): str(place) for place, image in enumerate(run.record["images"])
        }
        """The names of the pictures' parts: places in the run, which any file system takes."""

        self._values: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
        names = ("image_id", "region", "codec", "variant", "value")
        # Lists, as an Arrow array takes microseconds to give one of its values.
        rows = zip(*(run.scores[name].tolist() for name in names), strict=True)
        for image_id, region, codec, variant, value in rows:
            self._values[image_id, region][codec, variant] = value
        self._regions: dict[str, list[Region]] = defaultdict(list)
        for region in run.regions:
            self._regions[region.image_id].append(region)

    def of(self, image_id: str, sheets: dict[str, Any], *, has_pixels: bool) -> dict[str, Any]:
        """Return what is told of a picture, ready for JSON.

        Args:
            sheets: its latent channels, by the codec's place.
            has_pixels: whether its pixels are among the parts; only then its patches are sought.
        """
        sources = sources_of(self.run, image_id, self.codecs)
        return {
            "sources": {name: address_of(self.run, path) for name, path in sources.items()},
            "hasPixels": has_pixels,
            "areas": self._areas(image_id),
            "patches": self._patches(image_id) if has_pixels else {},
            "latents": sheets,
        }

    def _areas(self, image_id: str) -> list[dict[str, Any]]:
        whole = {"name": WHOLE, "kind": WHOLE, "box": None}
        areas = [whole] + [
            {
                "name": region.name,
                "kind": region.kind if region.mask is None else f"{region.kind}, masked",
                "box": list(region.box_px),
            }
            for region in self._regions[image_id]
        ]
        return [{**area, "rows": self._rows(image_id, str(area["name"]))} for area in areas]

    def _rows(self, image_id: str, region: str) -> list[dict[str, Any]]:
        """Return a row a column that any codec has: its place, a text a codec, the best codecs."""
        values = self._values[image_id, region]
        rows: list[dict[str, Any]] = []
        for place, column in enumerate(self.columns):
            if not any((codec, column.variant) in values for codec in self.codecs):
                continue
            own = [float(values.get((codec, column.variant), math.nan)) for codec in self.codecs]
            texts = [column.number(value).replace("-", "−") for value in own]
            rows.append({"column": place, "cells": texts, "best": _best(own, column)})
        return rows

    def _patches(self, image_id: str) -> dict[str, list[dict[str, Any]]]:
        """Return the patches with the largest mean error, by the codec's place, worst first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for place, codec in enumerate(self.codecs):
            path = self.run.map_path(codec, image_id)
            if path is not None and self.run.record["error_map"] is not None:
                top = float(self.run.record["error_map"]["max"])
                found[str(place)] = [
                    {"box": list(patch.box_px), "value": f"{patch.error / 255 * top:.3g}"}
                    for patch in worst_patches(read_grey(path), PATCHES_SHOWN, least=0.0)
                ]
        return found


def _best(values: list[float], column: Column) -> list[int]:
    """Return which codecs have the best value; none where there is nothing to compare."""
    known = [value for value in values if not math.isnan(value)]
    if column.is_rate or len(known) < 2:
        return []
    best = max(known) if column.higher_is_better else min(known)
    return [place for place, value in enumerate(values) if value == best]
