"""The run folder: written part by part, read as DataFrames, resumed after a kill.

Every file appears whole or not at all (temporary file, fsync, rename). While a run goes on, each
finished picture leaves one JSON part; the last step gathers the parts into `scores.parquet`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import RunFolderError
from .records import REFERENCE, Region, Score, Timing, Unavailable

SCHEMA_VERSION = 1
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

SCORE_COLUMNS = ("image_id", "codec", "region", "kind", "metric", "variant", "value", "unit")


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is seen either whole or not at all, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{hash(path.name) & 0xFFFFFF:x}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, readable by eye."""
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def region_to_json(region: Region) -> dict[str, Any]:
    """Return a region as JSON-ready values; the mask in base64."""
    mask = None if region.mask is None else base64.b64encode(region.mask).decode()
    return {**asdict(region), "box_px": list(region.box_px), "mask": mask}


def region_from_json(entry: dict[str, Any]) -> Region:
    """Return the region that `region_to_json` wrote."""
    mask = None if entry["mask"] is None else base64.b64decode(entry["mask"])
    x0, y0, x1, y1 = entry["box_px"]
    return Region(entry["image_id"], entry["name"], entry["kind"], (x0, y0, x1, y1), mask)


def picture_path(folder: Path, room: str, codec: str, image_id: str, suffix: str = ".png") -> Path:
    """Return where a picture of a run is kept: `room` is reconstructions, maps or latents."""
    return folder / room / codec / f"{image_id}{suffix}"


@dataclass(frozen=True)
class StoredRun:
    """A run read back from its folder.

    `record` is run.json; `scores` is the tidy table with the columns SCORE_COLUMNS, NaN where a
    metric was unavailable (the reason is in `unavailable`).
    """

    folder: Path
    record: dict[str, Any]
    scores: pd.DataFrame

    @cached_property
    def timings(self) -> pd.DataFrame:
        """One row a timed cell: TIMING_COLUMNS; without rows where nothing was timed."""
        return _read_table(self.folder / "timings.parquet", TIMING_COLUMNS)

    @cached_property
    def trend(self) -> pd.DataFrame:
        """One row an earlier or present measurement of this run's cells: TREND_COLUMNS."""
        return _read_table(self.folder / "trend.parquet", TREND_COLUMNS)

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row a scored picture: image_id, image_set, path, sha256, size as scored, notes."""
        return pd.DataFrame(self.record["images"])

    @cached_property
    def codecs(self) -> pd.DataFrame:
        """One row a codec: the fields of CodecInfo."""
        return pd.DataFrame(self.record["codecs"])

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """The regions that were scored, in the pixels that were scored."""
        return tuple(region_from_json(entry) for entry in self.record["regions"])

    @cached_property
    def unavailable(self) -> pd.DataFrame:
        """One row a reason: metric, variant, reason, image_id, codec (None: all of them)."""
        columns = ["metric", "variant", "reason", "image_id", "codec"]
        return pd.DataFrame(self.record["unavailable"], columns=pd.Index(columns))

    def reference_path(self, image_id: str) -> Path | None:
        """Return the 8-bit PNG that the reconstructions were compared with, if it was kept."""
        return self._kept("reconstructions", REFERENCE, image_id)

    def reconstruction_path(self, codec: str, image_id: str) -> Path | None:
        """Return the reconstruction's 8-bit PNG, if it was kept."""
        return self._kept("reconstructions", codec, image_id)

    def map_path(self, codec: str, image_id: str) -> Path | None:
        """Return the error map: grey PNG, 0..255 for 0..record["error_map"]["max"]; if kept."""
        return self._kept("maps", codec, image_id)

    def latents_path(self, codec: str, image_id: str) -> Path | None:
        """Return the raw latents, a .npy of [C, h, w], if kept."""
        return self._kept("latents", codec, image_id, ".npy")

    def _kept(self, room: str, codec: str, image_id: str, suffix: str = ".png") -> Path | None:
        path = picture_path(self.folder, room, codec, image_id, suffix)
        return path if path.is_file() else None

    def _repr_html_(self) -> str:
        """Show a notebook the mean of each metric over whole pictures, a row a codec."""
        whole = self.scores[self.scores["region"] == "whole"]
        means = whole.pivot_table(
            index="codec", columns="variant", values="value", sort=False, dropna=False
        )
        count = self.images.shape[0]
        return f"<p>{self.record['name']}: means over {count} pictures</p>{means.to_html()}"


def create_run(folder: Path, record: dict[str, Any]) -> None:
    """Make a new run folder with its run.json; refuse one that holds anything already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        resume = (
            f"go on with it by --resume {folder}, or " if _record_path(folder).is_file() else ""
        )
        raise RunFolderError(
            f"Cannot start a run in {folder}: it is not an empty folder. "
            f"Please {resume}choose another --out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_record(folder, record)
    except OSError as error:
        raise RunFolderError(
            f"Cannot write the run folder {folder}: {error.strerror}. Choose another --out."
        ) from error


def read_record(folder: Path) -> dict[str, Any]:
    """Return run.json of a run folder.

    Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
    """
    path = _record_path(folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunFolderError(
            f"{folder} is no run folder: it has no readable run.json ({error.strerror}). "
            "Give the folder that `vaebench run` wrote."
        ) from error
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}. Make the run again.") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version}, this vaebench reads up to {SCHEMA_VERSION}. "
            "Install a newer vaebench."
        )
    return record


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json."""
    write_json(_record_path(folder), record)


