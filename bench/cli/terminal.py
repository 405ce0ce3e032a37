"""The one printer of every command: nothing that it prints steers the terminal.

Names, notes and reasons come from files of others; what in them would steer is escaped here, once.
"""

from __future__ import annotations

import traceback
from types import TracebackType

import typer

from ..errors import visible


def say(line: object = "", *, to_stderr: bool = False) -> None:
    """Print a line; an end of a line within it is escaped as what else would steer."""
    typer.echo(visible(str(line)), err=to_stderr)


def say_text(text: str, *, is_json: bool = False, to_stderr: bool = False) -> None:
    """Print a text of several lines; where it is JSON, it stays JSON of the same values."""
    for line in text.removesuffix("\n").split("\n"):
        say(visible(line, as_json=is_json), to_stderr=to_stderr)


def say_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print what Python prints of an error that nobody expected; a `sys.excepthook`."""
    say_text("".join(traceback.format_exception(kind, error, trace)), to_stderr=True)
