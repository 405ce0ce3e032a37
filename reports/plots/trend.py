"""What the history holds of a run's cells: a small panel each, suspected steps marked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...bench.errors import VaebenchError
from ...bench.store.run import StoredRun
from ..tables.reading import significant
from .style import (
    FAINT,
    NothingToShowError,
    Plot,
    colour_of,
    grid_of,
    labels_once,
    legend_above,
    marker_of,
    save_figure,
    shorten,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 2
MOST_PANELS = 12
TITLE_LENGTH = 56
LEAST_SPAN = 0.05
STEP = "suspected step"
STEP_COLOUR = "#D55E00"


def trend(run: StoredRun) -> list[Plot]:
    """Draw the past of the run's cells, as the history told it when the run ended."""
    figure = draw_trend(run.trend)
    caption = (
        "Each panel is a cell, oldest measurement on the left; a timing is the median (p50). "
        "Colours and markers are environments (device, driver, libraries, clocks), which no line "
        "joins; their short names are fingerprints in the history. A dashed line is a suspected "
        "step of the level, found by change-point detection: a reason to look, not a verdict."
    )
    left_out = len(_cells(run.trend)) - MOST_PANELS
    if left_out > 0:
        caption += f" {left_out} more cells are in the history (vaebench history)."
    return [Plot("trend", caption, figure)]


def write_trend(frame: pd.DataFrame, path: Path) -> None:
    """Draw a trend into a .png or .svg.

    Args:
        frame: columns TREND_COLUMNS.
    Raises: NothingToShowError; VaebenchError for another ending or a file that can't be written.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise VaebenchError(f"Cannot draw into {path}: expected a name that ends in .png or .svg.")
    figure = draw_trend(frame)
    try:
        save_figure(figure, path)
    except OSError as error:
        raise VaebenchError(f"Cannot write {path}: {error.strerror}. Name another file.") from error


@styled
def draw_trend(frame: pd.DataFrame) -> Figure:
    """Return one panel a cell: those with steps first, then those that were measured most often.

    Args:
        frame: columns TREND_COLUMNS, oldest first.
    Raises: NothingToShowError where no cell was measured twice.
    """
    cells = _cells(frame)[:MOST_PANELS]
    if not cells:
        raise NothingToShowError("the history holds no cell that was measured twice")
    environments = list(dict.fromkeys(str(name) for name in frame["fingerprint"]))
    figure, axes = grid_of(len(cells), COLUMNS, 1.9, 0.4)
    for axis, group in zip(axes, cells, strict=True):
        _draw_panel(axis, group, environments)
    handles, labels = labels_once(axes)
    if STEP in labels:
        place = labels.index(STEP)
        handles.append(handles.pop(place))
        labels.append(labels.pop(place))
    legend_above(figure, (handles, labels), 6, gaps=(1.2, 1.4))
    return figure


def _cells(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return what belongs to each panel, of the cells that were measured twice or more."""
    known: Any = frame[frame["value"].notna()]
    groups: list[pd.DataFrame] = [
        group for _, group in known.groupby(["cell", "measure"], sort=False) if len(group) > 1
    ]
    return sorted(groups, key=lambda group: (True not in set(group["is_step"]), -len(group)))


def _draw_panel(axis: Axes, group: pd.DataFrame, environments: list[str]) -> None:
    rows: list[dict[str, Any]] = group.to_dict("records")
    for place, name in enumerate(environments):
        own = [(x, row) for x, row in enumerate(rows) if str(row["fingerprint"]) == name]
        if not own:
            continue
        axis.plot(
            [x for x, _ in own],
            [float(row["value"]) for _, row in own],
            color=colour_of(place),
            marker=marker_of(place),
            markersize=3.5,
            linewidth=1.0,
            label=f"environment {name[:8]}",
        )
        _mark_steps(axis, own)
    axis.grid(axis="y")
    axis.margins(x=0.04, y=0.2)
    first = rows[0]
    axis.set_title(_two_lines(str(first["cell"])), fontsize=7.5)
    if first["measure"] == "p50_ms":
        axis.set_ylabel("p50, ms")
        _widen(axis, [float(row["value"]) for row in rows])
    else:
        axis.set_ylabel(f"{first['measure']}{', ' if first['unit'] else ''}{first['unit']}")
    _label_dates(axis, rows)


def _two_lines(cell: str) -> str:
    """Return a cell's name, which is long, broken near its middle."""
    parts = cell.split(" · ")
    breaks = range(1, len(parts) + 1)
    at = min(breaks, key=lambda place: abs(len(" · ".join(parts[:place])) - len(cell) / 2))
    lines = (" · ".join(parts[:at]), " · ".join(parts[at:]))
    return "\n".join(shorten(line, TITLE_LENGTH) for line in lines if line)


def _widen(axis: Axes, values: list[float]) -> None:
    """Show a twentieth to either side at least, so that noise does not fill the panel."""
    middle = median(values)
    margin = 0.2 * (max(values) - min(values))
    axis.set_ylim(
        min(min(values) - margin, middle * (1 - LEAST_SPAN)),
        max(max(values) + margin, middle * (1 + LEAST_SPAN)),
    )


def _mark_steps(axis: Axes, own: list[tuple[int, dict[str, Any]]]) -> None:
    starts = [
        0,
        *(place for place, (_, row) in enumerate(own) if row["is_step"] and place),
        len(own),
    ]
    for before, here, after in zip(starts, starts[1:], starts[2:], strict=False):
        old = median(float(row["value"]) for _, row in own[before:here])
        new = median(float(row["value"]) for _, row in own[here:after])
        x = own[here][0] - 0.5
        axis.axvline(x, color=STEP_COLOUR, linewidth=1.1, linestyle="--", label=STEP)
        if old:
            change = significant(abs(new / old - 1) * 100, 2)
            axis.annotate(
                f"{'+' if new >= old else '−'}{change} %",
                (x, 1),
                (3, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=7.5,
                color=STEP_COLOUR,
                fontweight="bold",
            )


def _label_dates(axis: Axes, rows: list[dict[str, Any]]) -> None:
    last = len(rows) - 1
    places = sorted({0, last // 2, last} if last > 5 else {0, last})
    days = {str(row["created"])[:10] for row in rows}
    form = "%H:%M" if len(days) == 1 else "%Y-%m-%d"
    axis.set_xticks(places, [_when(rows[place], form) for place in places], fontsize=7)
    axis.set_xlim(-0.5, last + 0.5)
    axis.tick_params(axis="x", color=FAINT)


def _when(row: dict[str, Any], form: str) -> str:
    when = f"{datetime.fromisoformat(str(row['created'])):{form}}"
    commit = row["commit"]
    return f"{when}\n{commit[:8]}" if isinstance(commit, str) and commit else when
