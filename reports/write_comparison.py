"""The whole report of a comparison folder: tables, plots, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..bench.compare.store import StoredComparison, load_comparison
from ..bench.errors import RunFolderError
from ..bench.store.run import write_atomic
from .pages.comparison import write_comparison_html
from .plots import Plot
from .plots.comparison_differences import comparison_differences
from .plots.comparison_heat import comparison_heat
from .plots.comparison_scatter import comparison_scatter
from .plots.comparison_wins import comparison_wins
from .tables.comparison import COMPARISON_TABLES
from .tables.comparison_writers import WRITERS
from .write import remove_stale, write_plots

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
        drawn, missing = write_plots(comparison.folder, COMPARISON_PLOTS, comparison)
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
    remove_stale(folder, {f"{name}.{suffix}" for name in written for suffix in WRITERS}, WRITERS)
    return written
