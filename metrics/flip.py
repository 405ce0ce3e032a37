"""FLIP, after Andersson et al., "FLIP: A Difference Evaluator for Alternating Images", HPG 2020."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, groups, picture_means
from .separable import Taps, correlate

FLIP_INFO: Final = colour_info("flip", "", False, "ldr-67ppd-rgb")

# 0.7 m before a screen of 3840 px and 0.7 m: pixels per degree of the field of view.
PIXELS_PER_DEGREE: Final = 3840 * math.pi / 180

# Section 4.1.1, Table 1: a and b of the contrast sensitivity's Gaussians a·√(π/b)·exp(-π²x²/b).
ACHROMATIC: Final = ((1.0, 0.0047),)
RED_GREEN: Final = ((1.0, 0.0053),)
BLUE_YELLOW: Final = ((34.1, 0.04), (13.5, 0.025))
SPATIAL_RADIUS_PX: Final = math.ceil(3 * math.sqrt(0.04 / (2 * math.pi**2)) * PIXELS_PER_DEGREE)

# Section 4.1.3: the exponent of the colour difference, and the part of its range, up to p_c of
# the largest, that is stretched to p_t.
COLOUR_EXPONENT: Final = 0.7
P_C: Final = 0.4
P_T: Final = 0.95

# Section 4.2: the width of the feature detectors in degrees, and the exponent of their difference.
FEATURE_DEGREES: Final = 0.082
FEATURE_EXPONENT: Final = 0.5

# Linear sRGB to X, Y, Z as the chromaticities of its primaries and of D65 give them, in whole
# numbers. Each row divided by its sum is the ratio to white, so that grey has no colour at all.
XYZ_FROM_RGB: Final = (
    (10135552, 8788810, 4435075),
    (2613072, 8788810, 887015),
    (1425312, 8788810, 70074185),
)
# Luminance, red-green and blue-yellow opponents of X, Y, Z over white: YCxCz but for factors
# that the way back to RGB takes out again.
OPPONENTS: Final = ((0.0, 1.0, 0.0), (1.0, -1.0, 0.0), (0.0, 1.0, -1.0))

LAB_BEND: Final = (6 / 29) ** 3


@dataclass(frozen=True)
class Seen:
    """What the eye of the model keeps of pictures: Hunt-adjusted CIELAB, and two features.

    `lab` is [3, H, N, W]; `edges` and `points`, the magnitudes of the first and second
    derivatives of luminance, are [H, N, W].
    """

    lab: Tensor
    edges: Tensor
    points: Tensor


class FLIP(DescribedMetric):
    """LDR-FLIP of sRGB pictures at 67 pixels per degree. The map, in [0, 1], is FLIP's own.

    67 ppd is the authors' default: 0.7 m before a screen 0.7 m and 3840 px wide. The value is the
    mean of the map. Follows the authors' flip-evaluator 1.7, whose calls cannot keep the
    reference's half: values of photographs agree to 1e-7, those of any picture to 2e-5 (1 px: the
    mean of a map is then the map's own error), maps to 1e-6 on average and to 1e-4 everywhere. The
    last is rounding to float32 where colours are all but equal, magnified by the exponents: the
    same formula in float64 is as far from that package.
    """

    def __init__(self) -> None:
        super().__init__(FLIP_INFO)

    @torch.no_grad()
    def prepare(self, reference: Tensor) -> tuple[torch.Size, list[Seen]]:
        """Return the shape and, for each group of pictures, what is seen of them."""
        check_pictures(reference)
        return reference.shape, [seen(reference[one]) for one in groups(reference)]

    @torch.no_grad()
    def compare(
        self, prepared: tuple[torch.Size, list[Seen]], reconstruction: Tensor, want_maps: bool
    ) -> Result:
        """Return mean FLIP of each picture, and the maps.

        Raises: ShapeMismatch.
        """
        shape, references = prepared
        check_pair(shape, reconstruction)
        maps = reconstruction.new_empty(shape[0], *shape[2:], dtype=torch.float32)
        for one, reference in zip(groups(reconstruction), references, strict=True):
            error = flip_error(reference, seen(reconstruction[one]))
            maps[one] = error.transpose(0, 1)
        return Result(picture_means(maps), maps if want_maps else None)


def seen(pictures: Tensor) -> Seen:
    """Return what is seen of sRGB pictures [N, 3, H, W] (Sections 4.1.1, 4.1.2 and 4.2.1)."""
    colours = _colours(pictures.device)
    rgb = pictures.permute(1, 2, 0, 3).to(colours.to_white.dtype).clamp(0, 1)
    luminance, red_green, blue_yellow = _mixed(colours.to_opponents, linear(rgb))
    filtered = torch.stack(
        [
            _sum_filtered(luminance, ACHROMATIC),
            _sum_filtered(red_green, RED_GREEN),
            _sum_filtered(blue_yellow, BLUE_YELLOW),
        ]
    )
    displayed = _mixed(colours.from_opponents, filtered).clamp_(0, 1)
    return Seen(hunt_lab(_mixed(colours.to_white, displayed)), *features(luminance))


def linear(encoded: Tensor) -> Tensor:
    """Return linear light of sRGB in [0, 1] (IEC 61966-2-1)."""
    curve = encoded.add(0.055).div_(1.055).pow_(2.4)
    return torch.where(encoded <= 0.04045, encoded / 12.92, curve)


def hunt_lab(ratios: Tensor) -> Tensor:
    """Return CIELAB of X, Y, Z over white [3, ...], its a* and b* times L*/100 (eq. 3)."""
    x, y, z = torch.where(
        ratios > LAB_BEND, ratios.pow(1 / 3), ratios * (841 / 108) + 4 / 29
    ).unbind(0)
    lightness = 116 * y - 16
    hunt = 0.01 * lightness
    return torch.stack([lightness, 500 * (x - y) * hunt, 200 * (y - z) * hunt])


def features(luminance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the magnitudes of edges and points of luminance [H, N, W] (Section 4.2.1)."""
    bell, slope, bend = _detectors()
    padded = _clamped_edges(luminance, len(bell) // 2)

    def magnitude(taps: Taps) -> Tensor:
        return torch.hypot(correlate(padded, bell, taps), correlate(padded, taps, bell))

    return magnitude(slope), magnitude(bend)


def flip_error(reference: Seen, other: Seen) -> Tensor:
    """Return the error map [H, N, W], in [0, 1]: colour^(1 - feature) (eq. 8)."""
    edges = (reference.edges - other.edges).abs_()
    points = (reference.points - other.points).abs_()
    feature = torch.maximum(edges, points).mul_(1 / math.sqrt(2)).pow_(FEATURE_EXPONENT)
    return colour_difference(reference.lab, other.lab).pow_(1 - feature)


def colour_difference(reference: Tensor, other: Tensor) -> Tensor:
    """Return HyAB of [3, ...] raised to 0.7 and mapped to [0, 1] (eqs. 4 to 6)."""
    lightness, a, b = (reference - other).unbind(0)
    power = lightness.abs().add_(torch.hypot(a, b)).pow_(COLOUR_EXPONENT)
    largest = _largest_difference()
    knee = P_C * largest
    above = (power - knee).mul_((1 - P_T) / (largest - knee)).add_(P_T)
    return torch.where(power < knee, power * (P_T / knee), above)


def _sum_filtered(plane: Tensor, gaussians: Sequence[tuple[float, float]]) -> Tensor:
    """Return a plane [H, N, W] under a contrast sensitivity: a sum of separable Gaussians."""
    padded = _clamped_edges(plane, SPATIAL_RADIUS_PX)
    parts = [correlate(padded, taps, taps) for taps in _sensitivity(gaussians)]
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def _sensitivity(gaussians: Sequence[tuple[float, float]]) -> list[Taps]:
    """Return each Gaussian's taps, so that the sum of their outer squares has the sum 1."""
    places = [i / PIXELS_PER_DEGREE for i in range(-SPATIAL_RADIUS_PX, SPATIAL_RADIUS_PX + 1)]
    bells = [
        [
            math.sqrt(a * math.sqrt(math.pi / b)) * math.exp(-((math.pi * x) ** 2) / b)
            for x in places
        ]
        for a, b in gaussians
    ]
    total = math.sqrt(math.fsum(math.fsum(bell) ** 2 for bell in bells))
    return [tuple(weight / total for weight in bell) for bell in bells]


def _detectors() -> tuple[Taps, Taps, Taps]:
    """Return a Gaussian and its first and second derivative, each sign's taps of the sum ±1."""
    sigma_px = 0.5 * FEATURE_DEGREES * PIXELS_PER_DEGREE
    radius_px = math.ceil(3 * sigma_px)
    places = range(-radius_px, radius_px + 1)
    bell = [math.exp(-((x / sigma_px) ** 2) / 2) for x in places]
    slope = [-x * weight for x, weight in zip(places, bell, strict=True)]
    bend = [((x / sigma_px) ** 2 - 1) * weight for x, weight in zip(places, bell, strict=True)]
    return _unit(bell), _unit(slope), _unit(bend)


def _unit(taps: Sequence[float]) -> Taps:
    above = math.fsum(tap for tap in taps if tap > 0)
    below = -math.fsum(tap for tap in taps if tap < 0)
    return tuple(tap / (above if tap > 0 else below) if tap else 0.0 for tap in taps)


def _clamped_edges(plane: Tensor, margin_px: int) -> Tensor:
    """Return [H, N, W] with its outermost rows and columns repeated `margin_px` times."""
    across = F.pad(plane, (margin_px, margin_px), mode="replicate")
    return torch.cat(
        [across[:1].expand(margin_px, -1, -1), across, across[-1:].expand(margin_px, -1, -1)]
    )


def _mixed(matrix: Tensor, colours: Tensor) -> Tensor:
    """Return a 3×3 matrix times colours [3, ...]."""
    return torch.mm(matrix, colours.flatten(1)).view_as(colours)


@dataclass(frozen=True)
class _Colours:
    """Matrices of linear sRGB: to X, Y, Z over white, to opponents, and back."""

    to_white: Tensor
    to_opponents: Tensor
    from_opponents: Tensor


@lru_cache(maxsize=8)
def _colours(device: torch.device) -> _Colours:
    # On a GPU float32 products may be made in TF32, whose 10 bits of mantissa would be seen.
    dtype = torch.float32 if device.type == "cpu" else torch.float64
    # Made outside inference mode, so that any caller may use what is kept.
    with torch.inference_mode(False):
        rows = torch.tensor(XYZ_FROM_RGB, dtype=torch.float64)
        to_white = rows / rows.sum(1, keepdim=True)
        to_opponents = torch.tensor(OPPONENTS, dtype=torch.float64) @ to_white
        matrices = to_white, to_opponents, torch.linalg.inv(to_opponents)
        return _Colours(*(matrix.to(device, dtype) for matrix in matrices))


@lru_cache(maxsize=1)
def _largest_difference() -> float:
    """Return the colour difference of green and blue, the largest in sRGB, to the power 0.7."""
    green, blue = hunt_lab(_colours(torch.device("cpu")).to_white[:, 1:].double()).unbind(1)
    lightness, a, b = (green - blue).abs().tolist()
    return (lightness + math.hypot(a, b)) ** COLOUR_EXPONENT
