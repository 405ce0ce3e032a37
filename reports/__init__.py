"""Reports: a stored run, comparison or measurement in, tables, plots and HTML out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plots import PLOTS
    from .tables.run import TABLES
    from .write import write_comparison_report, write_report

__all__ = ["PLOTS", "TABLES", "write_comparison_report", "write_report"]

_HOMES = {
    "PLOTS": "plots",
    "TABLES": "tables.run",
    "write_comparison_report": "write",
    "write_report": "write",
}


def __getattr__(name: str) -> Any:
    # pandas and matplotlib load only for those who ask for a table, plot or report.
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
