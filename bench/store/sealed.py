"""JSON files with a checksum of what they hold, so that a flipped bit is never another number."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .atomic import write_json

SEAL = "sha256"


def write_sealed(path: Path, fields: dict[str, Any]) -> None:
    """Write an object atomically, with its checksum as its last field."""
    write_json(path, {**fields, SEAL: _digest(fields)})


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises: OSError, or ValueError where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def opened(sealed: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a sealed object. Raises: ValueError where they are not as written."""
    fields = {key: value for key, value in sealed.items() if key != SEAL}
    if sealed.get(SEAL) != _digest(fields):
        raise ValueError("its checksum is of other contents")
    return fields


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
