"""Region masks: packing, polygons, run lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]

_EDGES = 1000
"""How many of a polygon's edges are drawn at a time: each may cross every row."""


def pack_mask(mask: NDArray[np.bool_]) -> bytes:
    """Pack bool [h, w] as `Region.mask` holds it: 8 pixels a byte, row by row."""
    return np.packbits(mask).tobytes()


def unpack_mask(packed: bytes, width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Return the bool [h, w] that `pack_mask` packed."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=width_px * height_px)
    return bits.reshape(height_px, width_px).astype(bool)


def tight_box(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest x0, y0, x1, y1 (end-exclusive) around a mask; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def polygon_mask(corners: NDArray[np.float64], width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Return bool [height, width]: the pixels whose centre lies inside a polygon, even-odd rule.

    `corners` is [n, 2], x and y with the picture's top left corner at 0, 0 and its first pixel's
    centre at 0.5, 0.5.
    """
    crossings = np.zeros((height_px, width_px + 1), np.bool_)
    ends = np.roll(corners, -1, axis=0)
    # A row lies between an edge's ends by its pixels' centres.
    spans = np.ceil(np.sort([corners[:, 1], ends[:, 1]], axis=0) - 0.5)
    tops, bottoms = np.clip(spans, 0, height_px).astype(int)
    for first in range(0, len(corners), _EDGES):
        block = slice(first, first + _EDGES)
        counts = bottoms[block] - tops[block]
        edge = np.repeat(np.arange(len(counts)), counts)
        rows = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts)
        rows += np.repeat(tops[block], counts)
        (x0, y0), (x1, y1) = corners[block][edge].T, ends[block][edge].T
        at = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        column = np.clip(np.ceil(at - 0.5), 0, width_px).astype(int)
        # Crossing an edge changes sides for every pixel to the right of it.
        np.logical_xor.at(crossings, (rows, column), True)
    return np.logical_xor.accumulate(crossings, axis=1)[:, :-1]


def runs_mask(runs: Sequence[int], width_px: int, height_px: int) -> NDArray[np.bool_] | None:
    """Return bool [height, width] of COCO's run lengths: down the columns, off and on in turn.

    None where the runs do not add up to the picture.
    """
    if min(runs, default=0) < 0 or sum(runs) != width_px * height_px:
        return None
    on = np.arange(len(runs)) % 2 == 1
    return np.repeat(on, np.asarray(runs, np.int64)).reshape(width_px, height_px).T


def runs_of_text(text: str) -> list[int] | None:
    """Decode COCO's compressed run lengths; None where they break off.

    Each number is spread over characters of 6 bits from "0" on, lowest first: 5 of value and
    one that says more follow, the last one's highest value bit being the sign. From the fourth
    number on it is the difference to the run before last.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        six = ord(character) - 48
        if not 0 <= six < 64:
            return None
        value |= (six & 31) << shift
        shift += 5
        if six & 32:
            continue
        if six & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return None if shift else runs
