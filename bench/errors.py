"""The one family of errors that a command answers with a sentence.

    VaebenchError
    ├── SuiteError        what to compare, or a file that asks something
    ├── ImageError        a picture
    ├── RegionError       a regions file
    ├── CodecError        a codec, a checkpoint, a .vbl file
    ├── RunFolderError    what a command wrote, or is to write into
    │   └── ReportError   a report that the disk does not take: what it is of is whole
    └── HistoryError      the history of all runs

Warnings are HistoryWarning, RunFolderWarning (`store.parts`) and MemoryWarning
(`scoring.evaluate`). Metrics, which know nothing of bench, raise `metrics.MetricError`; a run makes
it the reason of a value that is unavailable.
"""

from __future__ import annotations

import difflib
import reprlib
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Unicode's marks that turn the direction of what follows: Annex 9, explicit ones."""


_LONGEST_MESSAGE = 4000


def visible(text: str, *, as_json: bool = False) -> str:
    """Return a text with what would steer a terminal (controls, ends of lines, turns) escaped.

    Args:
        as_json: whether it is a line of JSON, which has escapes of its own.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(char, as_json) if _steers(char) else char for char in text)


def _escaped(char: str, as_json: bool) -> str:
    return f"\\u{ord(char):04x}" if as_json else ascii(char)[1:-1]


def _steers(char: str) -> bool:
    return char in _TURNING or unicodedata.category(char) in _HIDDEN


class VaebenchError(Exception):
    """Something the user can mend: the message says what, which, expected and mend.

    It is one line, and what it quotes steers no terminal.
    """

    def __str__(self) -> str:
        """Return the message, made `visible`; of one that no terminal should show, both ends."""
        told = super().__str__()
        if len(told) > _LONGEST_MESSAGE:
            told = f"{told[: _LONGEST_MESSAGE - 500]} … {told[-500:]}"
        return visible(told)


class CodecError(VaebenchError):
    """A codec could not be opened, or could not encode or decode a picture."""


class ImageError(VaebenchError):
    """A picture cannot be used; the message is the reason that the run lists."""


class RegionError(VaebenchError):
    """A regions file is malformed or names a box outside its picture."""


class RunFolderError(VaebenchError):
    """A run folder is missing, foreign, damaged or of another schema."""


class ReportError(RunFolderError):
    """A report cannot be written; the numbers that it tells of are all there."""


class SuiteError(VaebenchError):
    """The description of what to compare is not valid."""


class HistoryError(VaebenchError):
    """The history cannot be opened, read or written."""


class HistoryWarning(UserWarning):
    """A run was made, but the history does not hold it; the message says why."""


def first_line(error: BaseException) -> str:
    """Return what fits a sentence of an error of another library."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_NAMED = 10
_LONGEST = 200


def shortened(text: str) -> str:
    """Return a text of others as it fits a sentence: 200 characters at most."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def listed(names: Iterable[str]) -> str:
    """Return the first ten names as they fit a sentence, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return ", ".join(map(shortened, ordered[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def unknown_name(what: str, name: str, valid: Iterable[str]) -> str:
    """Return the sentence for an unknown name: the nearest match and the valid names."""
    names, name = sorted(valid), shortened(name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"Unknown {what} {name!r}.{hint} Valid: {', '.join(names)}."


Place = tuple[int | str, ...]
"""Where in nested fields a value stands."""


def reason_of(error: ValidationError, valid: Callable[[Place], Iterable[str]] | None = None) -> str:
    """Return the first thing that a pydantic model refuses, as a clause without a full stop.

    Args:
        valid: the names that are known where an unknown one stands.
    """
    first: Any = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden" and valid is not None:
        *outer, name = first["loc"]
        told = unknown_name("field", str(name), valid(first["loc"])).rstrip(".")
        return f"{'.'.join(map(str, outer))}{': ' if outer else ''}{told[0].lower()}{told[1:]}"
    if first["type"] == "missing":
        return f"{where} is missing"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, Exception):
        return str(cause).rstrip(".")
    told = first["msg"].rstrip(".")
    return f"{where or 'it'}: {told[0].lower()}{told[1:]}, got {reprlib.repr(first['input'])}"
