"""The parts of a run that goes on: one file a finished picture, checked whenever it is read."""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..errors import RunFolderError, reason_of
from ..records import Score, Unavailable
from .record import RunRecord, read_record, record_path
from .sealed import opened, read_json, write_sealed
from .tables import SCORE_COLUMNS


class RunFolderWarning(UserWarning):
    """A run goes on, but not with all that its folder held; the message says why."""


@dataclass(frozen=True)
class LatentMoments:
    """What a part keeps of a picture's latents [C, h, w]: float64 values in the machine's order.

    `count` values to a channel; `mean`, `low`, `high` are [C], `scatter` [C, C], the summed outer
    products of the deviations; `kl_nats` [C] is None where the encoder gave no posterior, and
    `noise` where the latents are no posterior's mode: else its variances, summed over all values.
    """

    count: int
    mean: bytes
    scatter: bytes
    low: bytes
    high: bytes
    kl_nats: bytes | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Part:
    """One finished picture of a run: its scores, the reasons of those that are null, its latents.

    `latents` holds a codec's moments by its name.
    """

    # Bytes are base64 in JSON.
    __pydantic_config__ = ConfigDict(
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="constants",
        extra="forbid",
    )

    run_id: str
    image_id: str
    scores: tuple[Score, ...]
    unavailable: tuple[Unavailable, ...]
    latents: Mapping[str, LatentMoments] = field(default_factory=dict[str, LatentMoments])


@functools.cache
def _schema() -> TypeAdapter[Part]:
    return TypeAdapter(Part)


def part_path(folder: Path, image_id: str) -> Path:
    """Return where a picture's part of a run that goes on is kept."""
    return folder / "parts" / f"{hashlib.sha256(image_id.encode()).hexdigest()[:20]}.json"


def write_part(
    folder: Path,
    image_id: str,
    scores: Sequence[Score],
    unavailable: Sequence[Unavailable],
    latents: Mapping[str, LatentMoments],
) -> None:
    """Mark a picture as finished, with what was found of it; it is never scored again.

    To be written after all else that is kept of the picture: its part promises that.
    """
    part = Part(_run_id(folder), image_id, tuple(scores), tuple(unavailable), latents)
    write_sealed(
        part_path(folder, image_id), _schema().dump_python(part, mode="json", warnings="error")
    )


def finished_images(folder: Path) -> set[str]:
    """Return the image_ids whose part is on disk and whole.

    A broken part is removed, with a RunFolderWarning: its picture is not finished.
    """
    finished: set[str] = set()
    for path in sorted((folder / "parts").glob("*.json")):
        try:
            finished.add(_read_part(path).image_id)
        except RunFolderError as error:
            path.unlink()
            warnings.warn(f"{error} It is scored again.", RunFolderWarning, stacklevel=2)
    return finished


def parts_of(folder: Path, record: RunRecord) -> list[Part]:
    """Return the parts of the finished pictures, in the order of the record's images.

    Raises: RunFolderError where a part is broken.
    """
    parts: list[Part] = []
    for image in record.images:
        path = part_path(folder, image.image_id)
        if path.is_file():
            try:
                parts.append(_read_part(path))
            except RunFolderError as error:
                raise RunFolderError(
                    f"{error} Have {image.image_id} scored again: "
                    f"vaebench run --resume {shlex.quote(str(folder))}"
                ) from error
    return parts


def scores_of(parts: Sequence[Part]) -> pd.DataFrame:
    """Return the scores of parts as a table with SCORE_COLUMNS."""
    rows = [vars(score) for part in parts for score in part.scores]
    return pd.DataFrame(rows, columns=pd.Index(SCORE_COLUMNS)).astype({"value": "float64"})


def remove_parts(folder: Path) -> None:
    """Remove the parts of a run whose tables are written."""
    shutil.rmtree(folder / "parts", ignore_errors=True)


def _read_part(path: Path) -> Part:
    """Return a part that is what `write_part` writes, in full."""
    folder = path.parent.parent
    try:
        fields = read_json(path)
        if not isinstance(fields, dict):
            raise ValueError("it is no JSON object")
        part = _schema().validate_json(json.dumps(opened(fields)), strict=True)
    except ValidationError as error:
        raise RunFolderError(f"The part {path} is damaged: {reason_of(error)}.") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"The part {path} is damaged: {error}.") from error
    fault = None
    if part_path(folder, part.image_id) != path:
        fault = f"it is of {part.image_id}, which has another file"
    elif part.run_id != _run_id(folder):
        fault = f"it is of another run, {part.run_id}"
    if fault is not None:
        raise RunFolderError(f"The part {path} is damaged: {fault}.")
    return part


def _run_id(folder: Path) -> str:
    return _run_id_in(folder, record_path(folder).stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _run_id_in(folder: Path, written_ns: int) -> str:
    # Asked for each part, and a record of many pictures is long.
    return read_record(folder).run_id
