"""Reports: a stored run in, tables, plots and HTML out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plots import PLOTS
    from .tables.run import TABLES

__all__ = ["PLOTS", "TABLES", "write_comparison_report", "write_report"]


def write_report(folder: str | Path, *, single_file: bool = False) -> Path:
    """Make tables/, plots/ and report.html of a run folder from its stored run, always again.

    The same run gives the same bytes. Tables and plots of an earlier report that this one does not
    write are removed.

    Args:
        folder: a run folder, finished or not (then the pictures that are).
        single_file: whether report.html holds all that it shows, to be sent as one file.
    Returns: the path of report.html.
    Raises: RunFolderError.
    """
    from .write import write_report as write

    return write(folder, single_file=single_file)


def write_comparison_report(folder: str | Path) -> Path:
    """Make tables/, plots/ and comparison.html of a comparison folder, always again.

    Returns: the path of comparison.html.
    Raises: RunFolderError.
    """
    from .write_comparison import write_comparison_report as write

    return write(Path(folder))


def __getattr__(name: str) -> Any:
    # pandas and matplotlib load only for those who ask for a table or plot.
    if name == "PLOTS":
        from .plots import PLOTS

        return PLOTS
    if name == "TABLES":
        from .tables.run import TABLES

        return TABLES
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
