"""The one family of errors that a command answers with a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VaebenchError(Exception):
    """Something the user can mend: the message says what, which, expected and mend."""


class CodecError(VaebenchError):
    """A codec could not be opened, or could not encode or decode a picture."""


class ImageError(VaebenchError):
    """A picture cannot be used; the message is the reason that the run lists."""


class RegionError(VaebenchError):
    """A regions file is malformed or names a box outside its picture."""


class RunFolderError(VaebenchError):
    """A run folder is missing, foreign, damaged or of another schema."""


class SuiteError(VaebenchError):
    """The description of what to compare is not valid."""


class HistoryError(VaebenchError):
    """The history cannot be opened, read or written."""


class HistoryWarning(UserWarning):
    """A run was made, but the history does not hold it; the message says why."""


def unknown_name(what: str, name: str, valid: Iterable[str]) -> str:
    """Return the sentence for an unknown name: the nearest match and the valid names."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"Unknown {what} {name!r}.{hint} Valid: {', '.join(names)}."
