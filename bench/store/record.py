"""run.json, what a run is: a typed record, written with a checksum, checked when it is read."""

from __future__ import annotations

import base64
import json
import secrets
import shlex
from collections.abc import Generator
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, ConfigDict, TypeAdapter, ValidationError

from ..errors import RunFolderError, reason_of
from ..records import (
    CodecInfo,
    Environment,
    ImageRef,
    MetricColumn,
    Region,
    SkippedImage,
    Unavailable,
)
from ..suite import Suite
from .atomic import is_leftover
from .environment import read_environment
from .lock import LOCK_NAME
from .ranges import (
    check_among,
    check_codecs,
    check_images,
    check_name,
    check_regions,
    check_top,
    check_unique,
)
from .sealed import RecordFile

RUN = RecordFile("run.json", 1, "run folder", "vaebench run", "Make the run again.")


@dataclass(frozen=True)
class ErrorMap:
    """What the kept error maps are of; 255 in a map stands for `max`."""

    metric: str
    variant: str
    unit: str
    max: float


@dataclass(frozen=True)
class LatentSummary:
    """What is told of a codec's latents as a whole; None where it cannot be had."""

    codec: str
    pictures: int
    mean: float | None
    std: float | None
    suggested_scaling_factor: float | None
    effective_channels: float | None
    eigenvalues: tuple[float, ...]
    kl_nats_per_picture: float | None
    kl_nats_per_element: float | None
    max_abs: float | None
    fp16_headroom: float | None


@dataclass(frozen=True)
class RunRecord:
    """What a run is: what was asked, of which pictures, by which codecs, where, and how it went.

    `images` have the size at which they are scored. `unavailable` holds every reason of a null
    value, `notes` what a reader must know of how the run went; `timed` says whether its timings are
    there. `working_folder` is what relative paths of the suite are relative to.
    """

    # A region's mask is bytes, in JSON base64.
    __pydantic_config__ = ConfigDict(
        ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
    )

    run_id: str
    name: str
    created: AwareDatetime
    command: str
    working_folder: str | None
    suite: Suite
    environment: Environment
    finished: bool = False
    images: tuple[ImageRef, ...] = ()
    skipped: tuple[SkippedImage, ...] = ()
    regions: tuple[Region, ...] = ()
    unused_regions: tuple[str, ...] = ()
    codecs: tuple[CodecInfo, ...] = ()
    metrics: tuple[MetricColumn, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()
    error_map: ErrorMap | None = None
    notes: tuple[str, ...] = ()
    latents: tuple[LatentSummary, ...] = ()
    timed: bool = False


def _in_range(record: RunRecord) -> RunRecord:
    """Return a record whose values are such as a run has. Raises: ValueError."""
    check_name("run_id", record.run_id)
    sizes = check_images(record.images)
    check_regions(record.regions, sizes)
    check_codecs(record.codecs)
    for place, column in enumerate(record.metrics):
        check_name(f"metrics.{place}.name", column.name)
        check_name(f"metrics.{place}.variant", column.variant)
    check_unique("metrics", [column.variant for column in record.metrics])
    if record.error_map is not None:
        check_top("error_map.max", record.error_map.max)
    names = [info.name for info in record.codecs]
    for place, summary in enumerate(record.latents):
        check_among(f"latents.{place}.codec", summary.codec, names, "the codecs")
    check_unique("latents", [summary.codec for summary in record.latents])
    return record


@cache
def _schema() -> TypeAdapter[RunRecord]:
    return TypeAdapter(Annotated[RunRecord, AfterValidator(_in_range)])


def new_record(suite: Suite, folder: Path, command: str, **fields: Any) -> RunRecord:
    """Return the record of a run that begins now and here, with further fields of RunRecord."""
    now = datetime.now(UTC).replace(microsecond=0)
    return RunRecord(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{folder.name}-{secrets.token_hex(3)}",
        name=folder.name,
        created=now,
        command=command,
        working_folder=str(Path.cwd()).encode("utf-8", "backslashreplace").decode(),
        suite=suite,
        environment=read_environment(),
        **fields,
    )


def record_path(folder: Path) -> Path:
    """Return where a run's run.json is."""
    return RUN.path(folder)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write run.json."""
    RUN.write(folder, _schema().dump_python(record, mode="json", warnings="error"))


def read_record(folder: Path) -> RunRecord:
    """Return run.json of a run folder.

    Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
    """
    if not record_path(folder).is_file() and _is_before_its_record(folder):
        raise RunFolderError(
            f"{folder} is no run folder yet: its run was stopped before it began to score. "
            f"Start it again with --out {shlex.quote(str(folder))}."
        )
    fields = RUN.read(folder)
    try:
        return _schema().validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        raise RunFolderError(
            f"{record_path(folder)} is damaged: {reason_of(error)}. Make the run again."
        ) from error


def may_stand_before_a_record(path: Path) -> bool:
    """Return whether a file may be in the folder of a run that is yet to be written."""
    return path.name == LOCK_NAME or is_leftover(path)


def _is_before_its_record(folder: Path) -> bool:
    left = list(folder.iterdir()) if folder.is_dir() else []
    return bool(left) and all(map(may_stand_before_a_record, left))


@contextmanager
def where_it_began(record: RunRecord) -> Generator[None]:
    """Work in the folder to which a suite's paths are relative, where it is still there."""
    folder = record.working_folder
    with chdir(folder) if folder is not None and Path(folder).is_dir() else nullcontext():
        yield


def region_to_json(region: Region) -> dict[str, Any]:
    """Return a region as JSON-ready values; the mask in base64."""
    mask = None if region.mask is None else base64.b64encode(region.mask).decode()
    return {**vars(region), "box_px": list(region.box_px), "mask": mask}


def region_from_json(entry: dict[str, Any]) -> Region:
    """Return the region that `region_to_json` wrote."""
    mask = None if entry["mask"] is None else base64.b64decode(entry["mask"])
    x0, y0, x1, y1 = entry["box_px"]
    return Region(entry["image_id"], entry["name"], entry["kind"], (x0, y0, x1, y1), mask)
