"""The whole report of a run folder: tables, plots, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from ..bench.errors import RunFolderError
from ..bench.store.run import StoredRun, load_run, write_atomic
from .pages.run import Drawn, write_html
from .plots import PLOTS, NothingToShowError, Plot, save
from .plots.points import points_of
from .tables.run import TABLES
from .tables.writers import WRITERS

SubjectT = TypeVar("SubjectT")


def write_report(folder: str | Path, *, single_file: bool = False) -> Path:
    """Make tables/, plots/, thumbnails/ and report.html; see `vaebench.reports.write_report`.

    Args:
        single_file: whether report.html holds all that it shows, to be sent as one file.
    """
    run = load_run(folder)
    try:
        written = _write_tables(run)
        drawn, missing = write_plots(run.folder, PLOTS, run)
        return write_html(run, drawn, missing, written, single_file=single_file)
    except OSError as error:
        raise RunFolderError(
            f"Cannot write the report into {run.folder}: {error.strerror or error}. "
            "Make the folder writable, or copy it to where you may write."
        ) from error


def _write_tables(run: StoredRun) -> list[str]:
    folder, written = run.folder / "tables", list[str]()
    for name, make in TABLES.items():
        table = make(run)
        if not table.empty:
            for suffix, text_of in WRITERS.items():
                write_atomic(folder / f"{name}.{suffix}", text_of(name, table, run).encode())
            written.append(name)
    remove_stale(folder, {f"{name}.{suffix}" for name in written for suffix in WRITERS}, WRITERS)
    return written


def write_plots(
    run_folder: Path, plots_of: Mapping[str, Callable[[SubjectT], list[Plot]]], subject: SubjectT
) -> tuple[list[Drawn], dict[str, str]]:
    """Draw every plot of a run or comparison into plots/; remove those of an earlier report.

    Returns: the plots that were written, and by name why the others were not.
    """
    folder = run_folder / "plots"
    drawn: list[Drawn] = []
    missing: dict[str, str] = {}
    kept: set[str] = set()
    for name, draw in plots_of.items():
        try:
            plots = draw(subject)
        except NothingToShowError as reason:
            missing[name] = str(reason)
            continue
        for plot in plots:
            kept.update(path.name for path in save(plot, folder))
            drawn.append(_drawn(name, plot))
    remove_stale(folder, kept, ("png", "svg"))
    return drawn, missing


def _drawn(name: str, plot: Plot) -> Drawn:
    width_in, height_in = (float(side) for side in plot.figure.get_size_inches())
    ratio = f"{width_in:.4g} / {height_in:.4g}"
    points = points_of(plot.figure)
    return Drawn(name, plot.stem, plot.caption, plot.has_pictures, points, ratio)


def remove_stale(folder: Path, kept: set[str], suffixes: Iterable[str]) -> None:
    """Remove what an earlier report wrote and this one did not; leave files of other kinds."""
    endings = tuple(f".{suffix}" for suffix in suffixes)
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.name.endswith(endings) and path.name not in kept:
            path.unlink()
