"""What is known of a symbol before it is coded: where it should lie, and how surely.

Positions are coded from coarse to fine: first every 16th in both directions, then, as the spacing
halves, the centres of the squares and then the middles of their sides. So all but a few have four
neighbours around them, of which the mean predicts the symbol and the disagreement tells how well.
Channels are coded in groups that double (1, 1, 2, 4, …): how far those before were from their
predictions at the same place tells too. Everything is in whole numbers, eighths of a symbol, so
that encoder and decoder, on whatever machine, see the same.

The interlaced order is that of PNG's Adam7 and of hierarchical lossless coders; the contexts by
activity are those of CALIC (Wu and Memon, 1997), quantised to eight.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tables import PARTS, SCALES, table_bits

Ints = NDArray[np.int64]

CLASSES = 8
"""Classes of activity; positions of the coarsest lattice, without neighbours, make one more."""

KINDS = 3
"""Weights of a channel's prediction: wide spacings, centres of squares, middles of sides."""

WEIGHT_ONE = 64

USUAL_SCALE = 16
"""Of the first channel's classes that no symbol is in: one symbol."""

_SPACING = 16
_FARTHEST = 1 << 13


@dataclass(frozen=True)
class Pass:
    """Positions that are coded together, [P], and each one's four neighbours, [4, P], or none.

    Both count row by row from the top left.
    """

    positions: Ints
    neighbours: Ints | None
    kind: int


Passes = tuple[Pass, ...]


@dataclass(frozen=True)
class Parameters:
    """The part of the model that a stream brings.

    `thresholds` [CLASSES - 1] part the activities, in eighths of a symbol; `weights` [C, KINDS]
    are in 64ths; `scales` [C, CLASSES + 1] are indices of `logistic_table`.
    """

    thresholds: Ints
    weights: Ints
    scales: Ints


def lattice(height: int, width: int) -> Passes:
    """Return the passes over a [height, width] grid: each position once, coarse to fine."""
    coarsest = _grid(np.arange(0, height, _SPACING), np.arange(0, width, _SPACING))
    passes = [Pass(coarsest[0] * width + coarsest[1], None, 0)]
    spacing = _SPACING
    while spacing > 1:
        half = spacing // 2
        centres = _grid(np.arange(half, height, spacing), np.arange(half, width, spacing))
        across = _grid(np.arange(0, height, spacing), np.arange(half, width, spacing))
        down = _grid(np.arange(half, height, spacing), np.arange(0, width, spacing))
        sides = np.concatenate([across, down], axis=1)
        for places, offsets, kind in (
            (centres, ((-1, -1), (1, 1), (-1, 1), (1, -1)), 1),
            (sides, ((-1, 0), (1, 0), (0, -1), (0, 1)), 2),
        ):
            around = _around(places, half * np.array(offsets), height, width)
            flat = places[0] * width + places[1]
            passes.append(Pass(flat, around, kind if spacing == 2 else 0))
        spacing = half
    return tuple(entry for entry in passes if len(entry.positions))


