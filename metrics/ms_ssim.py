"""Multi-scale SSIM, after Wang, Simoncelli and Bovik, Asilomar 2003."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, check_side
from .ssim import BELL, WINDOW_PX, Moments, Taps, moments, similarity

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

    def prepare(self, reference: Tensor) -> tuple[torch.Size, list[list[list[Moments]]]]:
        """Return the shape and, for each plane of each picture, the moments at every scale.

        Raises: MetricUnavailable where a side is below 161 px.
        """
        check_pictures(reference)
        check_side("MS-SSIM", reference, SMALLEST_PX)
        return reference.shape, [[_pyramid(plane) for plane in picture] for picture in reference]

    def compare(
        self,
        prepared: tuple[torch.Size, list[list[list[Moments]]]],
        reconstruction: Tensor,
        want_maps: bool,
    ) -> Result:
        """Return MS-SSIM of each picture; there are no maps.

        Raises: ShapeMismatch.
        """
        shape, references = prepared
        check_pair(shape, reconstruction)
        values = [
            torch.stack([_ms_ssim(x, _pyramid(y)) for x, y in zip(planes, picture, strict=True)])
            for planes, picture in zip(references, reconstruction, strict=True)
        ]
        per_plane = torch.stack(values) if values else reconstruction.new_zeros(0, 3)
        return Result(per_plane.mean(dim=1, dtype=torch.float64))


def _pyramid(plane: Tensor) -> list[Moments]:
    pixels = plane.to(torch.float64)
    scales = [moments(pixels, TAPS)]
    for _ in WEIGHTS[1:]:
        height_px, width_px = pixels.shape
        padding_px = (height_px % 2, width_px % 2)
        pixels = F.avg_pool2d(pixels[None], kernel_size=2, padding=padding_px)[0]
        scales.append(moments(pixels, TAPS))
    return scales


def _ms_ssim(reference: list[Moments], reconstruction: list[Moments]) -> Tensor:
    """Return SSIM_M^β_M · Π cs_j^β_j over the scales j < M of one plane (eq. 7)."""
    product = reference[0].mean.new_ones(())
    for scale, weight in enumerate(WEIGHTS):
        luminance, contrast_structure = similarity(reference[scale], reconstruction[scale], TAPS)
        last = scale == len(WEIGHTS) - 1
        terms = luminance * contrast_structure if last else contrast_structure
        product = product * terms.mean().relu() ** weight
    return product
