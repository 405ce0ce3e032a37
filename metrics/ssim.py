"""Structural similarity, after Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004.

Everything is in float64: E[x²] - E[x]² cancels, and in float32 the rest is no longer small
against C2 = 0.0009 on flat or bright pictures. A separable sum of shifted slices is quicker in
float64 on a CPU than a grouped convolution in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, check_side, picture_means

SSIM_INFO: Final = colour_info("ssim", "", True, "gauss11-rgb")
SSIM_LUMA_INFO: Final = colour_info("ssim", "", True, "gauss11-luma")

RADIUS_PX: Final = 5
WINDOW_PX: Final = 2 * RADIUS_PX + 1
SIGMA_PX: Final = 1.5
C1: Final = 0.01**2
C2: Final = 0.03**2

Taps = tuple[float, ...]

BELL: Final = [math.exp(-((i - RADIUS_PX) ** 2) / (2 * SIGMA_PX**2)) for i in range(WINDOW_PX)]
GAUSSIAN: Final[Taps] = tuple(weight / math.fsum(BELL) for weight in BELL)

BT601: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Moments:
    """The window means of one side of a pair: pixels, E[x] and the variance E[x²] - E[x]²."""

    pixels: Tensor
    mean: Tensor
    variance: Tensor


def window_mean(pixels: Tensor, taps: Taps = GAUSSIAN) -> Tensor:
    """Return the Gaussian 11×11 mean of [..., H, W] where the window fits: [..., H-10, W-10]."""
    return _window_mean_along(_window_mean_along(pixels, -1, taps), -2, taps)


def _window_mean_along(pixels: Tensor, dim: int, taps: Taps) -> Tensor:
    length = pixels.shape[dim] - WINDOW_PX + 1
    total = pixels.narrow(dim, 0, length) * taps[0]
    for offset in range(1, WINDOW_PX):
        total.add_(pixels.narrow(dim, offset, length), alpha=taps[offset])
    return total


def moments(pixels: Tensor, taps: Taps = GAUSSIAN) -> Moments:
    """Return the window moments of float64 [..., H, W]."""
    mean = window_mean(pixels, taps)
    return Moments(pixels, mean, window_mean(pixels.square(), taps).sub_(mean.square()))


def similarity(x: Moments, y: Moments, taps: Taps = GAUSSIAN) -> tuple[Tensor, Tensor]:
    """Return luminance and contrast-structure terms of every window; SSIM is their product.

    Source: Wang et al. 2004, eqs. 6, 9, 10 with C3 = C2/2; K1 = 0.01, K2 = 0.03, L = 1.
    """
    product = x.mean * y.mean
    covariance = window_mean(x.pixels * y.pixels, taps).sub_(product)
    squares = x.mean.square().addcmul_(y.mean, y.mean)
    luminance = product.mul_(2).add_(C1).div_(squares.add_(C1))
    variances = x.variance + y.variance
    contrast_structure = covariance.mul_(2).add_(C2).div_(variances.add_(C2))
    return luminance, contrast_structure


def luma(pictures: Tensor) -> Tensor:
    """Return the BT.601 luma 0.299 R + 0.587 G + 0.114 B of [N, 3, H, W] as [N, 1, H, W]."""
    red, green, blue = pictures.split(1, dim=-3)
    return BT601[0] * red + BT601[1] * green + BT601[2] * blue


def symmetric_pad(pixels: Tensor) -> Tensor:
    """Mirror the outer 5 px of [..., H, W], the edge pixel repeated (c b a | a b c)."""
    for dim in (-1, -2):
        length = pixels.shape[dim]
        head = pixels.narrow(dim, 0, RADIUS_PX).flip(dim)
        tail = pixels.narrow(dim, length - RADIUS_PX, RADIUS_PX).flip(dim)
        pixels = torch.cat([head, pixels, tail], dim)
    return pixels


class SSIM(DescribedMetric):
    """SSIM with a Gaussian 11×11 window, σ 1.5, data range 1, of RGB or of BT.601 luma.

    The map [N, H, W] is the mean of the channels' maps, its border windows completed by symmetric
    padding. The picture's value averages only the windows inside the picture, 5 px in from the
    border, as scikit-image does with `gaussian_weights=True, use_sample_covariance=False`. A
    region's value averages the map over the region.
    """

    def __init__(self, of_luma: bool = False) -> None:
        super().__init__(SSIM_LUMA_INFO if of_luma else SSIM_INFO)
        self._of_luma = of_luma

    def prepare(self, reference: Tensor) -> tuple[torch.Size, list[list[Moments]]]:
        """Return the shape and, for each picture, the moments of each of its planes.

        Raises: MetricUnavailable where a side is below 11 px.
        """
        check_pictures(reference)
        check_side("SSIM", reference, WINDOW_PX)
        return reference.shape, [list(map(_padded_moments, self._planes(x))) for x in reference]

    def compare(
        self,
        prepared: tuple[torch.Size, list[list[Moments]]],
        reconstruction: Tensor,
        want_maps: bool,
    ) -> Result:
        """Return SSIM of each picture, and the maps.

        Raises: ShapeMismatch.
        """
        shape, references = prepared
        check_pair(shape, reconstruction)
        maps = reconstruction.new_zeros(len(references), *shape[2:], dtype=torch.float64)
        # One plane at a time: its float64 temporaries stay in the processor's cache.
        for total, planes, picture in zip(maps, references, reconstruction, strict=True):
            for reference, plane in zip(planes, self._planes(picture), strict=True):
                luminance, contrast_structure = similarity(reference, _padded_moments(plane))
                total += luminance.mul_(contrast_structure)
            total /= len(planes)
        inner = slice(RADIUS_PX, -RADIUS_PX)
        return Result(picture_means(maps[:, inner, inner]), maps if want_maps else None)

    def _planes(self, picture: Tensor) -> Tensor:
        """Return the [C, H, W] planes that are compared."""
        pixels = picture.to(torch.float64)
        return luma(pixels) if self._of_luma else pixels


def _padded_moments(plane: Tensor) -> Moments:
    return moments(symmetric_pad(plane))
