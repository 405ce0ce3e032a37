"""The Parquet tables of a run folder: their columns, written atomically and checked on reading."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunFolderError, first_line
from ..records import Timing
from .atomic import write_atomic

TIMING_COLUMNS = (
    *(entry.name for entry in fields(Timing)),
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "images_per_s",
    "megapixels_per_s",
    "tflops",
    "share_of_peak",
)
"""The fields of Timing, `settings`, `before` and `after` as JSON, and what follows from them."""

TREND_COLUMNS = (
    "cell",
    "measure",
    "unit",
    "created",
    "commit",
    "fingerprint",
    "value",
    "is_step",
)
"""What the history held of a run's cells when it ended: a row a measurement, oldest first."""

LATENT_COLUMNS = (
    "codec",
    "channel",
    "count",
    "mean",
    "std",
    "min",
    "max",
    "share_outside_4std",
    "is_dead",
    "kl_nats",
    "correlation",
)
"""One row a channel of a codec's latents: `count` values; `kl_nats` is the mean per element, null
without a posterior; `correlation` with every channel of the codec, NaN where one is constant."""

SCORE_COLUMNS = ("image_id", "codec", "region", "kind", "metric", "variant", "value", "unit")


def write_scores(folder: Path, frame: pd.DataFrame) -> None:
    """Write scores.parquet: exactly SCORE_COLUMNS, null where a metric was unavailable."""
    write_table(folder / "scores.parquet", frame, SCORE_COLUMNS, double=["value"])


def write_table(
    path: Path, frame: pd.DataFrame, columns: Sequence[str], **types: Iterable[str]
) -> None:
    """Write the columns of a table as Parquet whose pages have checksums.

    Args:
        types: columns that hold no text, by Arrow's name of their type: double, int64, bool, or
            doubles for lists of them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {
        column: pa.list_(pa.float64()) if name == "doubles" else pa.type_for_alias(name)
        for name, chosen in types.items()
        for column in chosen
    }
    schema = pa.schema([(name, arrow.get(name, pa.string())) for name in columns])
    table = pa.Table.from_pandas(frame.reindex(columns=list(columns)), schema, preserve_index=False)
    sink = io.BytesIO()
    # Checksums, so that a flipped bit is an error and not another number.
    pq.write_table(table, sink, write_page_checksum=True)
    write_atomic(path, sink.getvalue())


def write_timings(folder: Path, timings: Sequence[Timing]) -> None:
    """Write timings.parquet: exactly TIMING_COLUMNS; the raw samples are lists of milliseconds."""
    write_table(
        folder / "timings.parquet",
        pd.DataFrame([_timing_row(timing) for timing in timings]),
        TIMING_COLUMNS,
        int64=[
            *("batch", "height_px", "width_px", "threads", "warmup_runs"),
            *("peak_bytes", "peak_reserved_bytes", "flop"),
        ],
        bool=["settled", "throttled"],
        double=["first_call_ms", "device_peak_tflops", *TIMING_COLUMNS[len(fields(Timing)) :]],
        doubles=["samples_ms", "wall_ms"],
    )


def _timing_row(timing: Timing) -> dict[str, Any]:
    row = {**asdict(timing), **{f"p{p}_ms": timing.percentile_ms(p) for p in (50, 90, 99)}}
    for name in ("images_per_s", "megapixels_per_s", "tflops", "share_of_peak"):
        row[name] = getattr(timing, name)
    for name in ("settings", "before", "after"):
        row[name] = None if row[name] is None else json.dumps(row[name], sort_keys=True)
    return row


def write_trend(folder: Path, trend: pd.DataFrame) -> None:
    """Write trend.parquet: exactly TREND_COLUMNS."""
    path = folder / "trend.parquet"
    write_table(path, trend, TREND_COLUMNS, double=["value"], bool=["is_step"])


def write_latents(folder: Path, latents: pd.DataFrame) -> None:
    """Write latents.parquet: exactly LATENT_COLUMNS."""
    write_table(
        folder / "latents.parquet",
        latents,
        LATENT_COLUMNS,
        int64=["channel", "count"],
        bool=["is_dead"],
        double=["mean", "std", "min", "max", "share_outside_4std", "kl_nats"],
        doubles=["correlation"],
    )


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table of a run folder; without rows where the file is not there.

    Raises: RunFolderError where it is damaged, or no such table.
    """
    if not path.is_file():
        return pd.DataFrame(columns=pd.Index(columns))
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path, page_checksum_verification=True)
    except (OSError, ValueError, TypeError, KeyError, MemoryError, pa.ArrowException) as error:
        # Arrow tells of some faults in many lines.
        told = first_line(error).rstrip(".")
        raise RunFolderError(
            f"Cannot read {path}: {told}. Restore it, or make the run again."
        ) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise RunFolderError(f"{path} lacks the columns {', '.join(missing)}. Make the run again.")
    if "value" in columns and not pd.api.types.is_float_dtype(frame["value"]):
        raise RunFolderError(
            f"{path} holds {frame['value'].dtype} as values, not float64. Make the run again."
        )
    return frame
