"""Separable windows over pictures, as products with banded matrices.

A sum of eleven shifted slices reads and writes every pixel eleven times. As a product of blocks of
rows (or columns) with a small banded matrix each is read once, and the zeros of the band cost less
than the memory they save: a third of the time, even of sums in place, in float64 on a CPU. All
blocks are one call, so that threads seldom wait for one another and a GPU has few launches.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

Taps = tuple[float, ...]

# Outputs of a block: few, and little is read for nothing; many, and the products are quick. Rows
# are long and want less.
DOWN_PX: Final = 16
ACROSS_PX: Final = 48


def correlate(planes: Tensor, down: Taps, across: Taps) -> Tensor:
    """Correlate planes with the window down[i]·across[j], where it fits.

    Args:
        planes: [H, P, W], contiguous: planes side by side, so that both passes are products of
            plain matrices.
        down, across: the taps along H and W, of any length.
    Returns: [H - len(down) + 1, P, W - len(across) + 1], in the dtype of `planes`.
    """
    height_px, count, width_px = planes.shape
    tall = _pass_down(planes.reshape(height_px, count * width_px), down)
    return _pass_across(tall.view(-1, width_px), across).view(len(tall), count, -1)


def _pass_down(rows: Tensor, taps: Taps) -> Tensor:
    """Return [H, W] correlated along H, [H - len(taps) + 1, W]."""
    out = rows.new_empty(len(rows) - len(taps) + 1, rows.shape[1])
    whole, rest = divmod(len(out), DOWN_PX)
    if whole:
        band = _band(taps, DOWN_PX, rows.dtype, rows.device).t()
        # Views that overlap by the window: [block, rows of a block, W].
        overlapping = rows.unfold(0, len(band.t()), DOWN_PX).transpose(1, 2)
        blocked = out[: whole * DOWN_PX].unflatten(0, (whole, DOWN_PX))
        torch.bmm(band.expand(whole, -1, -1), overlapping, out=blocked)
    if rest:
        band = _band(taps, rest, rows.dtype, rows.device).t()
        torch.mm(band, rows[whole * DOWN_PX :], out=out[whole * DOWN_PX :])
    return out


def _pass_across(lines: Tensor, taps: Taps) -> Tensor:
    """Return [L, W] correlated along W, [L, W - len(taps) + 1]."""
    out = lines.new_empty(len(lines), lines.shape[1] - len(taps) + 1)
    whole, rest = divmod(out.shape[1], ACROSS_PX)
    if whole:
        band = _band(taps, ACROSS_PX, lines.dtype, lines.device)
        overlapping = lines.unfold(1, len(band), ACROSS_PX).transpose(0, 1)
        blocked = torch.bmm(overlapping, band.expand(whole, -1, -1))
        out[:, : whole * ACROSS_PX].unflatten(1, (whole, ACROSS_PX)).copy_(blocked.transpose(0, 1))
    if rest:
        band = _band(taps, rest, lines.dtype, lines.device)
        torch.mm(lines[:, whole * ACROSS_PX :], band, out=out[:, whole * ACROSS_PX :])
    return out


def blocks(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of the blocks of `step` that make up `length`."""
    for start in range(0, length, step):
        yield start, min(start + step, length)


@lru_cache(maxsize=256)
def _band(taps: Taps, outputs: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [outputs + len(taps) - 1, outputs] whose column j holds the taps from row j on."""
    # Made outside inference mode, so that any caller may use what is kept.
    with torch.inference_mode(False):
        band = torch.zeros(outputs, outputs + len(taps), dtype=torch.float64)
        band[:, : len(taps)] = torch.tensor(taps, dtype=torch.float64)
        # Rows of one element more than the result has: each next one begins an element further.
        size = outputs + len(taps) - 1
        return band.flatten()[: outputs * size].view(outputs, size).t().to(device, dtype)
