"""The whole report of a comparison folder: tables, plots, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..bench.comparison_store import StoredComparison, load_comparison
from ..bench.errors import RunFolderError
from ..bench.store import write_atomic
from .comparison_html import write_comparison_html
from .comparison_markup import WRITERS
from .comparison_tables import COMPARISON_TABLES
from .html import Drawn
from .plots import NothingToShowError, Plot, save
from .plots.comparison_differences import comparison_differences
from .plots.comparison_heat import comparison_heat
from .plots.comparison_scatter import comparison_scatter
from .plots.comparison_wins import comparison_wins

COMPARISON_PLOTS: dict[str, Callable[[StoredComparison], list[Plot]]] = {
    "differences": comparison_differences,
    "wins": comparison_wins,
    "regions": comparison_heat,
    "scatter": comparison_scatter,
}
"""The plots of a comparison, by name, in the order of the page."""


def write_comparison_report(folder: str | Path) -> Path:
    """Make tables/, plots/ and comparison.html of a comparison folder, always again.

    The same comparison gives the same bytes. Tables and plots of an earlier report that this one
    does not write are removed.

    Args:
        folder: what `vaebench compare` wrote.
    Returns: the path of comparison.html.
    Raises: RunFolderError.
    """
    comparison = load_comparison(folder)
    try:
        written = _write_tables(comparison)
        drawn, missing = _write_plots(comparison)
        return write_comparison_html(comparison, drawn, missing, written)
    except OSError as error:
        raise RunFolderError(
            f"Cannot write the report into {comparison.folder}: {error.strerror or error}. "
            "Make the folder writable, or copy it to where you may write."
        ) from error


def _write_tables(comparison: StoredComparison) -> list[str]:
    folder, written = comparison.folder / "tables", list[str]()
    title = str(comparison.record["name"])
    for name, (table_of, sections_of) in COMPARISON_TABLES.items():
        table = table_of(comparison)
        if table.empty:
            continue
        parts = sections_of(comparison)
        for suffix, text_of in WRITERS.items():
            write_atomic(folder / f"{name}.{suffix}", text_of(title, table, parts).encode())
        written.append(name)
    _remove_stale(folder, {f"{name}.{suffix}" for name in written for suffix in WRITERS}, WRITERS)
    return written


def _write_plots(comparison: StoredComparison) -> tuple[list[Drawn], dict[str, str]]:
    folder = comparison.folder / "plots"
    drawn: list[Drawn] = []
    missing: dict[str, str] = {}
    kept: set[str] = set()
    for name, draw in COMPARISON_PLOTS.items():
        try:
            plots = draw(comparison)
        except NothingToShowError as reason:
            missing[name] = str(reason)
            continue
        for plot in plots:
            kept.update(path.name for path in save(plot, folder))
            drawn.append(Drawn(name, plot.stem, plot.caption, plot.has_pictures))
    _remove_stale(folder, kept, ("png", "svg"))
    return drawn, missing


def _remove_stale(folder: Path, kept: set[str], suffixes: Iterable[str]) -> None:
    """Remove what an earlier report wrote and this one did not; leave files of other kinds."""
    endings = tuple(f".{suffix}" for suffix in suffixes)
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.name.endswith(endings) and path.name not in kept:
            path.unlink()
