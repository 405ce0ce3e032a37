"""The command that tells what an installation can do: doctor."""

from __future__ import annotations

from pathlib import Path

import typer

from .options import Weights
from .terminal import say

DOCTOR_EXAMPLES = """Examples:

vaebench doctor

vaebench doctor --weights ./weights

Exit code: 0 a plain `vaebench run` works, 1 it does not.
"""


def doctor(weights: Weights = None) -> None:
    """Tell versions, devices, formats, weights, history and disk; fit for a bug report."""
    from .examine import examine

    found = examine(Path(weights) if weights else None)
    width = max(len(entry.topic) for entry in found)
    for entry in found:
        say(f"{'!' if entry.problem else ' '} {entry.topic:<{width}}  {entry.value}")
    problems = [entry for entry in found if entry.problem]
    failing = [entry for entry in problems if entry.is_needed]
    say()
    for entry in problems:
        weight = "error" if entry.is_needed else "note"
        say(f"{weight}: {entry.topic}: {(entry.problem or '').rstrip('.')}.")
    say("A plain `vaebench run` does not work." if failing else "`vaebench run` works.")
    raise typer.Exit(1 if failing else 0)
