"""What a notebook calls and the command line calls alike: run, load, score, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from .store import StoredRun, load_run
from .suite import Suite

__all__ = ["DEFAULT_CODECS", "load_run", "report", "resume", "run", "score"]

DEFAULT_CODECS = (
    "demo-f8c4",
    "jpeg:q=90",
    "webp:q=92",
    "demo-f8c16",
    "jpeg-q100=jpeg:q=100,subsampling=444",
)
"""What a run compares when no codec is named: the demonstration checkpoints, each with what comes
near its rate on `sample`: 2 and 8 bits per pixel as float32. Lossy WebP ends at 3.5."""

Progress = Callable[[str, int, int], None]


def _silent(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def run(
    suite: Suite | None = None,
    out: str | Path | None = None,
    progress: Progress = _silent,
    command: str = "vaebench.bench.run(...) from Python",
    **fields: Any,
) -> StoredRun:
    """Score pictures with codecs into a run folder, and write its report.

    Args:
        suite: what to compare; or give its fields as keywords, e.g.
            `run(images=["photos"], codecs=["mine=./vae", "jpeg:q=75"], out="runs/mine")`.
        out: the new run folder; runs/<date>-<images> where none is given.
        progress: told phase, done, total.
        command: how the run was called, for its provenance; the suite is kept beside it.
    Returns: the stored run; `.scores`, `.images`, `.codecs` are DataFrames.
    Raises: VaebenchError.
    """
    from .evaluate import evaluate

    if suite is None:
        suite = Suite.create(**{"codecs": list(DEFAULT_CODECS), **fields})
    folder = Path(out) if out is not None else default_folder(suite)
    stored = evaluate(suite, folder, command, progress)
    report(folder, progress)
    return stored


def resume(folder: str | Path, progress: Progress = _silent) -> StoredRun:
    """Go on with a run that was stopped, and write its report.

    Raises: VaebenchError.
    """
    from .evaluate import resume as go_on

    stored = go_on(Path(folder), progress)
    report(folder, progress)
    return stored


def score(
    folder: str | Path,
    metrics: Sequence[str],
    weights: str | None = None,
    progress: Progress = _silent,
) -> StoredRun:
    """Add metrics to a finished run from its stored pictures, and write its report again.

    Raises: VaebenchError.
    """
    from .rescore import add_metrics

    stored = add_metrics(load_run(folder), metrics, weights, progress)
    report(folder, progress)
    return stored


def report(folder: str | Path, progress: Progress = _silent) -> Path:
    """Make tables/, plots/ and report.html of a stored run again; return the report's path.

    Raises: VaebenchError.
    """
    from ..reports import write_report

    progress("writing the report", 0, 1)
    path = write_report(folder)
    progress("writing the report", 1, 1)
    return path


def default_folder(suite: Suite) -> Path:
    """Return runs/<date>-<first image set>, with a number where that is taken."""
    stem = Path(suite.images[0].rstrip("/")).name.split(".")[0].split("*")[0] or "images"
    first = Path("runs") / f"{date.today():%Y-%m-%d}-{stem}"
    folder, number = first, 2
    while folder.exists():
        folder = first.with_name(f"{first.name}-{number}")
        number += 1
    return folder
