"""The differences of pictures as bars: sorted, with their mean; and how many were won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from ..tables.comparison_rows import ComparedRow, compared_codecs, compared_rows, differences_of
from .style import FAINT, INK, NothingToShowError, Plot, grid_of, own_stem, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 2
PANEL_HEIGHT_IN = 1.95
FEWEST_BARS = 10
MOST_SEPARATE_BARS = 120
BAR_IN = 0.25
TITLE_IN = 0.42
TIED_COLOUR = "#a3a3a3"
BETTER_COLOUR = "#009E73"
WORSE_COLOUR = "#D55E00"
VERDICT_COLOURS = {
    "better": BETTER_COLOUR,
    "worse": WORSE_COLOUR,
    "same": "#0072B2",
    "undecided": "#767676",
}
"""Of Okabe and Ito (2008), told apart with any colour vision; a word stands beside every colour."""

FEWEST_PICTURES = 3
"""Differences of one or two pictures are read in the table; bars of them only fill the page."""

NOTHING_COMPARED = "no codec was compared with the baseline"
_PARTS = (("won", 1, BETTER_COLOUR), ("tied", 0, TIED_COLOUR), ("lost", -1, WORSE_COLOUR))


@styled
def comparison_differences(comparison: StoredComparison) -> list[Plot]:
    """Draw a figure a codec: every metric over whole pictures, the first one in every region."""
    plots: list[Plot] = []
    rows = compared_rows(comparison)
    for codec in compared_codecs(comparison):
        chosen = worth_drawing(_chosen([row for row in rows if row.codec == codec]))
        if not chosen:
            continue
        caption = (
            f"{codec} minus {chosen[0].baseline}, a bar a picture, from the greatest loss on the "
            "left to the greatest gain on the right: green is better, orange worse. The line "
            "is the mean of the pictures, the band its "
            f"{100 * float(comparison.record['confidence']):g} % interval; dotted lines are the "
            "margin within which the two are called the same. Regions of fewer than "
            f"{FEWEST_PICTURES} pictures are in the table alone."
        )
        stem = own_stem("differences", codec, plots)
        plots.append(Plot(stem, caption, _draw_figure(comparison, chosen)))
    if not plots:
        raise NothingToShowError(NOTHING_COMPARED)
    return plots


def _chosen(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    first = next((row.column.variant for row in rows), "")
    return [row for row in rows if row.region == WHOLE or row.column.variant == first]


def _draw_figure(comparison: StoredComparison, rows: Sequence[ComparedRow]) -> Figure:
    figure, axes = grid_of(len(rows), COLUMNS, PANEL_HEIGHT_IN, 0.1)
    for axis, row in zip(axes, rows, strict=True):
        _draw_differences(axis, row, differences(comparison, row))
    figure.tight_layout(pad=0.6, h_pad=1.3, w_pad=1.6)
    return figure


def _draw_differences(axis: Axes, row: ComparedRow, values: np.ndarray) -> None:
    is_finite = np.isfinite(values)
    finite = values[is_finite]
    places = np.arange(values.size)[is_finite]
    won = np.sign(gains(finite, row))
    names = {-1.0: WORSE_COLOUR, 0.0: TIED_COLOUR, 1.0: BETTER_COLOUR}
    colours = [names[float(sign)] for sign in won]
    if values.size <= MOST_SEPARATE_BARS:
        axis.bar(places, finite, 0.82, color=colours)
    else:
        # Thousands of vector bars make an SVG that no browser opens quickly.
        axis.vlines(places, 0, finite, colors=colours, linewidth=0.7, rasterized=True)
    if row.mean_diff is not None:
        if row.ci_low is not None and row.ci_high is not None:
            axis.axhspan(row.ci_low, row.ci_high, color=INK, alpha=0.16, linewidth=0)
        axis.axhline(row.mean_diff, color=INK, linewidth=1.3)
    axis.axhline(0, color=FAINT, linewidth=0.8)
    _show_margin(axis, row, finite)
    axis.grid(axis="y")
    axis.set_xticks([])
    spare = max(0, FEWEST_BARS - values.size) / 2
    axis.set_xlim(-0.8 - spare, values.size - 0.2 + spare)
    axis.margins(y=0.12)
    infinite = int(values.size - finite.size)
    pictures = f"{values.size} picture{'' if values.size == 1 else 's'}"
    axis.set_xlabel(f"{pictures}, {infinite} infinite" if infinite else pictures, color=FAINT)
    axis.set_title(f"{row.column.title} · {shorten(row.region, 16)}")
    interval = "" if row.ci_low is None else f" {row.interval}"
    text = f"{row.difference}{interval} {row.verdict}".replace("-", "−")
    axis.set_title(
        text, loc="right", fontsize=7.8, fontweight="bold", color=VERDICT_COLOURS[row.verdict]
    )


def _show_margin(axis: Axes, row: ComparedRow, finite: np.ndarray) -> None:
    """Dot the margin, unless it would leave the bars no height."""
    highest = float(np.abs(finite).max()) if finite.size else 0.0
    if row.margin and highest * 8 >= row.margin:
        for side in (-row.margin, row.margin):
            axis.axhline(side, color=FAINT, linewidth=0.9, linestyle=":")


@styled
def comparison_wins(comparison: StoredComparison) -> list[Plot]:
    """Draw a panel a codec: a bar for every metric and region, split into won, tied and lost."""
    rows = compared_rows(comparison)
    panels = {
        codec: worth_drawing([row for row in rows if row.codec == codec])
        for codec in compared_codecs(comparison)
    }
    panels = {codec: own for codec, own in panels.items() if own}
    if not panels:
        raise NothingToShowError(NOTHING_COMPARED)
    counts = [len(own) for own in panels.values()]
    height_in = sum(BAR_IN * count + TITLE_IN for count in counts) + 0.45
    figure, axes = grid_of(len(panels), 1, 0, height_in, height_ratios=counts)
    for axis, (codec, own) in zip(axes, panels.items(), strict=True):
        _draw_wins(axis, comparison, own)
        axis.set_title(f"{shorten(codec, 40)} against {shorten(own[0].baseline, 40)}")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=3)
    top = 1 - 0.12 / float(figure.get_figheight())
    figure.tight_layout(pad=0.6, h_pad=1.0, rect=(0, 0, 1, top))
    caption = (
        "The share of pictures that the codec won, tied and lost, with their numbers; the verdict "
        "stands beside each bar. Many small wins need not outweigh one great loss: the verdict "
        "is of the mean."
    )
    return [Plot("wins", caption, figure)]


def _draw_wins(axis: Axes, comparison: StoredComparison, rows: list[ComparedRow]) -> None:
    for place, row in enumerate(rows):
        signs = np.sign(gains(differences(comparison, row), row))
        start = 0.0
        for word, sign, colour in _PARTS:
            count = int((signs == sign).sum())
            width = count / signs.size
            label = word if place == 0 else None
            axis.barh(place, width, 0.8, left=start, color=colour, label=label)
            if width > 0.03:
                # At the outer ends, clear of the line that halves the bar.
                place_x, side = (
                    (start + width - 0.008, "right") if sign < 0 else (start + 0.008, "left")
                )
                axis.text(
                    place_x, place, str(count), ha=side, va="center", color="white", fontsize=7.5
                )
            start += width
        axis.text(
            1.01,
            place,
            row.verdict,
            va="center",
            fontsize=8,
            fontweight="bold",
            color=VERDICT_COLOURS[row.verdict],
        )
    names = [f"{row.column.label} · {shorten(row.region, 16)}" for row in rows]
    axis.set_yticks(range(len(rows)), names)
    axis.set_ylim(len(rows) - 0.45, -0.55)
    axis.set_xlim(0, 1)
    axis.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axis.axvline(0.5, color="white", linewidth=0.8, linestyle=(0, (1, 2)))


def worth_drawing(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Return the rows of enough pictures; where none has them, all that have any."""
    enough = [row for row in rows if row.n_images >= FEWEST_PICTURES]
    return enough or [row for row in rows if row.n_images]


def differences(comparison: StoredComparison, row: ComparedRow) -> np.ndarray:
    """Return the differences of a row's pictures, [n], from the codec's loss to its gain."""
    frame = differences_of(comparison, row.codec, row.region, row.column.variant)
    values = np.sort(frame["difference"].to_numpy(dtype=np.float64))
    return values if row.column.higher_is_better else values[::-1]


def gains(values: np.ndarray, row: ComparedRow) -> np.ndarray:
    """Return differences with the sign turned so that more is better."""
    return values if row.column.higher_is_better else -values
