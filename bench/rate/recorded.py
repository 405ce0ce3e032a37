"""What rd.json must hold for a report to be made of it: its fields, types and ranges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter

from ..records import MetricColumn, Region
from ..store.ranges import (
    Size,
    check_among,
    check_name,
    check_picture,
    check_regions,
    check_unique,
)

_Kept = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.webp$")]
_Count = Annotated[int, Field(ge=0)]
_Values = Mapping[str, float | None]


@dataclass(frozen=True)
class _Picture:
    image_id: str
    sha256: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class _Skipped:
    image_id: str
    reason: str


@dataclass(frozen=True)
class _Codec:
    name: str


@dataclass(frozen=True)
class _Unavailable:
    metric: str
    variant: str
    reason: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class _Failure:
    reason: str
    codecs: tuple[str, ...]
    settings: tuple[str, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class _Bootstrap:
    resamples: _Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    seed: int


@dataclass(frozen=True)
class _Environment:
    vaebench: str


@dataclass(frozen=True)
class _Shown:
    image_id: str
    reference: _Kept
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class _Row:
    image_id: str
    autoencoder: str
    codec: str
    setting: str
    nbytes: Annotated[int, Field(ge=1)]
    deviation: float
    note: str
    values: _Values
    regions: Mapping[str, _Values]
    picture: _Kept


@dataclass(frozen=True)
class _Gallery:
    pictures: tuple[_Shown, ...]
    rows: tuple[_Row, ...]


@dataclass(frozen=True)
class _Record:
    # A region's mask is bytes, in JSON base64.
    __pydantic_config__ = ConfigDict(val_json_bytes="base64")

    name: str
    created: AwareDatetime
    command: str
    environment: _Environment
    versions: Mapping[str, Any]
    anchor: str
    bootstrap: _Bootstrap
    codecs: tuple[_Codec, ...]
    metrics: tuple[MetricColumn, ...]
    unavailable: tuple[_Unavailable, ...]
    failures: tuple[_Failure, ...]
    images: tuple[_Picture, ...]
    skipped: tuple[_Skipped, ...]
    unused_regions: tuple[str, ...]
    gallery: _Gallery


@cache
def _schema() -> TypeAdapter[_Record]:
    return TypeAdapter(_Record)


def check_record(fields: Mapping[str, Any]) -> None:
    """Check the fields of an rd.json; more than these may be there.

    Raises: ValueError, a clause.
    """
    record = _schema().validate_json(json.dumps(fields), strict=True)
    codecs = [codec.name for codec in record.codecs]
    variants = [column.variant for column in record.metrics]
    for what, names in (("codecs", codecs), ("metrics", variants)):
        for place, name in enumerate(names):
            check_name(f"{what}.{place}", name)
        check_unique(what, names)
    check_among("anchor", record.anchor, codecs, "the codecs")
    sizes: dict[str, Size] = {}
    for place, image in enumerate(record.images):
        sizes[image.image_id] = size_px = image.width_px, image.height_px
        check_picture(f"images.{place}", image.image_id, image.sha256, size_px)
    check_unique("images", [image.image_id for image in record.images])
    _check_gallery(record.gallery, codecs, sizes)


def _check_gallery(gallery: _Gallery, codecs: list[str], sizes: dict[str, Size]) -> None:
    for place, shown in enumerate(gallery.pictures):
        check_among(f"gallery.pictures.{place}.image_id", shown.image_id, sizes, "the images")
        check_regions(shown.regions, {shown.image_id: sizes[shown.image_id]})
    own = {row.autoencoder for row in gallery.rows if row.codec == row.autoencoder}
    for place, row in enumerate(gallery.rows):
        where = f"gallery.rows.{place}"
        check_among(f"{where}.image_id", row.image_id, sizes, "the images")
        check_among(f"{where}.codec", row.codec, codecs, "the codecs")
        check_among(f"{where}.autoencoder", row.autoencoder, own, "the rows of their own")
