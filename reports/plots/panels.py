"""A grid of panels of timed cells: a column a stage, a line a codec, a figure a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...bench.records import STAGES, Timing
from ...bench.store.run import StoredRun
from ..tables.timings import NEVER_SETTLED, devices_of, remarks
from .lines import (
    Line,
    cells_or_reason,
    line_of,
    lines_of,
    on_device,
    place_of,
    shared_text,
    stem_of,
)
from .style import (
    FAINT,
    INK,
    PAGE_WIDTH_IN,
    NothingToShowError,
    Plot,
    colour_of,
    labels_once,
    legend_above,
    marker_of,
    new_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 4
PANEL_HEIGHT_IN = 2.5

_DASHES = {"eager": "-", "channels_last": "--", "compile": "-.", "channels_last+compile": ":"}
_FILLS: tuple[Any, ...] = ("full", "none", "left")
"""How the markers of a first, second and third precision are filled."""


@dataclass(frozen=True)
class Quantity:
    """A number of a cell on an axis: its label, and the span of its whisker where it has one."""

    label: str
    of: Callable[[Timing], float | None]
    whisker: Callable[[Timing], tuple[float, float]] | None = None
    is_log: bool = True


@dataclass(frozen=True)
class Sweep:
    """What runs along x, and what parts the rows: sizes and batches, the one or the other."""

    along: str
    label: str
    x_of: Callable[[Timing], float]
    tick_of: Callable[[Timing], str]
    row_of: Callable[[Timing], tuple[int, ...]]
    row_text: Callable[[Timing], str]


def side_px(cell: Timing) -> float:
    """Return the side of the square that has as many pixels as the cell's picture."""
    return float((cell.width_px * cell.height_px) ** 0.5)


def _side_text(cell: Timing) -> str:
    if cell.width_px == cell.height_px:
        return str(cell.width_px)
    return f"{cell.width_px}×{cell.height_px}"


BY_SIZE = Sweep(
    "size",
    "side of the picture, px",
    side_px,
    _side_text,
    lambda cell: (cell.batch,),
    lambda cell: f"batch {cell.batch}",
)
BY_BATCH = Sweep(
    "batch",
    "pictures in a batch",
    lambda cell: float(cell.batch),
    lambda cell: str(cell.batch),
    lambda cell: (cell.width_px * cell.height_px, cell.width_px),
    lambda cell: f"{_side_text(cell)} px",
)


def draw_sweep(
    run: StoredRun,
    name: str,
    sweep: Sweep,
    y: Quantity,
    caption: str,
    cells: Sequence[Timing] | None = None,
) -> list[Plot]:
    """Draw a figure a device, a row a batch (or size), a column a stage.

    Raises: NothingToShowError where nowhere two cells differ along x.
    """
    cells = cells_or_reason(run) if cells is None else cells
    devices = devices_of(cells)
    plots: list[Plot] = []
    for device in devices:
        own = [cell for cell in cells if cell.device == device]
        rows = _rows(own, sweep, y)
        if not rows:
            continue
        figure = _draw(run, device, rows[:MOST_ROWS], sweep, y)
        parts = [caption, on_device(run, own, device), shared_text(own)]
        if len(rows) > MOST_ROWS:
            parts.append(f"{len(rows) - MOST_ROWS} more rows are in the table alone.")
        text = " ".join(filter(None, parts))
        plots.append(Plot(stem_of(name, device, devices), text, figure))
    if not plots:
        raise NothingToShowError(f"only one {sweep.along} was timed; give several --{sweep.along}")
    return plots


def _rows(cells: Sequence[Timing], sweep: Sweep, y: Quantity) -> list[list[Timing]]:
    groups: dict[tuple[int, ...], list[Timing]] = {}
    for cell in sorted(cells, key=sweep.row_of):
        groups.setdefault(sweep.row_of(cell), []).append(cell)
    return [
        group
        for group in groups.values()
        if len({sweep.x_of(cell) for cell in group if y.of(cell) is not None}) > 1
    ]


def _draw(
    run: StoredRun, device: str, rows: list[list[Timing]], sweep: Sweep, y: Quantity
) -> Figure:
    shown = [cell for row in rows for cell in row]
    labels = lines_of(shown)
    stages = [stage for stage in STAGES if any(cell.stage == stage for cell in shown)]
    figure = new_figure(PAGE_WIDTH_IN, PANEL_HEIGHT_IN * len(rows) + 0.45)
    axes = figure.subplots(len(rows), max(2, len(stages)), squeeze=False)
    for axis in axes[:, len(stages) :].flat:
        axis.set_visible(False)
    for row, group in enumerate(rows):
        for axis, stage in zip(axes[row], stages, strict=False):
            own = [cell for cell in group if cell.stage == stage]
            _draw_panel(axis, run, own, labels, sweep, y)
            axis.set_title(f"{stage.capitalize()} · {sweep.row_text(group[0])}")
            axis.set_xlabel(sweep.label, color=FAINT)
        axes[row, 0].set_ylabel(f"{y.label}\non {shorten(device, 24)}")
    place_legend(figure, labels_once(axes.flat))
    return figure


