"""What a notebook calls and the command line calls alike: run, speed, load, score, report."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import HistoryError, HistoryWarning
from .records import Progress, silent
from .store.lock import writing_run
from .store.record import read_record
from .store.run import StoredRun, clean_up, default_folder, new_folder, refuse_used_folder
from .store.run import load_run as read_run
from .store.tables import write_trend
from .suite import Suite

if TYPE_CHECKING:
    from .compare.store import StoredComparison

__all__ = ["DEFAULT_CODECS", "compare", "load_run", "report", "resume", "run", "score", "speed"]

DEFAULT_CODECS = (
    "demo-f8c4",
    "jpeg:q=90",
    "webp:q=92",
    "demo-f8c16",
    "jpeg-q100=jpeg:q=100,subsampling=444",
)
"""What a run compares when no codec is named: the demonstration checkpoints, each with what comes
near its rate on `sample`: 2 and 8 bits per pixel as float32. Lossy WebP ends at 3.5."""

DEFAULT_SPEED_CODECS = ("demo-f8c4", "demo-f8c16")


class ShownRun(StoredRun):
    """A stored run that a notebook can look into."""

    def show(self, image_id: str) -> Any:
        """Return the viewer of one picture, which a notebook shows as the cell's result.

        Args:
            image_id: the picture, with or without its ending and folder where that is clear.
        Raises: RunFolderError where there is no such picture, or nothing of it was kept.
        """
        from ..reports.viewer.notebook import inline_viewer

        return inline_viewer(self, image_id)


def load_run(folder: str | Path) -> ShownRun:
    """Read a run folder; of a run that is not finished, the pictures that are.

    Raises: RunFolderError.
    """
    stored = read_run(folder)
    return ShownRun(stored.folder, stored.record, stored.scores)


def run(
    suite: Suite | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    command: str = "vaebench.bench.run(...) from Python",
    history: str | None = None,
    **fields: Any,
) -> ShownRun:
    """Score pictures with codecs into a run folder, and write its report.

    Args:
        suite: what to compare; or give its fields as keywords, e.g.
            `run(images=["photos"], codecs=["mine=./my-vae", "jpeg:q=75"], out="runs/mine")`.
            With `speed` the codecs are timed too.
        out: the new run folder; runs/<date>-<images> where none is given.
        progress: told phase, done, total.
        command: how the run was called, for its provenance; the suite is kept beside it.
        history: where the run is remembered: an SQLite file, a PostgreSQL URL or `off`;
            $VAEBENCH_HISTORY, else a file in the user's data folder, where none is given.
    Returns: the stored run; `.scores`, `.timings`, `.images`, `.codecs` are DataFrames.
    Raises: VaebenchError.
    """
    from .scoring.evaluate import evaluate

    if suite is None:
        suite = Suite.create(**{"codecs": list(DEFAULT_CODECS), **fields})
    folder = Path(out) if out is not None else default_folder(suite)
    with writing_run(folder, "run"):
        # Before the pictures are read, which may take long.
        refuse_used_folder(folder)
        evaluate(suite, folder, command, progress)
        return _finish(suite, folder, progress, history)


def resume(
    folder: str | Path,
    progress: Progress = silent,
    history: str | None = None,
    codecs: Sequence[str] = (),
) -> ShownRun:
    """Go on with a run that was stopped, and write its report.

    Args:
        codecs: those of the run that are trusted to run code of their checkpoint, given as they
            were when it began: its folder could come from anyone.
    Raises: VaebenchError.
    """
    from .scoring.evaluate import resume as go_on

    with _held(folder, "run --resume") as folder:
        suite = read_record(folder).suite.given_again(codecs)
        go_on(folder, progress, suite)
        return _finish(suite, folder, progress, history)


def _finish(suite: Suite, folder: Path, progress: Progress, history: str | None) -> ShownRun:
    """Time the codecs of a scored run where that was asked for, remember it, report it."""
    record = read_record(folder)
    if suite.speed is not None and not record.timed:
        from .store.record import where_it_began
        from .timing.run import add_timings

        absolute = folder.absolute()
        with where_it_began(record):
            add_timings(absolute, suite, progress)
    _remember(folder, history)
    _write_report(folder, progress)
    return load_run(folder)


def speed(
    suite: Suite | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
    command: str = "vaebench.bench.speed(...) from Python",
    history: str | None = None,
    **fields: Any,
) -> ShownRun:
    """Time codecs into a run folder, and write its report; arguments as for `run`.

    `speed(codecs=["mine=./my-vae"], speed={"sizes": [512, 1024], "dtypes": ["float16"]})`.

    Returns: the stored run; `.timings` is a DataFrame.
    Raises: VaebenchError.
    """
    from .timing.run import measure_speed

    if suite is None:
        suite = Suite.create(**{"codecs": list(DEFAULT_SPEED_CODECS), "speed": {}, **fields})
    folder = Path(out) if out is not None else default_folder(suite, "speed")
    with writing_run(folder, "speed"):
        refuse_used_folder(folder)
        measure_speed(suite, folder, command, progress)
        _remember(folder, history)
        _write_report(folder, progress)
        return load_run(folder)


def _remember(folder: Path, history: str | None) -> None:
    """Put a run into the history and the past of its cells beside the run.

    A history that cannot be written is a warning: the run is there all the same.
    """
    from .store.history.database import open_history, record_run, trend_of

    try:
        opened = open_history(history)
        if opened is not None:
            stored = load_run(folder)
            record_run(stored, opened)
            write_trend(folder, trend_of(stored, opened))
    except HistoryError as error:
        warnings.warn(f"The history was not updated: {error}", HistoryWarning, stacklevel=3)


def compare(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    baseline: str | None = None,
    quoted: Path | None = None,
    allow_mismatch: bool = False,
    margins: Mapping[str, float] | None = None,
    command: str = "vaebench.bench.api.compare(...) from Python",
    progress: Progress = silent,
) -> StoredComparison:
    """Compare every codec of stored runs with one of them; write tables, plots and a page.

    Args:
        out: the new folder; comparisons/<date>-<baseline or first run> where none is given.
        For the others see `vaebench.bench.compare.comparison.compare`.
    Returns: the comparison; `.table` and `.per_image` are DataFrames.
    Raises: VaebenchError.
    """
    from ..reports import write_comparison_report
    from .compare.comparison import compare as compare_runs

    stored = [load_run(folder) for folder in runs]
    name = baseline or stored[0].folder.name
    folder = Path(out) if out is not None else new_folder(Path("comparisons"), name)
    return compare_runs(
        stored,
        folder,
        baseline=baseline,
        quoted=quoted,
        allow_mismatch=allow_mismatch,
        margins=margins,
        command=command,
        progress=progress,
        report=write_comparison_report,
    )


def score(
    folder: str | Path,
    metrics: Sequence[str],
    weights: str | None = None,
    progress: Progress = silent,
) -> ShownRun:
    """Add metrics to a finished run from its stored pictures, and write its report again.

    Raises: VaebenchError.
    """
    from .scoring.rescore import add_metrics

    with _held(folder, "score") as folder:
        add_metrics(load_run(folder), metrics, weights, progress)
        _write_report(folder, progress)
        return load_run(folder)


def report(folder: str | Path, progress: Progress = silent, *, single_file: bool = False) -> Path:
    """Make tables/, plots/ and report.html of a stored run again; return the report's path.

    With `single_file` the page holds all that it shows, to be sent as one file.

    Of a run that goes on in another process no report is made: it could end up over the run's own.

    Raises: VaebenchError.
    """
    with _held(folder, "report") as folder:
        return _write_report(folder, progress, single_file)


@contextmanager
def _held(folder: str | Path, command: str) -> Generator[Path]:
    """Hold the folder of a run that is there, without what a kill left in it."""
    folder = Path(folder)
    # A folder that is none is refused before a lock is made in it.
    read_record(folder)
    with writing_run(folder, command):
        clean_up(folder)
        yield folder


def _write_report(folder: Path, progress: Progress, single_file: bool = False) -> Path:
    from ..reports import write_report

    progress("writing the report", 0, 1)
    path = write_report(folder, single_file=single_file)
    progress("writing the report", 1, 1)
    return path
