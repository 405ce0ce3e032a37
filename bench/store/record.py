"""run.json, what a run is: written with a checksum, checked whenever it is read."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Generator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, Base64Bytes, BaseModel, Field, ValidationError

from ..errors import RunFolderError
from ..records import CodecInfo, Environment, ImageRef, MetricColumn, SkippedImage, Unavailable
from ..suite import Suite
from .atomic import is_leftover
from .environment import read_environment
from .lock import LOCK_NAME
from .sealed import SEAL, opened, read_json, write_sealed

SCHEMA_VERSION = 1


class _Region(BaseModel):
    image_id: str
    name: str = Field(min_length=1)
    kind: str = Field(min_length=1)
    box_px: tuple[int, int, int, int]
    mask: Base64Bytes | None


class _ErrorMap(BaseModel):
    metric: str
    variant: str
    unit: str
    max: float = Field(gt=0)


class _Latents(BaseModel):
    codec: str
    pictures: int
    mean: float | None
    std: float | None
    suggested_scaling_factor: float | None
    effective_channels: float | None
    eigenvalues: list[float]
    kl_nats_per_picture: float | None
    kl_nats_per_element: float | None
    max_abs: float | None
    fp16_headroom: float | None


class _Record(BaseModel):
    """What run.json of a run before the checksum must hold, down to each field's type."""

    run_id: str
    name: str
    created: AwareDatetime
    finished: bool
    command: str
    suite: Suite
    environment: Environment
    images: list[ImageRef]
    skipped: list[SkippedImage]
    regions: list[_Region]
    unused_regions: list[str]
    codecs: list[CodecInfo]
    metrics: list[MetricColumn]
    unavailable: list[Unavailable]
    error_map: _ErrorMap | None
    notes: list[str] = []
    latents: list[_Latents] = []
    timed: bool = False
    working_folder: str | None = None


_GROWN = {"suite", "environment", "images", "codecs", "unavailable"}
"""What has fields that older runs do not have."""


def record_path(folder: Path) -> Path:
    """Return where a run's run.json is."""
    return folder / "run.json"


def empty_record(suite: Suite, folder: Path, command: str) -> dict[str, Any]:
    """Return run.json of a run without pictures, metrics and codecs."""
    now = datetime.now(UTC)
    lists = ("images", "skipped", "regions", "unused_regions", "codecs", "metrics", "unavailable")
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": f"{now:%Y%m%dT%H%M%SZ}-{folder.name}-{secrets.token_hex(3)}",
        "name": folder.name,
        "created": now.isoformat(timespec="seconds"),
        "finished": False,
        "command": command,
        "working_folder": str(Path.cwd()).encode("utf-8", "backslashreplace").decode(),
        "suite": suite.model_dump(),
        "environment": asdict(read_environment()),
        **{name: [] for name in lists},
        "error_map": None,
    }


@contextmanager
def where_it_began(record: dict[str, Any]) -> Generator[None]:
    """Work in the folder to which a suite's paths are relative, where it is still there."""
    folder = record.get("working_folder")
    with chdir(folder) if folder is not None and Path(folder).is_dir() else nullcontext():
        yield


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json."""
    write_sealed(record_path(folder), {key: record[key] for key in record if key != SEAL})


def read_record(folder: Path) -> dict[str, Any]:
    """Return run.json of a run folder.

    Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
    """
    path = record_path(folder)
    try:
        record = read_json(path)
    except OSError as error:
        raise RunFolderError(_no_record(folder, error)) from error
    except ValueError as error:
        raise RunFolderError(f"{path} is damaged: {error}. Make the run again.") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has schema version {version}, this vaebench reads up to {SCHEMA_VERSION}. "
            "Install a newer vaebench."
        )
    if SEAL not in record:
        return _checked(path, record)
    try:
        return opened(record)
    except ValueError as error:
        raise RunFolderError(
            f"{path} is damaged, or was changed by hand: {error}. Restore it, or make the run "
            f"again; where you changed it, take its last field, {SEAL}, out."
        ) from error


def is_before_its_record(path: Path) -> bool:
    """Return whether a file may be in the folder of a run that is yet to be written."""
    return path.name == LOCK_NAME or is_leftover(path)


def _checked(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without a checksum, with the defaults of what has been added since."""
    try:
        known = _Record.model_validate_json(json.dumps(record), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise RunFolderError(
            f"{path} is damaged: {where}: {first['msg'].rstrip('.').lower()}. Make the run again."
        ) from error
    return {**record, **known.model_dump(mode="json", include=_GROWN)}


def _no_record(folder: Path, error: OSError) -> str:
    left = list(folder.iterdir()) if folder.is_dir() else []
    if left and all(map(is_before_its_record, left)):
        return (
            f"{folder} is no run folder yet: its run was stopped before it began to score. "
            f"Start it again with --out {shlex.quote(str(folder))}."
        )
    return (
        f"{folder} is no run folder: it has no readable run.json ({error.strerror}). "
        "Give the folder that `vaebench run` wrote."
    )
