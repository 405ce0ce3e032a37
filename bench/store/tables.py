"""The Parquet tables of a run folder: their columns, written atomically and checked on reading."""

from __future__ import annotations

import io
import json
import re
import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from ..errors import RunFolderError, first_line, reason_of
from ..records import DeviceState, Settings, Timing
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

Types = Mapping[str, Sequence[str]]
"""The columns of a table that hold no text, by what they hold."""

SCORE_TYPES: Types = {"double": ["value"]}
TREND_TYPES: Types = {"double": ["value"], "bool": ["is_step"]}
LATENT_TYPES: Types = {
    "int64": ["channel", "count"],
    "bool": ["is_dead"],
    "double": ["mean", "std", "min", "max", "share_outside_4std", "kl_nats"],
    "doubles": ["correlation"],
}
TIMING_TYPES: Types = {
    "int64": [
        *("batch", "height_px", "width_px", "threads", "warmup_runs"),
        *("peak_bytes", "peak_reserved_bytes", "flop"),
    ],
    "bool": ["settled", "throttled"],
    "double": ["first_call_ms", "device_peak_tflops", *TIMING_COLUMNS[len(fields(Timing)) :]],
    "doubles": ["samples_ms", "wall_ms"],
}


def write_scores(folder: Path, frame: pd.DataFrame) -> None:
    """Write scores.parquet: exactly SCORE_COLUMNS, null where a metric was unavailable."""
    write_table(folder / "scores.parquet", frame, SCORE_COLUMNS, **SCORE_TYPES)


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
        **TIMING_TYPES,
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
    write_table(path, trend, TREND_COLUMNS, **TREND_TYPES)


def write_latents(folder: Path, latents: pd.DataFrame) -> None:
    """Write latents.parquet: exactly LATENT_COLUMNS."""
    write_table(folder / "latents.parquet", latents, LATENT_COLUMNS, **LATENT_TYPES)


MOST_ROWS = 100_000
"""Of a table whose length no record tells: cells, channels, or what the history held of them."""


def read_table(
    path: Path, columns: Sequence[str], types: Types, *, most_rows: int = MOST_ROWS
) -> pd.DataFrame:
    """Return a table of a run folder; without rows where the file is not there.

    Args:
        types: as `write_table`.
        most_rows: how many it can have; asked of its header, before anything is taken into memory.
    Raises: RunFolderError where it is damaged, or no such table.
    """
    if not path.is_file():
        return pd.DataFrame(columns=pd.Index(columns))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            held = dict(
                zip(file.schema_arrow.names, map(str, file.schema_arrow.types), strict=True)
            )
            groups = range(file.metadata.num_row_groups)
            rows = sum(file.metadata.row_group(place).num_rows for place in groups)
        fault = _fault(held, rows, columns, most_rows, types)
        if fault is None:
            frame = pd.read_parquet(path, columns=list(columns), page_checksum_verification=True)
            if list(frame.columns) == list(columns):
                return frame
            fault = "names its columns in two ways"
    except (OSError, ValueError, TypeError, KeyError, MemoryError, pa.ArrowException) as error:
        # Arrow tells of some faults in many lines.
        told = first_line(error).rstrip(".")
        raise RunFolderError(
            f"Cannot read {path}: {told}. Restore it, or make the run again."
        ) from error
    raise RunFolderError(f"{path} {fault}. Make the run again.")


def _fault(
    held: Mapping[str, str],
    rows: int,
    columns: Sequence[str],
    most_rows: int,
    types: Types,
) -> str | None:
    """Return what a table's header tells against it; `held` are the types of its columns."""
    missing = [name for name in columns if name not in held]
    if missing:
        return f"lacks the columns {', '.join(missing)}"
    expected = {column: name for name, chosen in types.items() for column in chosen}
    for column in columns:
        wanted = expected.get(column, "string")
        if not re.fullmatch(_ARROW.get(wanted, wanted), held[column]):
            what = "values" if column == "value" else column
            told = {"double": "float64", "string": "text", "doubles": "lists of float64"}
            return f"holds {held[column]} as {what}, not {told.get(wanted, wanted)}"
    return None if rows <= most_rows else f"has {rows} rows, where at most {most_rows} can be"


_ARROW = {"string": "(large_)?string", "doubles": r"list<\w+: double.*>"}


def check_rows(
    path: Path,
    frame: pd.DataFrame,
    keys: Sequence[str],
    known: Mapping[str, Collection[str]],
    types: Types,
    nullable: Collection[str] = (),
) -> None:
    """Check the rows of a table against the record that it belongs to.

    Args:
        keys: the columns that no two rows share. known: which texts a column may hold.
        types: as `write_table`. nullable: the columns, besides doubles, that may be empty.
    Raises: RunFolderError.
    """
    mend = "Restore it, or make the run again."
    may_lack = {*nullable, *types.get("double", ()), *types.get("doubles", ())}
    for column in frame.columns:
        if column not in may_lack and frame[column].isna().to_numpy().any():
            raise RunFolderError(f"{path} has a row without {column}. {mend}")
    for column, names in known.items():
        strangers = [name for name in frame[column].unique() if name not in names]
        if strangers:
            raise RunFolderError(
                f"{path} is of another run: {strangers[0]!r} is not among the "
                f"{_ENTRIES.get(column, f'{column}s')} of its record. {mend}"
            )
    double = frame.duplicated(list(keys)).to_numpy()
    if double.any():
        first = frame.loc[double, list(keys)].iloc[0]
        raise RunFolderError(f"{path} has a row twice: {', '.join(map(str, first))}. {mend}")


def check_states(path: Path, timings: pd.DataFrame) -> None:
    """Check the JSON of timings: settings, and the states of their device.

    Raises: RunFolderError.
    """
    for column in ("settings", "before", "after"):
        schema: TypeAdapter[Any] = TypeAdapter(Settings if column == "settings" else DeviceState)
        for text in timings[column].dropna().unique():
            try:
                state = schema.validate_json(text)
                if isinstance(state, DeviceState) and json.loads(text).keys() - vars(state):
                    raise ValueError("it is no state of a device")
            except ValueError as error:
                told = reason_of(error) if isinstance(error, ValidationError) else error
                raise RunFolderError(
                    f"{path} is damaged: {reprlib.repr(text)} as {column}: {told}. "
                    "Make the run again."
                ) from error


_ENTRIES = {"image_id": "images", "codec": "codecs", "variant": "metrics"}
