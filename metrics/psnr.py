"""Errors per pixel: PSNR, MSE and MAE."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, picture_means

PSNR_INFO: Final = colour_info("psnr", "dB", True, "rgb")
MSE_INFO: Final = colour_info("mse", "", False, "rgb")
MAE_INFO: Final = colour_info("mae", "", False, "rgb")


def decibels(mse: float) -> float:
    """Return 10·log10(1/mse) of pictures in [0, 1]; +inf for 0, never capped.

    Source: ITU-T J.340, with MAX = 1.
    """
    return -10.0 * math.log10(mse) if mse > 0.0 else math.inf


class _PerPixel(DescribedMetric):
    """A metric that averages an error per pixel; the reference is kept in float64."""

    @torch.no_grad()
    def prepare(self, reference: Tensor) -> Tensor:
        """Return the reference in float64."""
        check_pictures(reference)
        return reference.to(torch.float64)

    @torch.no_grad()
    def compare(self, prepared: Tensor, reconstruction: Tensor, want_maps: bool) -> Result:
        """Return the pooled mean of the error map of each picture, and the maps.

        Raises: ShapeMismatch.
        """
        check_pair(prepared.shape, reconstruction)
        maps = torch.zeros_like(prepared[:, 0])
        # Channel by channel: three planes of float64 at once leave a processor's cache.
        for reference, channel in zip(prepared.unbind(1), reconstruction.unbind(1), strict=True):
            self.add_error(maps, channel.to(torch.float64) - reference)
        maps /= prepared.shape[1]
        return Result(self.pooled(picture_means(maps)), maps if want_maps else None)

    def add_error(self, total: Tensor, difference: Tensor) -> None:
        """Add the squared error of one channel, float64 [N, H, W], to `total`."""
        total.addcmul_(difference, difference)

    def pooled(self, means: Tensor) -> Tensor:
        """Return `pool` of every mean, on the device where they are."""
        return means


class MSE(_PerPixel):
    """Mean squared error of RGB in [0, 1]. The map is the squared error of each pixel."""

    def __init__(self) -> None:
        super().__init__(MSE_INFO)


class PSNR(_PerPixel):
    """Peak signal-to-noise ratio in dB: 10·log10(1/MSE), +inf where identical.

    The map is the squared error: a region's PSNR is that of its mean squared error.
    """

    def __init__(self) -> None:
        super().__init__(PSNR_INFO)

    def pool(self, mean: float) -> float:
        """Return the PSNR of a mean squared error, in dB."""
        return decibels(mean)

    def pooled(self, means: Tensor) -> Tensor:
        """Return the PSNR of every mean squared error, in dB."""
        return means.log10().mul_(-10)


class MAE(_PerPixel):
    """Mean absolute error of RGB in [0, 1]. The map is the absolute error of each pixel."""

    def __init__(self) -> None:
        super().__init__(MAE_INFO)

    def add_error(self, total: Tensor, difference: Tensor) -> None:
        """Add the absolute error of one channel, float64 [N, H, W], to `total`."""
        total.add_(difference.abs_())
