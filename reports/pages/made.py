"""What a report has written by the time its page is made, and what all pages say alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ...bench.store.atomic import write_atomic
from ..plots.points import PlotPoints
from ..render import BASE_SCRIPTS, SCRIPT_SOURCES, page_frame, render
from ..viewer import viewer

SHOWN_ROWS = 200
"""Of pictures and their hashes, and of remarks; a longer list is in the folder's record."""


@dataclass(frozen=True)
class Drawn:
    """A plot as it was written: its stem, what it shows, whether it holds pictures, its links.

    `ratio` is its width to its height, as CSS says it: the page keeps its place until it is loaded.
    """

    name: str
    stem: str
    caption: str
    has_pictures: bool
    points: PlotPoints | None = None
    ratio: str = "auto"


@dataclass(frozen=True)
class Made:
    """The plots that were written, why others were not (by name), and the tables' names."""

    drawn: Sequence[Drawn] = ()
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    tables: Sequence[str] = ()

    def plots(self) -> dict[str, list[Drawn]]:
        """Return the plots by name; none under that of a plot with nothing to show."""
        names = dict.fromkeys([*(plot.name for plot in self.drawn), *self.missing])
        return {name: [plot for plot in self.drawn if plot.name == name] for name in names}

    def view(self) -> dict[str, Any]:
        """Return what every page shows of them."""
        return {
            "plots": self.plots(),
            "missing": self.missing,
            "tables": self.tables,
            "shown_rows": SHOWN_ROWS,
        }


def write_page(
    path: Path,
    view: Mapping[str, Any],
    looked_at: Mapping[str, Any] | None = None,
    *,
    scripts: Sequence[str] = (),
    styles: Sequence[str],
    single_file: bool = False,
    has_parts: bool = False,
) -> Path:
    """Write a page, made by the template of its name, and return its path.

    Args:
        looked_at: what its viewer shows, if it has one. scripts, styles: its own files of
            `templates/`; those of views and of the viewer are added where they are needed.
        single_file: whether it holds what it shows. has_parts: whether it loads other parts than
            the viewer's.
    """
    base = viewer.SCRIPTS if looked_at else BASE_SCRIPTS if scripts else ()
    frame = page_frame(
        path.parent,
        [*base, *scripts],
        [*styles, *(viewer.STYLES if looked_at else ())],
        single_file=single_file,
        beside=SCRIPT_SOURCES if (has_parts or looked_at) and not single_file else (),
    )
    page = render(f"{path.name}.j2", {**view, **frame, "viewer": looked_at})
    write_atomic(path, page.encode())
    return path


def moment(created: str) -> str:
    """Return a time in UTC, ISO 8601, for reading."""
    return f"{datetime.fromisoformat(created):%Y-%m-%d %H:%M:%S} UTC"


def scored_as(
    size: int | None, fit: str | None, rounding: str, background: str | None
) -> list[tuple[str, str]]:
    """Return the size of the pictures and what became of the reconstructions, as (what, how)."""
    how = f"{size} px, {fit}" if size else "native"
    if fit == "pad":
        how += f" with {background} for the codec; padding is in no number"
    return [
        ("size", how),
        ("reconstructions", "scored unrounded" if rounding == "float" else "rounded to 8 bits"),
    ]
