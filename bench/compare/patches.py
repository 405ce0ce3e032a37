"""The windows of an error map with the largest mean error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PATCH_PX = 64

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Patch:
    """A window of a picture, and the mean of the error map (0..255) over it."""

    error: float
    box_px: Box
    sha256: str = ""


def worst_patches(errors: np.ndarray, count: int, least: float = -1.0) -> list[Patch]:
    """Return windows with the largest mean error, worst first, none overlapping another.

    The worst window anywhere comes first, then the worst that does not overlap it, and so on.

    Args:
        errors: uint8 [H, W]; a side shorter than PATCH_PX is the window's side.
        count: how many at most. least: windows must be worse than this mean.
    """
    height, width = min(PATCH_PX, errors.shape[0]), min(PATCH_PX, errors.shape[1])
    means = _window_sums(errors, height, width) / (height * width)
    patches: list[Patch] = []
    while len(patches) < count:
        y, x = (int(place) for place in np.unravel_index(np.argmax(means), means.shape))
        if means[y, x] <= least:
            break
        patches.append(Patch(float(means[y, x]), (x, y, x + width, y + height)))
        means[max(0, y - height + 1) : y + height, max(0, x - width + 1) : x + width] = -1.0
    return patches


def _window_sums(errors: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the sum over each window of a size, by its upper left corner."""
    table = np.zeros((errors.shape[0] + 1, errors.shape[1] + 1), np.int64)
    table[1:, 1:] = errors.astype(np.int64).cumsum(0).cumsum(1)
    below, above = table[height:], table[:-height]
    return below[:, width:] - below[:, :-width] - above[:, width:] + above[:, :-width]
