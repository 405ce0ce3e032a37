"""What `vaebench ladder --out` writes: the table, its plot, and the page around them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...bench.errors import VaebenchError
from ...bench.store.run import write_atomic
from ..plots.ladder import ladder_plot
from ..plots.style import NothingToShowError, Plot, save
from .answer import ladder_page


def write_ladder(
    folder: Path, ladder: Mapping[str, Any], table: pd.DataFrame, markdown: str, command: str
) -> Path:
    """Write ladder.csv (full precision), ladder.md, the plot and ladder.html into a folder.

    Args:
        ladder: what `vaebench ladder --json` prints. table, markdown: the same, of the result.
        command: how it was called.
    Returns: the path of ladder.html.
    Raises: VaebenchError where it cannot be written.
    """
    path = folder / "ladder.html"
    try:
        write_atomic(folder / "ladder.csv", table.to_csv(index=False).encode())
        write_atomic(folder / "ladder.md", markdown.encode())
        plot = _draw(table, ladder["metrics"])
        if plot is not None:
            save(plot, folder)
        name, caption = ("ladder.svg", plot.caption) if plot else (None, "")
        write_atomic(path, ladder_page(ladder, name, caption, command).encode())
    except OSError as error:
        raise VaebenchError(
            f"Cannot write the ladder into {folder}: {error.strerror}. Choose another --out."
        ) from error
    return path


def _draw(table: pd.DataFrame, metrics: Mapping[str, Mapping[str, Any]]) -> Plot | None:
    """Return the plot; None of a ladder without a number, whose table says why."""
    try:
        return ladder_plot(table, {name: str(column["unit"]) for name, column in metrics.items()})
    except NothingToShowError:
        return None
