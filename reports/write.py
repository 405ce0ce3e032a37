"""The whole report of a folder, always again: tables, plots, and the page that shows them.

The same folder gives the same bytes. What an earlier report wrote and this one does not is removed.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from ..bench.compare.store import load_comparison
from ..bench.errors import ReportError
from ..bench.rate.store import load_rd
from ..bench.store.atomic import refuse_links, write_atomic
from ..bench.store.run import load_run
from .pages.comparison import write_comparison_html
from .pages.made import Drawn, Made
from .pages.rate import write_rd_html
from .pages.run import write_html
from .plots import COMPARISON_PLOTS, PLOTS, RD_PLOTS, NothingToShowError, Plot, save
from .plots.points import points_of
from .tables.comparison import comparison_tables
from .tables.rate import rd_tables
from .tables.sections import run_tables
from .tables.writers import WRITERS, Table

SubjectT = TypeVar("SubjectT")


def write_report(folder: str | Path, *, single_file: bool = False) -> Path:
    """Make tables/, plots/, thumbnails/, viewer/ and report.html of a run folder.

    Args:
        folder: a run folder, finished or not (then the pictures that are).
        single_file: whether report.html holds all that it shows, to be sent as one file.
    Returns: the path of report.html.
    Raises: RunFolderError.
    """
    run = load_run(folder)
    page = partial(write_html, run, single_file=single_file)
    drawn = replace(run, scores=_drawable(run.scores))
    draw = partial(write_plots, run.folder, PLOTS, drawn)
    go_on = ("The scores are complete", f", then vaebench report {shlex.quote(str(folder))}")
    return _write(run.folder, run_tables(run), draw, page, go_on)


def write_comparison_report(folder: str | Path) -> Path:
    """Make tables/, plots/, viewer/ and comparison.html of what `vaebench compare` wrote.

    Returns: the path of comparison.html.
    Raises: RunFolderError.
    """
    found = load_comparison(folder)
    drawn = replace(found, table=_drawable(found.table), per_image=_drawable(found.per_image))
    draw = partial(write_plots, found.folder, COMPARISON_PLOTS, drawn)
    page = partial(write_comparison_html, found)
    go_on = ("The comparison is complete", _SAME_AGAIN)
    return _write(found.folder, comparison_tables(found), draw, page, go_on)


def write_rd_report(folder: str | Path) -> Path:
    """Make tables/, plots/ and rd.html of what `vaebench rd` wrote.

    Returns: the path of rd.html.
    Raises: RunFolderError.
    """
    found = load_rd(folder)
    drawn = replace(found, points=_drawable(found.points), bd=_drawable(found.bd))
    draw = partial(write_plots, found.folder, RD_PLOTS, drawn)
    go_on = ("All points are kept", _SAME_AGAIN)
    return _write(found.folder, rd_tables(found), draw, partial(write_rd_html, found), go_on)


_SAME_AGAIN = ", and give the same command again."
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", None)}

MOST_DRAWN = 1e100
"""Of a number on an axis: of larger ones no ticks can be computed."""


def _drawable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which finite numbers beyond MOST_DRAWN are missing: tables tell them."""
    cut = table.copy()
    for name in table.columns[table.dtypes == np.float64]:
        values = table[name].to_numpy()
        cut[name] = np.where(np.isfinite(values) & (np.abs(values) > MOST_DRAWN), np.nan, values)
    return cut


def _write(
    folder: Path,
    tables: Iterable[Table],
    draw: Callable[[], tuple[list[Drawn], dict[str, str]]],
    page: Callable[[Made], Path],
    go_on: tuple[str, str],
) -> Path:
    """Write tables, plots and the page; `go_on` says what is there, and what to do with room.

    Raises: ReportError where the disk does not take them.
    """
    try:
        refuse_links(folder)
        written = _write_tables(folder / "tables", tables)
        drawn, missing = draw()
        return page(Made(drawn, missing, written))
    except OSError as error:
        mend = "make room" if error.errno in _FULL else "make the folder writable, or copy it"
        raise ReportError(
            f"Cannot write the report into {folder}: {error.strerror or error}. "
            f"{go_on[0]}: {mend}{go_on[1]}"
        ) from error


def _write_tables(folder: Path, tables: Iterable[Table]) -> list[str]:
    written: list[str] = []
    for table in tables:
        for suffix, text_of in WRITERS.items():
            write_atomic(folder / f"{table.name}.{suffix}", text_of(table).encode())
        written.append(table.name)
    _remove_stale(folder, {f"{name}.{suffix}" for name in written for suffix in WRITERS}, WRITERS)
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
    _remove_stale(folder, kept, ("png", "svg"))
    return drawn, missing


def _drawn(name: str, plot: Plot) -> Drawn:
    width_in, height_in = (float(side) for side in plot.figure.get_size_inches())
    ratio = f"{width_in:.4g} / {height_in:.4g}"
    points = points_of(plot.figure)
    return Drawn(name, plot.stem, plot.caption, plot.has_pictures, points, ratio)


def _remove_stale(folder: Path, kept: set[str], suffixes: Iterable[str]) -> None:
    """Remove what an earlier report wrote and this one did not; leave files of other kinds."""
    endings = tuple(f".{suffix}" for suffix in suffixes)
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.name.endswith(endings) and path.name not in kept:
            path.unlink()
