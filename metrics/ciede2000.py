"""The CIEDE2000 colour difference, after Sharma, Wu and Dalal, Color Res. Appl. 30(1), 2005."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, picture_means

CIEDE2000_INFO: Final = colour_info("ciede2000", "dE00", False, "d65-rgb")

# IEC 61966-2-1, linear sRGB to XYZ, and the CIE 1931 2° white of D65.
XYZ_FROM_RGB: Final = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
D65_WHITE: Final = (0.95047, 1.0, 1.08883)

_25_TO_7: Final = 25.0**7


class CIEDE2000(DescribedMetric):
    """Mean ΔE00 of sRGB pictures seen under D65, k_L = k_C = k_H = 1, and its map."""

    def __init__(self) -> None:
        super().__init__(CIEDE2000_INFO)

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the pictures in CIELAB, float64 [N, 3, H, W]."""
        check_pictures(reference)
        return lab(reference)

    def compare(self, prepared: Tensor, reconstruction: Tensor, want_maps: bool) -> Result:
        """Return the mean ΔE00 of each picture, and the maps.

        Raises: ShapeMismatch.
        """
        check_pair(prepared.shape, reconstruction)
        maps = prepared.new_empty(len(prepared), *prepared.shape[-2:])
        # One picture at a time: the formula makes two dozen float64 planes.
        for index, reference in enumerate(prepared):
            maps[index] = delta_e(reference, lab(reconstruction[index]))
        return Result(picture_means(maps), maps if want_maps else None)


def lab(pictures: Tensor) -> Tensor:
    """Return sRGB in [0, 1] [..., 3, H, W] as CIELAB, D65, 2° observer, float64 [..., 3, H, W].

    Source: IEC 61966-2-1; CIE 15.
    """
    encoded = pictures.to(torch.float64)
    linear = torch.where(
        encoded > 0.04045, ((encoded + 0.055) / 1.055).clamp_(min=0.0).pow(2.4), encoded / 12.92
    )
    ratio = torch.einsum("ij,...jhw->...ihw", _to_white(linear.device), linear)
    # Cube root as CIE 15 has it, with its linear toe below (6/29)³.
    response = torch.where(
        ratio > 0.008856, ratio.clamp(min=0.0).pow(1.0 / 3.0), 7.787 * ratio + 16.0 / 116.0
    )
    x, y, z = response.unbind(dim=-3)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=-3)


@lru_cache(maxsize=8)
def _to_white(device: torch.device) -> Tensor:
    """Return linear sRGB to X, Y, Z over white; kept, since a copy to a GPU is waited for."""
    # Made outside inference mode, so that any caller may use what is kept.
    with torch.inference_mode(False):
        white = torch.tensor(D65_WHITE, dtype=torch.float64)
        return (torch.tensor(XYZ_FROM_RGB, dtype=torch.float64) / white[:, None]).to(device)


def delta_e(reference: Tensor, other: Tensor) -> Tensor:
    """Return ΔE00 of two CIELAB pictures.

    Args:
        reference, other: float64 [..., 3, H, W].
    Returns: float64 [..., H, W], at least 0; symmetric.
    Source: Sharma et al. 2005, eqs. 2 to 22; k_L = k_C = k_H = 1.
    """
    l1, a1, b1 = reference.unbind(dim=-3)
    l2, a2, b2 = other.unbind(dim=-3)
    stretch = 1.5 - 0.5 * _chroma_root((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2)
    c1, h1 = _polar(stretch * a1, b1)
    c2, h2 = _polar(stretch * a2, b2)

    turn = h2 - h1
    turn = turn - 2 * math.pi * torch.sign(turn) * (turn.abs() > math.pi)
    hue_difference = 2 * torch.sqrt(c1 * c2) * torch.sin(turn / 2)
    # Where one of the two is grey the hue difference is 0 and the mean hue has no effect.
    mean_hue = h1 + turn / 2
    mean_chroma = (c1 + c2) / 2

    lightness_offset = ((l1 + l2) / 2 - 50).square()
    lightness = (l2 - l1) / (1 + 0.015 * lightness_offset / torch.sqrt(20 + lightness_offset))
    chroma = (c2 - c1) / (1 + 0.045 * mean_chroma)
    hue = hue_difference / (1 + 0.015 * mean_chroma * _hue_weight(mean_hue))
    rotation = _rotation(mean_hue, mean_chroma) * chroma * hue
    squared = lightness.square() + chroma.square() + hue.square() + rotation
    return squared.clamp_(min=0.0).sqrt_()


def _polar(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return chroma, and hue in [0, 2π)."""
    return torch.hypot(a, b), torch.remainder(torch.atan2(b, a), 2 * math.pi)


def _chroma_root(chroma: Tensor) -> Tensor:
    """Return √(C⁷ / (C⁷ + 25⁷))."""
    seventh = chroma.pow(7)
    return torch.sqrt(seventh / (seventh + _25_TO_7))


def _hue_weight(hue: Tensor) -> Tensor:
    """Return T (eq. 15)."""
    return (
        1.0
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )


def _rotation(hue: Tensor, chroma: Tensor) -> Tensor:
    """Return R_T (eqs. 16, 17, 21): blue's tilt of the chroma and hue axes."""
    degrees = torch.rad2deg(torch.remainder(hue, 2 * math.pi))
    tilt = math.radians(60) * torch.exp(-(((degrees - 275) / 25).square()))
    return -2 * _chroma_root(chroma) * torch.sin(tilt)
