"""JSON files with a checksum of what they hold, so that a flipped bit is never another number."""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import RunFolderError, reason_of
from .atomic import write_json

SEAL = "sha256"
_MOST_DIGITS = 20
"""Of a whole number and its sign: 64 bits."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class RecordFile:
    """The record of a folder that a command writes: one JSON object with a version and a checksum.

    `folder` is what such a folder is called, `command` what writes it, `mend` what helps where it
    is damaged. `check` raises a ValueError, a clause, for fields that none of ours has.
    """

    name: str
    schema_version: int
    folder: str
    command: str
    mend: str
    check: Callable[[Mapping[str, Any]], None] | None = None

    def path(self, folder: Path) -> Path:
        """Return where the record of a folder is."""
        return folder / self.name

    def write(self, folder: Path, fields: dict[str, Any]) -> None:
        """Write the record, whole or not at all."""
        write_sealed(self.path(folder), {"schema_version": self.schema_version, **fields})

    def read(self, folder: Path) -> dict[str, Any]:
        """Return the record's fields, the version among them.

        Raises: RunFolderError where there is none, it is damaged, or of a newer schema.
        """
        path = self.path(folder)
        try:
            record = read_json(path)
        except OSError as error:
            raise RunFolderError(
                f"{folder} is no {self.folder}: it has no readable {self.name} ({error.strerror}). "
                f"Give the folder that `{self.command}` wrote."
            ) from error
        except ValueError as error:
            raise RunFolderError(f"{path} is damaged: {error}. {self.mend}") from error
        version = record.get("schema_version") if isinstance(record, dict) else None
        if not isinstance(version, int) or version > self.schema_version:
            raise RunFolderError(
                f"{path} has schema version {version}, this vaebench reads up to "
                f"{self.schema_version}. Install a newer vaebench."
            )
        try:
            fields = opened(record)
        except ValueError as error:
            raise RunFolderError(
                f"{path} is damaged, or was changed by hand: {error}. Restore it, or: {self.mend}"
            ) from error
        try:
            if self.check is not None:
                self.check(fields)
        except ValueError as error:
            told = reason_of(error) if isinstance(error, ValidationError) else error
            raise RunFolderError(f"{path} is damaged: {told}. {self.mend}") from error
        return fields


def write_sealed(path: Path, fields: dict[str, Any]) -> None:
    """Write an object atomically, with its checksum as its last field."""
    write_json(path, {**fields, SEAL: _digest(fields)})


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises: OSError, or ValueError where it is no JSON."""
    text = path.read_text(encoding="utf-8")
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_fraction)
        # Half a character is valid JSON, and no text that can be written again.
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"it holds half a character, {error.object[error.start]!a}") from error
    return value


def _whole(digits: str) -> int:
    """Return a whole number. Raises: ValueError for one that no count or size is."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    """Return a number. Raises: ValueError for one beyond all floats; infinity has its own word."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"it holds {reprlib.repr(digits)}, which is beyond all numbers")
    return value


def opened(sealed: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a sealed object. Raises: ValueError where they are not as written."""
    fields = {key: value for key, value in sealed.items() if key != SEAL}
    if sealed.get(SEAL) != _digest(fields):
        raise ValueError("its checksum is of other contents")
    return fields


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
