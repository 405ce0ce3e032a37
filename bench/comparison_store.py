"""The comparison folder: written once by `compare`, read as DataFrames by the report and the gate.

comparison.json holds what was compared, what could not be and why; comparison.parquet holds one
row a codec, region and metric; per_image.parquet the values behind each row. comparison.json is
written last, so that a folder which has one is whole.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import RunFolderError
from .store import write_atomic, write_json

COMPARISON_SCHEMA_VERSION = 1

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

_WHOLE_NUMBERS = ("n_images",)
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


@dataclass(frozen=True)
class StoredComparison:
    """A comparison read back: `record` is comparison.json, the tables have the columns above."""

    folder: Path
    record: dict[str, Any]
    table: pd.DataFrame
    per_image: pd.DataFrame


def create_comparison(folder: Path) -> None:
    """Make a new comparison folder. Raises: RunFolderError where it holds anything already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(
            f"Cannot write a comparison into {folder}: it is not an empty folder. "
            "Choose another --out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"Cannot write the comparison folder {folder}: {error.strerror}. Choose another --out."
        ) from error


def write_comparison(
    folder: Path, record: dict[str, Any], table: pd.DataFrame, per_image: pd.DataFrame
) -> None:
    """Write both tables, then comparison.json."""
    _write_table(folder / "comparison.parquet", table, COMPARISON_COLUMNS)
    _write_table(folder / "per_image.parquet", per_image, PER_IMAGE_COLUMNS)
    write_json(_record_path(folder), record)


def load_comparison(folder: str | Path) -> StoredComparison:
    """Read a comparison folder.

    Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
    """
    folder = Path(folder)
    path = _record_path(folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFolderError(
            f"{folder} is no comparison folder: it has no readable comparison.json "
            f"({error.strerror}). Give the folder that `vaebench compare` wrote."
        ) from error
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}. Compare the runs again.") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int) or version > COMPARISON_SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version}, this vaebench reads up to "
            f"{COMPARISON_SCHEMA_VERSION}. Install a newer vaebench."
        )
    return StoredComparison(
        folder,
        record,
        _read_table(folder / "comparison.parquet", COMPARISON_COLUMNS),
        _read_table(folder / "per_image.parquet", PER_IMAGE_COLUMNS),
    )


def _record_path(folder: Path) -> Path:
    return folder / "comparison.json"


def _write_table(path: Path, frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        **dict.fromkeys(_WHOLE_NUMBERS, pa.int64()),
        **dict.fromkeys(_NUMBERS, pa.float64()),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    table = pa.Table.from_pandas(frame.reindex(columns=list(columns)), schema, preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    write_atomic(path, sink.getvalue())


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise RunFolderError(f"Cannot read {path}: {error}. Compare the runs again.") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise RunFolderError(f"{path} lacks the columns {', '.join(missing)}. Compare again.")
    return frame