def _grid(rows: Ints, columns: Ints) -> Ints:
    return np.stack([grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij")])


def _around(places: Ints, offsets: Ints, height: int, width: int) -> Ints:
    """Return the flat neighbours [4, P]; for one outside, that on the other side, or any inside.

    `offsets` come in opposite pairs.
    """
    y, x = places[0] + offsets[:, :1], places[1] + offsets[:, 1:]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    flat = y * width + x
    opposite = [1, 0, 3, 2]
    found = np.where(inside, flat, np.where(inside[opposite], flat[opposite], -1))
    any_inside = found.max(axis=0)
    return np.where(found >= 0, found, any_inside)


def channel_groups(channels: int) -> list[slice]:
    """Return the groups in which channels are coded: 1, 1, 2, 4, … of them."""
    edges = [0, 1]
    while edges[-1] < channels:
        edges.append(min(2 * edges[-1], channels))
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def predict(values: Ints, entry: Pass, weights: Ints) -> tuple[Ints, Ints]:
    """Return the centres of a pass in eighths, and the neighbours' disagreement, both [c, P].

    Args:
        values: whole symbols of some channels, [c, h·w], of which the neighbours are known.
        weights: those channels' weights, [c, KINDS].
    """
    if entry.neighbours is None:
        none = np.zeros((len(values), len(entry.positions)), np.int64)
        return none, none
    around = values[:, entry.neighbours]
    total = around.sum(axis=1)
    own = weights[:, entry.kind, None]
    centres = (total * own * (PARTS // 4) + WEIGHT_ONE // 2) // WEIGHT_ONE
    return centres, np.abs(4 * around - total[:, None]).sum(axis=1) // 2


def activity(entry: Pass, disagreement: Ints, missed: Ints, before: int) -> Ints:
    """Return how much goes on around the symbols of a pass, [c, P]; -1 where nothing is known.

    Args:
        disagreement: of the neighbours, in eighths, [c, P].
        missed: how far the `before` channels before were from their predictions at these
            positions, in eighths, their sum [P].
    """
    if entry.neighbours is None:
        return np.full_like(disagreement, -1)
    # What is not known counts as what is.
    return disagreement + (missed // before if before else disagreement)


Code = Callable[[Ints, Ints, Ints, Ints], Ints]
"""Told positions [P], channels [c], centres and scales [c, P]; answers the symbols [c, P]."""


def walk(values: Ints, passes: Passes, parameters: Parameters, code: Code) -> None:
    """Go through the symbols in coding order; what `code` answers is written into `values`.

    Args:
        values: symbols [C, h·w]; only those that were coded before are looked at.
    """
    channels = np.arange(len(values))
    for entry in passes:
        missed = np.zeros(len(entry.positions), np.int64)
        for group in channel_groups(len(values)):
            own = channels[group]
            centres, disagreement = predict(values[group], entry, parameters.weights[group])
            activities = activity(entry, disagreement, missed, group.start)
            classes = _classes(activities, parameters.thresholds)
            scales = parameters.scales[own[:, None], classes]
            symbols = code(entry.positions, own, centres, scales)
            values[own[:, None], entry.positions] = symbols
            missed += np.abs(PARTS * symbols - centres).sum(axis=0)


def fit(values: Ints, passes: Passes) -> Parameters:
    """Return the parameters under which symbols [C, h·w] take the fewest bits, or nearly so."""
    weights = _fit_weights(values, passes)
    distances, activities = _residuals(values, passes, weights)
    known = activities[activities >= 0]
    edges = np.quantile(known, np.arange(1, CLASSES) / CLASSES) if known.size else np.zeros(7)
    thresholds = np.array([short_float(int(edge) + 1)[1] for edge in edges], np.int64)
    counts = class_counts(distances, _classes(activities, thresholds))
    # A scale wider than the farthest symbol is never the best.
    widest = min(SCALES, 4 * (int(distances.max(initial=0)).bit_length() + 1))
    costs = counts @ table_bits(widest, counts.shape[2])
    scales = costs.argmin(axis=2)
    is_empty = costs.max(axis=2) == 0
    scales[0][is_empty[0]] = USUAL_SCALE
    for channel in range(1, len(scales)):
        # What no symbol uses is as before: differences are what is stored.
        scales[channel][is_empty[channel]] = scales[channel - 1][is_empty[channel]]
    return Parameters(thresholds, weights, scales)


def classes_of(values: Ints, passes: Passes, parameters: Parameters) -> tuple[Ints, Ints]:
    """Return each symbol's distance from its centre, in eighths, and its class; both [C, h·w]."""
    distances, activities = _residuals(values, passes, parameters.weights)
    return distances, _classes(activities, parameters.thresholds)


def _classes(activities: Ints, thresholds: Ints) -> Ints:
    classes = np.searchsorted(thresholds, activities, side="right")
    return np.where(activities < 0, CLASSES, classes)


def _fit_weights(values: Ints, passes: Passes) -> Ints:
    """Return the least-squares weight of the neighbours' mean, for each channel and kind."""
    products = np.zeros((2, len(values), KINDS))
    for entry in passes:
        if entry.neighbours is not None:
            mean = values[:, entry.neighbours].mean(axis=1)
            products[0, :, entry.kind] += (mean * values[:, entry.positions]).sum(axis=1)
            products[1, :, entry.kind] += (mean * mean).sum(axis=1)
    ratio = np.divide(
        products[0], products[1], out=np.ones_like(products[0]), where=products[1] > 0
    )
    return np.clip(np.rint(ratio * WEIGHT_ONE), 0, 127).astype(np.int64)


def _residuals(values: Ints, passes: Passes, weights: Ints) -> tuple[Ints, Ints]:
    """Return each symbol's distance from its centre, in eighths, and its activity (-1: none)."""
    distances, activities = np.empty_like(values), np.empty_like(values)
    for entry in passes:
        at = entry.positions
        centres, disagreement = predict(values, entry, weights)
        distances[:, at] = np.abs(PARTS * values[:, at] - centres)
        for group in channel_groups(len(values)):
            missed = distances[: group.start, at].sum(axis=0)
            activities[group, at] = activity(entry, disagreement[group], missed, group.start)
    return distances, activities


def class_counts(distances: Ints, classes: Ints) -> NDArray[np.float64]:
    """Return how often each distance occurs in a channel's classes, [C, CLASSES + 1, bins].

    Distances beyond a thousand symbols count as the last bin.
    """
    bins = int(min(distances.max(initial=0), _FARTHEST)) + 1
    groups = np.arange(len(classes))[:, None] * (CLASSES + 1) + classes
    keys = groups * bins + np.minimum(distances, bins - 1)
    shape = (len(classes), CLASSES + 1, bins)
    return np.bincount(keys.ravel(), minlength=math.prod(shape)).reshape(shape).astype(np.float64)


def logistic_bits(bins: int, scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the bits of a symbol by the discretised logistic distribution, [bins, scales].

    F((d + ½)/s) - F((d - ½)/s), d being 0 to bins - 1 eighths of a symbol, s in symbols.
    """
    from scipy.special import log_expit

    distances = np.arange(bins)[:, None] / PARTS
    # F(b) - F(a) = F(b)·F(-a)·(1 - exp(a - b)), free of cancellation.
    inner = log_expit((0.5 - distances) / scales) + log_expit((0.5 + distances) / scales)
    return -(inner + np.log(-np.expm1(-1 / scales))) / np.log(2)


def short_float(value: int) -> tuple[int, int]:
    """Return the byte nearest to a whole number from above, and the number that it stands for."""
    for code in range(256):
        if (stood := from_short_float(code)) >= value:
            return code, stood
    return 255, from_short_float(255)


def from_short_float(code: int) -> int:
    """Return the whole number of a byte: three bits of mantissa, five of exponent."""
    return code if code < 8 else (8 + code % 8) << (code // 8 - 1)
