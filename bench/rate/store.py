"""The folder of a rate-distortion measurement: tables, what they are of, and the gallery.

rd.json holds what was measured and how; rd.parquet a row a point and metric; bd.csv and
bd_quality.csv the Bjøntegaard deltas; rates.csv what autoencoders' latents cost; equal_bytes.csv
every codec at an autoencoder's bytes. `points` is the cache: deleting it costs time alone.
rd.json is written last.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunFolderError
from ..store.atomic import remove_leftovers, write_atomic
from ..store.lock import LOCK_NAME
from ..store.sealed import RecordFile
from ..store.tables import check_rows, read_table, write_table
from .recorded import check_record

RD = RecordFile(
    "rd.json",
    1,
    "finished sweep (one that was stopped goes on by the same command)",
    "vaebench rd",
    "Run vaebench rd again.",
    check_record,
)
_POINT_TYPES = {"int64": ["nbytes"], "double": ["bpp", "value"]}
_MOST_POINTS = 20_000_000
"""Of rd.parquet: pictures, settings and metrics multiply."""

POINTS = "points"
GALLERY = "gallery"

RD_COLUMNS = ("codec", "setting", "image_id", "nbytes", "bpp", "metric", "variant", "value")
"""A row a codec, setting, picture and metric; null where a metric could not be computed."""

BD_COLUMNS = ("codec", "anchor", "metric", "bd_rate_percent", "ci_low", "ci_high", "note")
"""`metric` is the variant; empty where the number was refused, `note` then says why."""

BD_QUALITY_COLUMNS = (
    "codec",
    "anchor",
    "metric",
    "bd_quality",
    "unit",
    "ci_low",
    "ci_high",
    "note",
)

RATE_COLUMNS = (
    "codec",
    "setting",
    "n_images",
    "bpp",
    "ratio",
    "entropy_bpp",
    "header_bpp",
    "elements_ratio",
    "stored_ratio_fp16",
    "stored_ratio_fp32",
)
"""What an autoencoder's latents cost, means over pictures: ratios are against 24 bits per pixel."""

EQUAL_COLUMNS = (
    "image_id",
    "autoencoder",
    "codec",
    "setting",
    "wanted_bytes",
    "nbytes",
    "deviation",
    "note",
    "metric",
    "variant",
    "value",
)

_FILES = ("rd.parquet", "bd.csv", "bd_quality.csv", "rates.csv", "equal_bytes.csv")
_COLUMNS = (RD_COLUMNS, BD_COLUMNS, BD_QUALITY_COLUMNS, RATE_COLUMNS, EQUAL_COLUMNS)
_TEXT = (
    *("codec", "autoencoder", "anchor", "setting", "image_id"),
    *("metric", "variant", "unit", "note"),
)


@dataclass(frozen=True)
class StoredRd:
    """A measurement read back: `record` is rd.json, the tables have the columns above."""

    folder: Path
    record: dict[str, Any]
    points: pd.DataFrame
    bd: pd.DataFrame
    bd_quality: pd.DataFrame
    rates: pd.DataFrame
    equal: pd.DataFrame


def open_rd_folder(folder: Path) -> None:
    """Take a folder that this process holds: an empty one, or one that an earlier sweep left.

    Raises: RunFolderError where it holds something else.
    """
    is_used = any(path.name != LOCK_NAME for path in folder.iterdir())
    if is_used and not (folder / POINTS).is_dir():
        raise RunFolderError(
            f"Cannot write into {folder}: it is neither empty nor of `vaebench rd`. "
            "Choose another --out."
        )
    remove_leftovers(folder)
    (folder / POINTS).mkdir(exist_ok=True)


def write_rd(folder: Path, record: dict[str, Any], tables: tuple[pd.DataFrame, ...]) -> None:
    """Write the tables in the order of StoredRd, then rd.json; drop pictures of earlier sweeps."""
    for name, columns, table in zip(_FILES, _COLUMNS, tables, strict=True):
        if name.endswith(".parquet"):
            write_table(folder / name, table, columns, **_POINT_TYPES)
        else:
            # Objects, so that a float is written by repr: the shortest text that reads back.
            text = table.reindex(columns=list(columns)).astype(object)
            data = text.to_csv(index=False, lineterminator="\n").encode()
            write_atomic(folder / name, data)
    RD.write(folder, record)
    kept = {str(row["picture"]) for row in record["gallery"]["rows"]}
    kept |= {str(picture["reference"]) for picture in record["gallery"]["pictures"]}
    for path in (folder / GALLERY).glob("*.webp"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def load_rd(folder: str | Path) -> StoredRd:
    """Read the folder of a measurement.

    Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
    """
    folder = Path(folder)
    record = RD.read(folder)
    tables = [_read(folder / name, columns) for name, columns in zip(_FILES, _COLUMNS, strict=True)]
    found = StoredRd(folder, record, *tables)
    _check(found)
    return found


def _check(found: StoredRd) -> None:
    """Check the tables against rd.json. Raises: RunFolderError."""
    codecs = {str(codec["name"]) for codec in found.record["codecs"]}
    variants = {str(column["variant"]) for column in found.record["metrics"]}
    images = {str(image["image_id"]) for image in found.record["images"]}
    delta = ("codec", "metric")
    for name, frame, keys, known in zip(
        _FILES,
        (found.points, found.bd, found.bd_quality, found.rates, found.equal),
        (
            ("codec", "setting", "image_id", "variant"),
            delta,
            delta,
            ("codec", "setting"),
            ("image_id", "autoencoder", "codec", "variant"),
        ),
        (
            {"codec": codecs, "image_id": images, "variant": variants},
            {"codec": codecs, "anchor": codecs, "metric": variants},
            {"codec": codecs, "anchor": codecs, "metric": variants},
            {},
            {"codec": codecs, "autoencoder": codecs, "image_id": images, "variant": variants},
        ),
        strict=True,
    ):
        types = {"double": [column for column in frame.columns if column not in _TEXT]}
        check_rows(found.folder / name, frame, keys, known, types, nullable=["note"])
    told = {*found.points.dropna(subset=["value"])["variant"]}
    wanted = {(codec, name) for codec in codecs - {found.record["anchor"]} for name in told}
    for name, frame in (("bd.csv", found.bd), ("bd_quality.csv", found.bd_quality)):
        missing = wanted - {*frame[list(delta)].itertuples(index=False, name=None)}
        if missing:
            raise RunFolderError(
                f"{found.folder / name} lacks {', '.join(min(missing))}. Run vaebench rd again."
            )


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if path.suffix == ".parquet" and path.is_file():
        return read_table(path, columns, _POINT_TYPES, most_rows=_MOST_POINTS)
    # A note that is empty is no missing number, and a codec may be called NA.
    text: dict[Hashable, Any] = {name: str for name in _TEXT if name in columns}
    empty: dict[Hashable, list[str]] = {name: [""] for name in columns if name not in text}
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise RunFolderError(f"Cannot read {path}: {error}. Run vaebench rd again.") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise RunFolderError(f"{path} lacks the columns {', '.join(missing)}. Run rd again.")
    for name in empty:
        if len(frame) and not pd.api.types.is_numeric_dtype(frame[name]):
            raise RunFolderError(f"{path} holds text as {name}. Run vaebench rd again.")
    return frame
