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


def squared_error(reference: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the squared error of [N, 3, H, W], averaged over colours, as float64 [N, H, W]."""
    return (reconstruction.to(torch.float64) - reference).square_().mean(dim=1)


class _PerPixel(DescribedMetric):
    """A metric that averages an error per pixel; the reference is kept in float64."""

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the reference in float64."""
        check_pictures(reference)
        return reference.to(torch.float64)

    def compare(self, prepared: Tensor, reconstruction: Tensor, want_maps: bool) -> Result:
        """Return the pooled mean of the error map of each picture, and the maps."""
        check_pair(prepared.shape, reconstruction)
        maps = self.errors(prepared, reconstruction)
        means = picture_means(maps)
        values = means.new_tensor([self.pool(mean) for mean in means.tolist()])
        return Result(values, maps if want_maps else None)

    def errors(self, reference: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the error of every pixel, float64 [N, H, W]."""
        return squared_error(reference, reconstruction)


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


class MAE(_PerPixel):
    """Mean absolute error of RGB in [0, 1]. The map is the absolute error of each pixel."""

    def __init__(self) -> None:
        super().__init__(MAE_INFO)

    def errors(self, reference: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the absolute error of every pixel, float64 [N, H, W]."""
        return (reconstruction.to(torch.float64) - reference).abs_().mean(dim=1)
