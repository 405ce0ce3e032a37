"""What comparison.json must hold for a report to be made of it: its fields, types and ranges."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from ..records import MetricColumn
from ..store.ranges import (
    Size,
    check_among,
    check_box,
    check_name,
    check_picture,
    check_top,
    check_unique,
)

_Kept = Annotated[str, Field(pattern=r"^pictures/[A-Za-z0-9_-]+\.png$")]
_Box = tuple[int, int, int, int]
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class _Picture:
    image_id: str
    sha256: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class _Changed:
    codec: str
    region: str
    kind: str
    image_id: str
    variant: str
    unit: str
    baseline_value: float
    codec_value: float
    difference: float
    verdict: Literal["better", "worse"]
    box_px: _Box | None
    pictures: Mapping[str, _Kept | None]


@dataclass(frozen=True)
class _Patch:
    codec: str
    image_id: str
    box_px: _Box
    value: float
    pictures: Mapping[str, _Kept | None]


@dataclass(frozen=True)
class _Map:
    metric: str
    variant: str
    max: float
    signed_max: float | None = None


@dataclass(frozen=True)
class _Apart:
    codec: str
    variant: str
    unit: str
    mean: float | None
    n_images: _Count
    protocol: str


@dataclass(frozen=True)
class _Quoted:
    name: str
    variant: str
    unit: str
    value: float
    protocol: str
    source: str


@dataclass(frozen=True)
class _Mismatch:
    what: str
    where: str
    reason: str


@dataclass(frozen=True)
class _Run:
    run_id: str
    name: str
    folder: str
    set_hash: str
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class _Codec:
    label: str
    run: str
    info: Mapping[str, Any]


@dataclass(frozen=True)
class _Protocol:
    size: int | None
    fit: str | None
    rounding: str
    pictures: _Count


@dataclass(frozen=True)
class _Record:
    name: str
    created: AwareDatetime
    command: str
    vaebench: str
    runs: tuple[_Run, ...]
    baseline: str
    codecs: tuple[_Codec, ...]
    protocol: _Protocol
    seed: int
    resamples: _Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    margins: Mapping[str, float | None]
    metrics: tuple[MetricColumn, ...]
    mismatches: tuple[_Mismatch, ...]
    apart: tuple[_Apart, ...]
    quoted: tuple[_Quoted, ...]
    images: tuple[_Picture, ...]
    map: _Map | None
    changed: tuple[_Changed, ...]
    patches: tuple[_Patch, ...]


@cache
def _schema() -> TypeAdapter[_Record]:
    return TypeAdapter(_Record)


def check_record(fields: Mapping[str, Any]) -> None:
    """Check the fields of a comparison.json; more than these may be there.

    Raises: ValueError, a clause.
    """
    record = _schema().validate_json(json.dumps(fields), strict=True)
    labels = [codec.label for codec in record.codecs]
    variants = [column.variant for column in record.metrics]
    for what, names in (("codecs", labels), ("metrics", variants)):
        for place, name in enumerate(names):
            check_name(f"{what}.{place}", name)
        check_unique(what, names)
    check_among("baseline", record.baseline, labels, "the codecs")
    sizes = _sizes(record)
    for place, entry in enumerate(record.changed):
        where = f"changed.{place}"
        check_among(f"{where}.codec", entry.codec, labels, "the codecs")
        check_among(f"{where}.variant", entry.variant, variants, "the metrics")
        _check_place(where, entry.image_id, entry.box_px, sizes)
    for place, patch in enumerate(record.patches):
        check_among(f"patches.{place}.codec", patch.codec, labels, "the codecs")
        _check_place(f"patches.{place}", patch.image_id, patch.box_px, sizes)
    if record.map is not None:
        check_top("map.max", record.map.max)
        if record.map.signed_max is not None:
            check_top("map.signed_max", record.map.signed_max)
    elif record.patches:
        raise ValueError("map: expected what the maps of `patches` are of, got None")
    for place, figure in enumerate(record.quoted):
        if not math.isfinite(figure.value):
            raise ValueError(f"quoted.{place}.value: expected a finite number, got {figure.value}")


def _sizes(record: _Record) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for place, image in enumerate(record.images):
        sizes[image.image_id] = size_px = image.width_px, image.height_px
        check_picture(f"images.{place}", image.image_id, image.sha256, size_px)
    check_unique("images", [image.image_id for image in record.images])
    return sizes


def _check_place(where: str, image_id: str, box_px: _Box | None, sizes: dict[str, Size]) -> None:
    """Check the picture of an entry and its box in it; None is the whole picture."""
    check_among(f"{where}.image_id", image_id, sizes, "the images")
    if box_px is not None:
        check_box(where, box_px, sizes[image_id])