def _draw_panel(
    axis: Axes,
    run: StoredRun,
    cells: list[Timing],
    labels: dict[Line, str],
    sweep: Sweep,
    y: Quantity,
) -> None:
    axis.set_xscale("log", base=2)
    heights: list[float] = []
    dtypes = list(dict.fromkeys(line.dtype for line in labels if line.dtype))
    for line, label in labels.items():
        own = sorted((cell for cell in cells if line_of(cell) == line), key=sweep.x_of)
        known = [cell for cell in own if y.of(cell) is not None]
        if known:
            fill = _FILLS[dtypes.index(line.dtype) % len(_FILLS) if line.dtype else 0]
            look = (place_of(run, line.codec), fill)
            heights += _draw_line(axis, look, label, known, sweep, y)
    failed = [cell for cell in cells if not cell.samples_ms]
    _draw_failed(axis, run, failed, sweep)
    set_ticks(axis, {sweep.x_of(cell): sweep.tick_of(cell) for cell in cells})
    axis.grid()
    if not heights:
        return
    if y.is_log:
        # Room above the lines for what could not be timed.
        scale_log(axis, [*heights, *([2 * max(heights)] if failed else [])])
    else:
        axis.set_ylim(0, (1.3 if failed else 1.12) * max(heights))


def _draw_line(
    axis: Axes,
    look: tuple[int, Any],
    label: str,
    cells: Sequence[Timing],
    sweep: Sweep,
    y: Quantity,
) -> list[float]:
    """Draw a line with its whiskers; return the heights that it takes."""
    place, fill = look
    xs = [sweep.x_of(cell) for cell in cells]
    values = [y.of(cell) or 0.0 for cell in cells]
    whisker = y.whisker
    spans = [whisker(cell) for cell in cells] if whisker else [(value, value) for value in values]
    below = [value - low for value, (low, _) in zip(values, spans, strict=True)]
    above = [high - value for value, (_, high) in zip(values, spans, strict=True)]
    axis.errorbar(
        xs,
        values,
        yerr=[below, above] if whisker else None,
        elinewidth=1,
        capsize=2,
        color=colour_of(place),
        marker=marker_of(place),
        markersize=4.5,
        linewidth=1.4,
        linestyle=_DASHES.get(cells[0].mode, "-"),
        fillstyle=fill,
        label=label,
    )
    marked = [pair for *pair, cell in zip(xs, values, cells, strict=True) if _is_marked(cell)]
    if marked:
        axis.scatter(
            [x for x, _ in marked],
            [value for _, value in marked],
            s=70,
            facecolors="none",
            edgecolors=INK,
            linewidths=1.0,
            zorder=4,
            label="overflow or throttled",
        )
    return [*values, *(edge for span in spans for edge in span)]


def _is_marked(cell: Timing) -> bool:
    return any(words != NEVER_SETTLED for words, _ in remarks(cell))


def _draw_failed(axis: Axes, run: StoredRun, cells: Sequence[Timing], sweep: Sweep) -> None:
    """Mark what has no time at the top of its place, beside each other, as several may fail."""
    from matplotlib.transforms import ScaledTranslation

    figure = axis.get_figure(root=True)
    if figure is None:
        return
    for x in sorted({sweep.x_of(cell) for cell in cells}):
        here = [cell for cell in cells if sweep.x_of(cell) == x]
        for number, cell in enumerate(here):
            aside_in = 0.09 * (number - len(here) + 1)
            shift = ScaledTranslation(aside_in, 0, figure.dpi_scale_trans)
            axis.plot(
                x,
                0.95,
                marker="x",
                markersize=5.5,
                color=colour_of(place_of(run, cell.codec)),
                linestyle="",
                transform=axis.get_xaxis_transform() + shift,
                label=cell.status,
            )


def set_ticks(axis: Axes, ticks: dict[float, str]) -> None:
    """Mark the values that were measured along x, and no others."""
    from matplotlib.ticker import NullLocator

    places = sorted(ticks)
    axis.set_xticks(places, [ticks[place] for place in places])
    axis.xaxis.set_minor_locator(NullLocator())
    if places:
        axis.set_xlim(places[0] / 1.25, places[-1] * 1.25)


def scale_log(axis: Axes, values: Sequence[float], vertical: bool = True) -> None:
    """Make an axis logarithmic, from one of 1, 2, 5 · 10ⁿ to another, all of which are labelled."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    steps = [base * 10.0**power for power in range(-6, 12) for base in (1, 2, 5)]
    low = max(step for step in steps if step <= min(values) / 1.12)
    high = min(step for step in steps if step >= max(values) * 1.12)
    if vertical:
        axis.set_yscale("log")
        axis.set_ylim(low, high)
    else:
        axis.set_xscale("log")
        axis.set_xlim(low, high)
    shown = axis.yaxis if vertical else axis.xaxis
    wide = high / low > 5e3
    shown.set_major_locator(LogLocator(base=10, subs=(1,) if wide else (1, 2, 5)))
    shown.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    shown.set_minor_locator(NullLocator())


def place_legend(figure: Figure, legend: tuple[list[Any], list[str]]) -> None:
    """Put the legend above the panels, fewer to a line where labels are long."""
    legend_above(figure, legend, 3 if any(len(label) > 28 for label in legend[1]) else 5)
