"""How many pictures a codec wins, ties and loses against the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...bench.compare.store import StoredComparison
from ..tables.comparison_rows import ComparedRow, compared_codecs, compared_rows
from .comparison_differences import TIED_COLOUR
from .comparison_panels import (
    BETTER_COLOUR,
    NOTHING_COMPARED,
    VERDICT_COLOURS,
    WORSE_COLOUR,
    differences,
    gains,
    worth_drawing,
)
from .style import PAGE_WIDTH_IN, NothingToShowError, Plot, new_figure, shorten, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR_IN = 0.25
TITLE_IN = 0.42
_PARTS = (("won", 1, BETTER_COLOUR), ("tied", 0, TIED_COLOUR), ("lost", -1, WORSE_COLOUR))


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
    figure = new_figure(PAGE_WIDTH_IN, sum(BAR_IN * count + TITLE_IN for count in counts) + 0.45)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=counts)[:, 0]
    for axis, (codec, own) in zip(axes, panels.items(), strict=True):
        _draw_panel(axis, comparison, own)
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


def _draw_panel(axis: Axes, comparison: StoredComparison, rows: list[ComparedRow]) -> None:
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
