"""Multi-scale SSIM, after Wang, Simoncelli and Bovik, Asilomar 2003."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, check_side, groups
from .separable import Taps
from .ssim import BELL, WINDOW_PX, Moments, contrast_structure, luminance, moments

MS_SSIM_INFO: Final = colour_info("ms-ssim", "", True, "gauss11-5scale-rgb")

WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# pytorch-msssim normalises its window in float32, so that the taps sum to 1 - 3e-8. Over five
# scales that is seen at 1e-6: the same taps are taken here.
TAPS: Final[Taps] = tuple((torch.tensor(BELL) / torch.tensor(BELL).sum()).tolist())
SMALLEST_PX: Final = (WINDOW_PX - 1) * 2 ** (len(WEIGHTS) - 1) + 1


class MSSSIM(DescribedMetric):
    """MS-SSIM of RGB over five scales, each half the size of the one before.

    Where authors differ this follows pytorch-msssim: each scale is a 2×2 mean (an odd side is
    padded by zeros, counted in the mean), windows lie inside the picture, a negative mean is
    taken as 0, and the product over scales is made for each channel, then averaged. No map.
    """

    def __init__(self) -> None:
        super().__init__(MS_SSIM_INFO)

    @torch.no_grad()
    def prepare(self, reference: Tensor) -> tuple[torch.Size, list[list[Moments]]]:
        """Return the shape and, for each group of pictures, their moments at every scale.

        Raises: MetricUnavailable where a side is below 161 px.
        """
        check_pictures(reference)
        check_side("MS-SSIM", reference, SMALLEST_PX)
        return reference.shape, [
            [moments(rows, TAPS) for rows in _scales(reference[one])] for one in groups(reference)
        ]

    @torch.no_grad()
    def compare(
        self,
        prepared: tuple[torch.Size, list[list[Moments]]],
        reconstruction: Tensor,
        want_maps: bool,
    ) -> Result:
        """Return MS-SSIM of each picture; there are no maps.

        Raises: ShapeMismatch.
        """
        shape, references = prepared
        check_pair(shape, reconstruction)
        values = [
            _ms_ssim(reference, _scales(reconstruction[one]))
            for one, reference in zip(groups(reconstruction), references, strict=True)
        ]
        per_plane = torch.cat(values) if values else reconstruction.new_zeros(0)
        return Result(per_plane.view(-1, 3).mean(dim=1, dtype=torch.float64))


def _scales(pictures: Tensor) -> Iterator[Tensor]:
    """Yield the planes of [N, 3, H, W] at each scale, float64 [H, 3·N, W]."""
    planes = pictures.flatten(0, 1).to(torch.float64)
    for scale in range(len(WEIGHTS)):
        if scale:
            height_px, width_px = planes.shape[1:]
            padding_px = (height_px % 2, width_px % 2)
            planes = F.avg_pool2d(planes, kernel_size=2, padding=padding_px)
        yield planes.transpose(0, 1).contiguous()


def _ms_ssim(references: list[Moments], scales: Iterator[Tensor]) -> Tensor:
    """Return SSIM_M^β_M · Π cs_j^β_j over the scales j < M of each plane, [P] (eq. 7)."""
    product = references[0].mean.new_ones(references[0].mean.shape[1])
    for weight, reference, rows in zip(WEIGHTS, references, scales, strict=True):
        total = torch.zeros_like(product)
        for here, mean, structure in contrast_structure(reference, rows, TAPS):
            if reference is references[-1]:
                structure.mul_(luminance(reference, here, mean))
            total += structure.sum(dim=(0, 2))
        windows = reference.mean[:, 0].numel()
        product *= (total / windows).relu() ** weight
    return product
