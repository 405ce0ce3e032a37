"""The whole report of a rate-distortion measurement: tables, plots, and the page of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..bench.errors import RunFolderError
from ..bench.rate.store import StoredRd, load_rd
from ..bench.store.run import write_atomic
from .pages.rate import write_rd_html
from .plots import Plot
from .plots.rd import bd_rates, rd_curves
from .tables.comparison_writers import WRITERS
from .tables.rate import RD_TABLES
from .write import remove_stale, write_plots

RD_PLOTS: dict[str, Callable[[StoredRd], list[Plot]]] = {
    "rd_curves": rd_curves,
    "bd_rates": bd_rates,
}
"""The plots of a measurement, by name, in the order of the page."""


def write_rd_report(folder: str | Path) -> Path:
    """Make tables/, plots/ and rd.html of a measurement, always again.

    The same measurement gives the same bytes. Tables and plots of an earlier report that this one
    does not write are removed.

    Args:
        folder: what `vaebench rd` wrote.
    Returns: the path of rd.html.
    Raises: RunFolderError.
    """
    found = load_rd(folder)
    try:
        written = _write_tables(found)
        drawn, missing = write_plots(found.folder, RD_PLOTS, found)
        return write_rd_html(found, drawn, missing, written)
    except OSError as error:
        raise RunFolderError(
            f"Cannot write the report into {found.folder}: {error.strerror or error}. "
            "Make the folder writable, or copy it to where you may write."
        ) from error


def _write_tables(found: StoredRd) -> list[str]:
    folder, written = found.folder / "tables", list[str]()
    title = str(found.record["name"])
    for name, (table_of, sections_of) in RD_TABLES.items():
        table = table_of(found)
        if table.empty:
            continue
        parts = sections_of(found)
        for suffix, text_of in WRITERS.items():
            write_atomic(folder / f"{name}.{suffix}", text_of(title, table, parts).encode())
        written.append(name)
    remove_stale(folder, {f"{name}.{suffix}" for name in written for suffix in WRITERS}, WRITERS)
    return written
