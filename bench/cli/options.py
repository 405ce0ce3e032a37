"""What several commands share: options, the command as it was typed, Ctrl-C, and the answer."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .terminal import say, say_text

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]
Images = Annotated[
    list[str] | None, typer.Option("--images", help="As for run (sample). Repeatable.")
]
Fit = Annotated[str | None, typer.Option("--fit", help="With --size: crop, squash or pad.")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="Folder of the metrics' weights (default: $VAEBENCH_WEIGHTS)."),
]
History = Annotated[
    str | None,
    typer.Option(
        "--history",
        metavar="PATH|URL|off",
        help="SQLite file or postgresql:// URL ($VAEBENCH_HISTORY, else in the user's data).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the result as a page.")]


def typed_command() -> str:
    """Return the command as it was typed, for the run's provenance, without passwords."""
    typed = shlex.join(["vaebench", *map(_without_password, sys.argv[1:])])
    # Names of files may be no UTF-8, but what is kept is.
    return typed.encode(errors="backslashreplace").decode()


def _without_password(argument: str) -> str:
    # Up to the last @: one in the password may stand unescaped, as may a space or a slash.
    argument = re.sub(r"((?::/+|postgres\w*:)[^/@:]*):.*@", r"\1:***@", argument, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", argument)


@contextmanager
def stoppable(how_to_go_on: str, begun: Path | None = None) -> Generator[None]:
    """Turn Ctrl-C into a sentence that says what is kept and how to go on.

    Args:
        begun: the file without which nothing is kept yet, where there is one.
    """
    try:
        yield
    except KeyboardInterrupt:
        if begun is not None and not begun.is_file():
            raise
        raise KeyboardInterrupt(how_to_go_on) from None


def tell(lines: Iterable[str]) -> None:
    """Print lines, each on one."""
    for line in lines:
        say(line)


def answer(fields: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print a result: for a program where JSON was asked for, else for a person."""
    if as_json:
        say_text(json.dumps(fields, indent=1, ensure_ascii=False), is_json=True)
    else:
        tell(lines)
