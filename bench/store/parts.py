"""The parts of a run that goes on: one file a finished picture, checked whenever it is read."""

from __future__ import annotations

import functools
import hashlib
import shlex
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import RunFolderError
from ..records import Score, Unavailable
from .record import read_record, record_path
from .sealed import SEAL, opened, read_json, write_sealed
from .tables import SCORE_COLUMNS

_UNREADABLE = (OSError, ValueError, RuntimeError, EOFError)
"""What zipfile raises of its own accord where a header is damaged."""

_FIELDS = {"run_id", "image_id", "scores", "unavailable", SEAL}
_UNAVAILABLE = {entry.name for entry in fields(Unavailable)}


class RunFolderWarning(UserWarning):
    """A run goes on, but not with all that its folder held; the message says why."""


def part_path(folder: Path, image_id: str, suffix: str = ".json") -> Path:
    """Return where a picture's part of a run that goes on is kept."""
    return folder / "parts" / f"{hashlib.sha256(image_id.encode()).hexdigest()[:20]}{suffix}"


def write_part(
    folder: Path, image_id: str, scores: Sequence[Score], unavailable: Sequence[Unavailable]
) -> None:
    """Mark a picture as finished, with its scores; it is never scored again.

    To be written after all else that is kept of the picture: its part promises that.
    """
    part = {
        "run_id": _run_id(folder),
        "image_id": image_id,
        "scores": [asdict(score) for score in scores],
        "unavailable": [asdict(entry) for entry in unavailable],
    }
    write_sealed(part_path(folder, image_id), part)


def finished_images(folder: Path) -> set[str]:
    """Return the image_ids whose part is on disk and whole.

    A broken part is removed, with a RunFolderWarning: its picture is not finished.
    """
    finished: set[str] = set()
    for path in sorted((folder / "parts").glob("*.json")):
        try:
            part = _read_part(path)
            _check_latents(path)
        except RunFolderError as error:
            path.unlink()
            warnings.warn(f"{error} It is scored again.", RunFolderWarning, stacklevel=2)
        else:
            finished.add(part["image_id"])
    return finished


def read_parts(folder: Path, record: dict[str, Any]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Return scores and reasons of the finished pictures, in the order of the record's images.

    Raises: RunFolderError where a part is broken.
    """
    scores: list[dict[str, Any]] = []
    unavailable: list[dict[str, Any]] = []
    for image in record["images"]:
        path = part_path(folder, image["image_id"])
        if path.is_file():
            try:
                part = _read_part(path)
            except RunFolderError as error:
                raise RunFolderError(
                    f"{error} Have {image['image_id']} scored again: "
                    f"vaebench run --resume {shlex.quote(str(folder))}"
                ) from error
            scores.extend(part["scores"])
            unavailable.extend(part["unavailable"])
    frame = pd.DataFrame(scores, columns=pd.Index(SCORE_COLUMNS))
    return frame.astype({"value": "float64"}), unavailable


def remove_parts(folder: Path) -> None:
    """Remove the parts of a run whose tables are written."""
    shutil.rmtree(folder / "parts", ignore_errors=True)


def _read_part(path: Path) -> dict[str, Any]:
    """Return a part that is what `write_part` writes, in full."""
    folder = path.parent.parent
    try:
        part = read_json(path)
        if (fault := _fault(part)) is None:
            part = opened(part)
    except (OSError, ValueError) as error:
        raise RunFolderError(f"The part {path} is damaged: {error}.") from error
    if fault is None and part_path(folder, part["image_id"]) != path:
        fault = f"it is of {part['image_id']}, which has another file"
    if fault is None and part["run_id"] != _run_id(folder):
        fault = f"it is of another run, {part['run_id']}"
    if fault is not None:
        raise RunFolderError(f"The part {path} is damaged: {fault}.")
    return part


def _run_id(folder: Path) -> str | None:
    return _run_id_in(folder, record_path(folder).stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _run_id_in(folder: Path, written_ns: int) -> str | None:
    # Asked for each part, and a record of many pictures is long.
    return read_record(folder).get("run_id")


def _fault(part: Any) -> str | None:
    """Return what keeps a value from being a part; None where nothing does."""
    if not isinstance(part, dict) or set(part) != _FIELDS:
        return f"the fields {', '.join(sorted(_FIELDS))} are expected"
    if not isinstance(part["image_id"], str):
        return "its image_id is no text"
    for key, names in (("scores", set(SCORE_COLUMNS)), ("unavailable", _UNAVAILABLE)):
        rows = part[key]
        if not isinstance(rows, list) or any(
            not isinstance(row, dict) or set(row) != names for row in rows
        ):
            return f"its {key} have other columns than {', '.join(sorted(names))}"
    if any(not isinstance(row["value"], float | int | None) for row in part["scores"]):
        return "a score is no number"
    return None


def _check_latents(path: Path) -> None:
    """Raise where latents that wait beside a part are broken: the run could not end with them."""
    for latents in sorted(path.parent.glob(f"{path.stem}-*.npz")):
        try:
            with zipfile.ZipFile(latents) as file:
                broken = file.testzip()
        except (*_UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
            broken = str(error) or type(error).__name__
        if broken is not None:
            raise RunFolderError(f"The latents {latents} are damaged: {broken}.")
