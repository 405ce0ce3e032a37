"""The comparison folder: written once by `compare`, read as DataFrames by the report and the gate.

comparison.json holds what was compared, what could not be and why; comparison.parquet holds one
row a codec, region and metric; per_image.parquet the values behind each row. comparison.json is
written last, so that a folder which has one is whole; then comparison.html is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunFolderError
from ..store.atomic import is_leftover, remove_leftovers
from ..store.lock import LOCK_NAME
from ..store.sealed import RecordFile
from ..store.tables import check_rows, read_table, write_table
from .recorded import check_record

COMPARISON = RecordFile(
    "comparison.json",
    1,
    "comparison folder",
    "vaebench compare",
    "Compare the runs again.",
    check_record,
)

COMPARISON_COLUMNS = (
    "codec",
    "baseline",
    "region",
    "metric",
    "variant",
    "n_images",
    "mean_diff",
    "ci_low",
    "ci_high",
    "p_holm",
    "smallest_detectable",
    "verdict",
    "share_won",
    "unit",
    "margin",
    "p",
    "baseline_mean",
    "codec_mean",
    "note",
)
"""One row a codec, region (`whole` or a kind) and metric. Differences are codec minus baseline in
the metric's unit; NaN where a number could not be had, `note` then says why. `margin` is NaN for
a metric that is never called the same."""

PER_IMAGE_COLUMNS = (
    "codec",
    "baseline",
    "region",
    "metric",
    "variant",
    "unit",
    "image_id",
    "baseline_value",
    "codec_value",
    "difference",
)
"""One row a picture of a row of the table; `image_id` is the baseline's. `difference` is ±inf where
one side alone is +inf, and 0 where both are."""

_NUMBERS = (
    "mean_diff",
    "ci_low",
    "ci_high",
    "p_holm",
    "smallest_detectable",
    "share_won",
    "margin",
    "p",
    "baseline_mean",
    "codec_mean",
    "baseline_value",
    "codec_value",
    "difference",
)

_TYPES = {"int64": ["n_images"], "double": _NUMBERS}
_MOST_ROWS = 20_000_000
"""Of comparison.parquet and per_image.parquet: pictures, codecs, kinds and metrics multiply."""

PICTURES = "pictures"
_TABLES = ("comparison.parquet", "per_image.parquet")
_MADE = (PICTURES, *_TABLES)
_REPORTED = (COMPARISON.name, "tables", "plots", "thumbnails", "viewer")
"""What is there before comparison.html is."""

_KEPT_PICTURE = re.compile(r"[0-9a-f]{20}\.png")


@dataclass(frozen=True)
class StoredComparison:
    """A comparison read back: `record` is comparison.json, the tables have the columns above."""

    folder: Path
    record: dict[str, Any]
    table: pd.DataFrame
    per_image: pd.DataFrame


def clear_comparison(folder: Path) -> None:
    """Empty a folder, which this process holds, of what a stopped comparison left in it.

    Raises: RunFolderError where it holds anything else, or a comparison that has its page.
    """
    if (folder / "comparison.html").is_file():
        raise RunFolderError(
            f"Cannot write a comparison into {folder}: it holds one already. Choose another --out."
        )
    found = [path for path in folder.iterdir() if path.name != LOCK_NAME and not is_leftover(path)]
    pictures = list((folder / PICTURES).iterdir()) if (folder / PICTURES).is_dir() else []
    # Folders of these names alone may be anybody's.
    expected = (*_MADE, *_REPORTED) if COMPARISON.path(folder).is_file() else _MADE
    if not (
        all(path.name in expected for path in found)
        and all(_KEPT_PICTURE.fullmatch(path.name) for path in pictures)
    ):
        raise RunFolderError(
            f"Cannot write a comparison into {folder}: it is not an empty folder. "
            "Choose another --out."
        )
    remove_leftovers(folder)
    for path in (*pictures, *(path for path in found if path.is_file())):
        path.unlink()


def write_comparison(
    folder: Path, record: dict[str, Any], table: pd.DataFrame, per_image: pd.DataFrame
) -> None:
    """Write both tables, then comparison.json."""
    tables = ((table, COMPARISON_COLUMNS), (per_image, PER_IMAGE_COLUMNS))
    for name, (frame, columns) in zip(_TABLES, tables, strict=True):
        write_table(folder / name, frame, columns, **_TYPES)
    COMPARISON.write(folder, record)


def load_comparison(folder: str | Path) -> StoredComparison:
    """Read a comparison folder.

    Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
    """
    folder = Path(folder)
    record = COMPARISON.read(folder)
    known = {
        "codec": {str(codec["label"]) for codec in record["codecs"]},
        "variant": {str(column["variant"]) for column in record["metrics"]},
    }
    row = ("codec", "region", "variant")
    return StoredComparison(
        folder,
        record,
        _read_table(folder / _TABLES[0], COMPARISON_COLUMNS, row, known),
        _read_table(folder / _TABLES[1], PER_IMAGE_COLUMNS, (*row, "image_id"), known),
    )


def _read_table(
    path: Path, columns: Sequence[str], keys: Sequence[str], known: dict[str, set[str]]
) -> pd.DataFrame:
    if not path.is_file():
        raise RunFolderError(f"Cannot read {path}: it is not there. Compare the runs again.")
    types = {name: [c for c in chosen if c in columns] for name, chosen in _TYPES.items()}
    frame = read_table(path, columns, types, most_rows=_MOST_ROWS)
    check_rows(path, frame, keys, known, types, nullable=["note", "unit"])
    return frame
