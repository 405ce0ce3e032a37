"""What the plots of a comparison share: colours of verdicts, names of files, gains of pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...bench.compare.store import StoredComparison
from ..tables.comparison_rows import ComparedRow, differences_of
from .style import Plot

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


def stem_of(name: str, codec: str, plots: Sequence[Plot]) -> str:
    """Return a file name for a codec's plot that no system refuses and no other plot has."""
    stem = f"{name}-{re.sub(r'[^A-Za-z0-9._+-]+', '_', codec)[:80]}"
    taken = any(plot.stem.lower() == stem.lower() for plot in plots)
    return f"{stem}-{len(plots) + 1}" if taken else stem


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
