"""The one style of all plots, and how they are saved; the only module that loads matplotlib."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ...bench.errors import VaebenchError
from ...bench.store.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE_WIDTH_IN = 9.0
DPI = 200
PICTURE_DPI = 150
"""Enough for photographs at page width, in files half as large."""
INK = "#222222"
FAINT = "#8a8a8a"
GRID = "#e4e4e4"
WHOLE_COLOUR = "#a3a3a3"
# Okabe and Ito (2008), told apart with any colour vision; the yellow, pale on white, comes last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
KIND_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442")

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.8,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Without a fixed salt the ids in an SVG differ from one writing to the next.
    "svg.hashsalt": "vaebench",
    "svg.fonttype": "path",
}


class NothingToShowError(VaebenchError):
    """A plot has nothing to show for this run; the message says why."""


@dataclass(frozen=True)
class Plot:
    """A finished plot: the stem of its files, what it shows, whether it holds pictures."""

    stem: str
    caption: str
    figure: Figure
    has_pictures: bool = False


_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def styled(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Draw under the style, leaving matplotlib's global settings as they were."""

    @functools.wraps(draw)
    def drawn(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that belongs to no window and no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in))


def grid_of(
    count: int,
    columns: int,
    row_in: float,
    more_in: float = 0.0,
    *,
    width_in: float = PAGE_WIDTH_IN,
    **options: Any,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels, row by row; places that are left over stay empty.

    Args:
        row_in: the height of a row; more_in: of what stands above and below all of them.
        options: as matplotlib's `Figure.subplots` takes them.
    """
    rows = -(-count // columns)
    figure = new_figure(width_in, row_in * rows + more_in)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:count])


def labels_once(axes: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    """Return the handles and labels of several panels, as a legend takes them, each label once."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    return list(handles.values()), list(handles)


def legend_above(
    figure: Figure,
    legend: tuple[Sequence[Any], Sequence[str]],
    columns: int = 5,
    *,
    room_in: float = 0.12,
    gaps: tuple[float, float] = (1.4, 1.6),
) -> None:
    """Put the legend above the panels and lay these out below it.

    Args:
        legend: handles and labels. room_in: beside the height of its lines.
        gaps: between panels, up and across, in heights of letters.
    """
    handles, labels = legend
    figure.legend(handles, labels, loc="upper left", ncols=max(1, min(len(labels), columns)))
    height_in = room_in + 0.2 * -(-len(labels) // columns)
    top = 1 - height_in / float(figure.get_figheight())
    figure.tight_layout(pad=0.6, h_pad=gaps[0], w_pad=gaps[1], rect=(0, 0, 1, top))


def scale_rates(axis: Axes) -> None:
    """Make the axis of bits per pixel logarithmic, labelled at 1, 2, 5 · 10ⁿ."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.grid()
    axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def own_stem(name: str, codec: str, plots: Sequence[Plot]) -> str:
    """Return a file name for a codec's plot that no system refuses and no other plot has."""
    stem = f"{name}-{re.sub(r'[^A-Za-z0-9._+-]+', '_', codec)[:80]}"
    taken = any(plot.stem.lower() == stem.lower() for plot in plots)
    return f"{stem}-{len(plots) + 1}" if taken else stem


def save(plot: Plot, folder: Path) -> list[Path]:
    """Write a plot as PNG and SVG, without dates, so that the same run gives the same bytes."""
    dpi = PICTURE_DPI if plot.has_pictures else DPI
    paths = [folder / f"{plot.stem}.{suffix}" for suffix in _METADATA]
    for path in paths:
        save_figure(plot.figure, path, dpi)
    return paths


_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


@styled
def save_figure(figure: Figure, path: Path, dpi: int = DPI) -> None:
    """Write a figure as what the path's ending says: png or svg."""
    suffix = path.suffix.lower().removeprefix(".")
    sink = io.BytesIO()
    figure.savefig(sink, format=suffix, dpi=dpi, metadata=_METADATA[suffix])
    write_atomic(path, sink.getvalue())


def colour_of(place: int) -> str:
    """Return the colour of the codec at a place in the run's order."""
    return COLOURS[place % len(COLOURS)]


def marker_of(place: int) -> str:
    """Return the marker of a codec; with the colour it stays distinct for 56 codecs."""
    return MARKERS[place % len(MARKERS)]


def shorten(text: str, length: int = 26) -> str:
    """Return a name that fits beside an axis; the middle of a long one is left out."""
    if len(text) <= length:
        return text
    keep = (length - 1) // 2
    return f"{text[:keep]}…{text[-keep:]}"
