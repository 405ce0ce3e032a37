"""Which rows of a history are whole: a file that anything may write is not taken at its word."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...errors import HistoryWarning

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

_TEXTS = ("kind", "run_id", "created", "fingerprint", "codec", "cell", "measure", "unit")
_DAMAGED = object()


def read_cell(text: str) -> Any:
    """Return the value of a JSON cell; what no measurement holds where it is damaged."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return _DAMAGED


def keep_whole(rows: Sequence[RowMapping], name: str) -> list[RowMapping]:
    """Return the rows of a history that are whole; a warning tells of the others.

    Args:
        rows: with `_id`, and `_known`, which is None where a row's environment is not there.
        name: the history's.
    """
    damaged = [row for row in rows if row["_known"] is None or not _is_whole(row)]
    if not damaged:
        return list(rows)
    ids = [str(row["_id"]) for row in damaged]
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    warnings.warn(
        f"The history {name} is damaged: the measurements of id {', '.join(ids[:3])}{more} are "
        "left out.",
        HistoryWarning,
        stacklevel=2,
    )
    lost = set(ids)
    return [row for row in rows if str(row["_id"]) not in lost]


def _is_whole(row: Mapping[Any, Any]) -> bool:
    """Return whether each of a measurement's cells that were read is what it is to be."""
    return all(_is_valid(name, value) for name, value in row.items())


def _is_valid(name: str, value: Any) -> bool:
    if name == "created":
        return isinstance(value, str) and _is_moment(value)
    if name in _TEXTS:
        return isinstance(value, str)
    if name in ("environment", "extra"):
        return isinstance(value, dict)
    if name == "samples":
        return value is None or (
            isinstance(value, list) and len(value) > 0 and all(map(_is_number, value))
        )
    if name == "value":
        return value is None or _is_number(value)
    return name != "commit" or value is None or isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
