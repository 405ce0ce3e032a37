"""What another package's metric says of pictures of which the right answer is known.

A few pairs at opening show whether its numbers mean what they are taken for: a picture and itself
have one value, whatever is on it, and nothing has a better one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor], object]
"""Of reference and reconstruction, float32 [1, 3, H, W] in [0, 1]."""

SIDES_PX = (64, 192)
"""The second where a metric refuses the first: five scales of MS-SSIM want more than 160 px."""

TOLERANCE = 2e-3
"""For sums in float32, which these packages compute in."""


@dataclass(frozen=True)
class Known:
    """What a right metric gives for a constant picture of 0.5 and its copy of 0.4."""

    value: float
    source: str


def fault(score: Score, higher_is_better: bool | None, known: Known | None = None) -> str | None:
    """Return what is wrong with a metric, as the rest of a sentence; None where nothing is.

    NaN is no fault: it says that there is no value.
    Raises: what the metric raises of every size that is tried.
    """
    for side in SIDES_PX:
        try:
            return _fault(score, side, higher_is_better, known)
        except Exception:  # another package's code, which may fail in any way
            if side == SIDES_PX[-1]:
                raise
    return None


def _fault(
    score: Score, side: int, higher_is_better: bool | None, known: Known | None
) -> str | None:
    texture = _texture(side)
    half = texture.clone()
    half[..., side // 2 :] = 0
    flat = torch.full_like(texture, 0.5)
    same = {
        name: _number(score(picture, picture))
        for name, picture in (("textured", texture), ("half-black", half), ("constant", flat))
    }
    perfect = next((value for value in same.values() if not math.isnan(value)), math.nan)
    for name, value in same.items():
        if not (math.isnan(value) or _close(value, perfect)):
            return (
                f"gives {value:.4g} for a {name} picture and itself, {perfect:.4g} for others and "
                "themselves"
            )
    for name, other in (("scaled", 0.9 * texture), ("noisy", _noisy(texture))):
        value = _number(score(texture, other))
        gain = value - perfect if higher_is_better else perfect - value
        if gain > TOLERANCE and higher_is_better is not None:
            better = "higher" if higher_is_better else "lower"
            return (
                f"is better where it is {better}, as it says, but gives a {name} picture "
                f"{value:.4g}, and {perfect:.4g} where nothing was lost"
            )
    if known is not None:
        value = _number(score(flat, torch.full_like(flat, 0.4)))
        if not _close(value, known.value):
            return (
                f"gives {value:.4g} for a constant picture of 0.5 and one of 0.4, which by its "
                f"definition ({known.source}) is {known.value:.4g}"
            )
    return None


def depends_on_range(score: Score) -> bool:
    """Return whether a metric gives another number for the same pictures in [0, 255].

    Raises: what the metric raises of every size that is tried.
    """
    for side in SIDES_PX:
        texture = _texture(side)
        noisy = _noisy(texture)
        try:
            value = _number(score(texture, noisy))
            return not _close(value, _number(score(255 * texture, 255 * noisy)))
        except Exception:  # another package's code, which may fail in any way
            if side == SIDES_PX[-1]:
                raise
    return False


def _texture(side: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    waves = [0.5 + 0.3 * torch.sin(x / (7 + 3 * c)) * torch.cos(y / (5 + 2 * c)) for c in range(3)]
    return _rounded(torch.stack(waves)[None] + 0.08 * _noise(side, 0))


def _noisy(picture: Tensor) -> Tensor:
    return _rounded(picture + 0.1 * _noise(picture.shape[-1], 1))


def _noise(side: int, seed: int) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def _rounded(picture: Tensor) -> Tensor:
    return picture.clamp(0, 1).mul(255).round().div(255)


def _number(score: object) -> float:
    if isinstance(score, int | float) or (isinstance(score, Tensor) and score.numel() == 1):
        return float(score)
    return math.nan


def _close(value: float, other: float) -> bool:
    return value == other or math.isclose(value, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