def write_part(
    folder: Path, image_id: str, scores: Sequence[Score], unavailable: Sequence[Unavailable]
) -> None:
    """Mark a picture as finished, with its scores; it is never scored again."""
    part = {
        "image_id": image_id,
        "scores": [asdict(score) for score in scores],
        "unavailable": [asdict(entry) for entry in unavailable],
    }
    write_json(_part_path(folder, image_id), part)


def finished_images(folder: Path) -> set[str]:
    """Return the image_ids whose part is on disk."""
    parts = (folder / "parts").glob("*.json")
    return {json.loads(path.read_text(encoding="utf-8"))["image_id"] for path in parts}


def finish_run(folder: Path, record: dict[str, Any]) -> None:
    """Gather the parts, in the order of the record's images, into scores.parquet."""
    frame, unavailable = _read_parts(folder, record)
    write_scores(folder, frame)
    record["unavailable"] = _unique([*record["unavailable"], *unavailable])
    record["finished"] = True
    write_record(folder, record)
    shutil.rmtree(folder / "parts", ignore_errors=True)


def write_scores(folder: Path, frame: pd.DataFrame) -> None:
    """Write scores.parquet: exactly SCORE_COLUMNS, null where a metric was unavailable."""
    import pyarrow as pa

    schema = pa.schema(
        [(name, pa.float64() if name == "value" else pa.string()) for name in SCORE_COLUMNS]
    )
    _write_table(folder / "scores.parquet", frame, schema)


def _write_table(path: Path, frame: pd.DataFrame, schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [str(name) for name in schema.names]
    frame = frame.reindex(columns=columns)
    table = pa.Table.from_pandas(frame, schema, preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    write_atomic(path, sink.getvalue())


def write_timings(folder: Path, timings: Sequence[Timing]) -> None:
    """Write timings.parquet: exactly TIMING_COLUMNS; the raw samples are lists of milliseconds."""
    rows = [_timing_row(timing) for timing in timings]
    _write_table(folder / "timings.parquet", pd.DataFrame(rows), _timing_schema())


def _timing_row(timing: Timing) -> dict[str, Any]:
    row = {**asdict(timing), **{f"p{p}_ms": timing.percentile_ms(p) for p in (50, 90, 99)}}
    for name in ("images_per_s", "megapixels_per_s", "tflops", "share_of_peak"):
        row[name] = getattr(timing, name)
    for name in ("settings", "before", "after"):
        row[name] = None if row[name] is None else json.dumps(row[name], sort_keys=True)
    return row


def _timing_schema() -> Any:
    import pyarrow as pa

    types = {
        **dict.fromkeys(("batch", "height_px", "width_px", "threads", "warmup_runs"), pa.int64()),
        **dict.fromkeys(("peak_bytes", "peak_reserved_bytes", "flop"), pa.int64()),
        **dict.fromkeys(("settled", "throttled"), pa.bool_()),
        **dict.fromkeys(("samples_ms", "wall_ms"), pa.list_(pa.float64())),
        **dict.fromkeys(("first_call_ms", "device_peak_tflops"), pa.float64()),
        **dict.fromkeys(TIMING_COLUMNS[len(fields(Timing)) :], pa.float64()),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in TIMING_COLUMNS])


def write_trend(folder: Path, trend: pd.DataFrame) -> None:
    """Write trend.parquet: exactly TREND_COLUMNS."""
    import pyarrow as pa

    types = {"value": pa.float64(), "is_step": pa.bool_()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in TREND_COLUMNS])
    _write_table(folder / "trend.parquet", trend, schema)


def load_run(folder: str | Path) -> StoredRun:
    """Read a run folder; of a run that is not finished, the pictures that are.

    Raises: RunFolderError.
    """
    folder = Path(folder)
    record = read_record(folder)
    if not record["finished"]:
        frame, unavailable = _read_parts(folder, record)
        record["unavailable"] = _unique([*record["unavailable"], *unavailable])
        return StoredRun(folder, record, frame)
    return StoredRun(folder, record, _read_scores(folder / "scores.parquet"))


def _read_scores(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise RunFolderError(f"Cannot read {path}: it is gone. Restore it, or make the run again.")
    return _read_table(path, SCORE_COLUMNS)


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame(columns=pd.Index(columns))
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"Cannot read {path}: {error}. Restore it, or make the run again."
        ) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise RunFolderError(f"{path} lacks the columns {', '.join(missing)}. Make the run again.")
    return frame


def _read_parts(folder: Path, record: dict[str, Any]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    scores: list[dict[str, Any]] = []
    unavailable: list[dict[str, Any]] = []
    for image in record["images"]:
        path = _part_path(folder, image["image_id"])
        if path.is_file():
            part = json.loads(path.read_text(encoding="utf-8"))
            scores.extend(part["scores"])
            unavailable.extend(part["unavailable"])
    frame = pd.DataFrame(scores, columns=pd.Index(SCORE_COLUMNS))
    return frame.astype({"value": "float64"}), unavailable


def _unique(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(entry, sort_keys=True): entry for entry in entries}.values())


def _record_path(folder: Path) -> Path:
    return folder / "run.json"


def _part_path(folder: Path, image_id: str) -> Path:
    return folder / "parts" / f"{hashlib.sha256(image_id.encode()).hexdigest()[:20]}.json"
