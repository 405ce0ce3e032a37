"""The measured points as tables: rates and qualities, what latents cost, codecs at equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ..records import ImageRef, MetricColumn
from .gallery import EqualRow
from .picture import OpenedSweep
from .points import Point
from .store import EQUAL_COLUMNS, RATE_COLUMNS, RD_COLUMNS
from .workers import Task

RAW_BPP = 24
"""Of 8-bit RGB, to which all ratios are."""


def _points(task: Task, images: Sequence[ImageRef]) -> Iterator[tuple[str, str, ImageRef, Point]]:
    """Yield codec, setting, picture and point of all that was measured."""
    for sweep, info in zip(task.sweeps, task.infos, strict=True):
        opened = OpenedSweep(sweep, info)
        for setting in sweep.settings:
            for image in images:
                key = task.cache.key(opened.identity(setting), image, task.background)
                point = task.cache.read(key)
                if point is not None:
                    yield sweep.spec.name, setting, image, point


def point_table(
    task: Task, images: Sequence[ImageRef], columns: Sequence[MetricColumn]
) -> pd.DataFrame:
    """Return the rows of rd.parquet; a point that failed has none."""
    rows: list[dict[str, Any]] = []
    for codec, setting, image, point in _points(task, images):
        bpp = 8 * point.nbytes / (image.width_px * image.height_px)
        where = {"codec": codec, "setting": setting, "image_id": image.image_id}
        rows += [
            {
                **where,
                "nbytes": point.nbytes,
                "bpp": bpp,
                "metric": column.name,
                "variant": column.variant,
                "value": point.values.get(column.variant),
            }
            for column in columns
        ]
    return pd.DataFrame(rows, columns=pd.Index(RD_COLUMNS)).astype({"value": "float64"})


def point_reasons(task: Task, images: Sequence[ImageRef]) -> dict[tuple[str, str], list[str]]:
    """Return why metrics have no value: the pictures by variant and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for _, _, image, point in _points(task, images):
        for variant, reason in point.reasons.items():
            ids = found.setdefault((variant, reason), [])
            if image.image_id not in ids:
                ids.append(image.image_id)
    return found


def rate_table(task: Task, images: Sequence[ImageRef]) -> pd.DataFrame:
    """Return the rows of rates.csv: an autoencoder's settings, means over the pictures.

    Ratios are those of the set, see `rate_of_set`: all its raw bits over all that is stored.
    `elements_ratio` counts numbers, not bits, and the stored ratios take 16 or 32 bits for each.
    """
    of_latents = {sweep.spec.name for sweep in task.sweeps if sweep.of_latents}
    rows: list[dict[str, Any]] = []
    for codec, setting, image, point in _points(task, images):
        if codec in of_latents and point.entropy_bits is not None and point.elements is not None:
            pixels = image.width_px * image.height_px
            rows.append(
                {
                    "codec": codec,
                    "setting": setting,
                    "bpp": 8 * point.nbytes / pixels,
                    "entropy_bpp": point.entropy_bits / pixels,
                    "header_bpp": 8 * (point.header_bytes or 0) / pixels,
                    "elements": float(point.elements),
                    "raw": float(pixels),
                    "stored": 8.0 * point.nbytes,
                }
            )
    if not rows:
        return pd.DataFrame(columns=pd.Index(RATE_COLUMNS))
    groups: Any = pd.DataFrame(rows).groupby(["codec", "setting"], sort=False)
    table = groups.mean().reset_index()
    table["n_images"] = groups.size().to_numpy()
    # Of means over the same pictures, as of their sums.
    table["ratio"] = RAW_BPP * table["raw"] / table["stored"]
    table["elements_ratio"] = 3 * table["raw"] / table["elements"]
    for bits in (16, 32):
        table[f"stored_ratio_fp{bits}"] = RAW_BPP * table["raw"] / (bits * table["elements"])
    return table[list(RATE_COLUMNS)]


def equal_table(rows: Sequence[EqualRow], columns: Sequence[MetricColumn]) -> pd.DataFrame:
    """Return the rows of equal_bytes.csv."""
    names = EQUAL_COLUMNS[: EQUAL_COLUMNS.index("metric")]
    return pd.DataFrame(
        [
            {
                **{name: getattr(row, name) for name in names},
                "metric": column.name,
                "variant": column.variant,
                "value": row.values.get(column.variant),
            }
            for row in rows
            for column in columns
        ],
        columns=pd.Index(EQUAL_COLUMNS),
    )
