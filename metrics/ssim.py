"""Structural similarity, after Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004.

Everything is in float64: E[x²] - E[x]² cancels, and in float32 the rest is no longer small
against C2 = 0.0009 on flat or bright pictures. Planes stand side by side, [H, P, W], and go
through the formula a band of rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from .base import Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, check_side, groups, picture_means
from .separable import Taps, blocks, correlate

SSIM_INFO: Final = colour_info("ssim", "", True, "gauss11-rgb")
SSIM_LUMA_INFO: Final = colour_info("ssim", "", True, "gauss11-luma")

RADIUS_PX: Final = 5
WINDOW_PX: Final = 2 * RADIUS_PX + 1
SIGMA_PX: Final = 1.5
C1: Final = 0.01**2
C2: Final = 0.03**2

BELL: Final = [math.exp(-((i - RADIUS_PX) ** 2) / (2 * SIGMA_PX**2)) for i in range(WINDOW_PX)]
GAUSSIAN: Final[Taps] = tuple(weight / math.fsum(BELL) for weight in BELL)

BT601: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Moments:
    """The reference's side of every 11×11 window, as the formulas want it.

    `doubled` is 2x, float64 [H, P, W]; `mean` is E[x], `brightness` E[x]² + C1 and `spread`
    E[x²] - E[x]² + C2, all [H-10, P, W-10].
    """

    doubled: Tensor
    mean: Tensor
    brightness: Tensor
    spread: Tensor


def moments(rows: Tensor, taps: Taps = GAUSSIAN) -> Moments:
    """Return the window moments of float64 [H, P, W]; `rows` is used up."""
    height_px, planes, width_px = rows.shape
    shape = height_px - WINDOW_PX + 1, planes, width_px - WINDOW_PX + 1
    mean, brightness, spread = (rows.new_empty(shape) for _ in range(3))
    for here, terms in _bands(rows, 2):
        torch.mul(terms[:, :planes], terms[:, :planes], out=terms[:, planes:])
        first, square = correlate(terms, taps, taps).chunk(2, dim=1)
        mean[here] = first
        torch.add(square.addcmul_(first, first, value=-1), C2, out=spread[here])
        torch.mul(first, first, out=brightness[here]).add_(C1)
    return Moments(rows.mul_(2), mean, brightness, spread)


def contrast_structure(
    reference: Moments, rows: Tensor, taps: Taps = GAUSSIAN
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield, for each band of rows, the mean E[y] and the contrast-structure term of its windows.

    Source: Wang et al. 2004, eqs. 9 and 10 with C3 = C2/2; K2 = 0.03, L = 1.
    """
    planes = rows.shape[1]
    # Added before the window instead of after it, in the same pass as the product.
    constant = rows.new_full((), C2 / math.fsum(taps) ** 2)
    for here, terms in _bands(rows, 3):
        y, square, product = terms.split(planes, dim=1)
        torch.mul(y, y, out=square)
        x = reference.doubled[here.start : here.start + len(y)]
        torch.addcmul(constant, y, x, out=product)
        mean, square, product = correlate(terms, taps, taps).split(planes, dim=1)
        # Twice the covariance, over the sum of the variances.
        product.addcmul_(reference.mean[here], mean, value=-2)
        square.addcmul_(mean, mean, value=-1).add_(reference.spread[here])
        yield here, mean, product.div_(square)


def _bands(rows: Tensor, kinds: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield bands of windows, and [H, kinds·P, W] whose first P planes are the rows they need.

    The others are left to be filled; the next band takes their place.
    """
    height_px, planes, width_px = rows.shape
    step = min(_band_px(rows.device), height_px)
    buffer = rows.new_empty(step + WINDOW_PX - 1, kinds * planes, width_px)
    for start, stop in blocks(height_px - WINDOW_PX + 1, step):
        terms = buffer[: stop - start + WINDOW_PX - 1]
        terms[:, :planes] = rows[start : stop + WINDOW_PX - 1]
        yield slice(start, stop), terms


def _band_px(device: torch.device) -> int:
    """Return the rows of a band.

    On a CPU few enough that its dozen planes stay near the processor, and enough that threads
    seldom wait for one another; on a GPU as many as its memory surely holds.
    """
    return 192 if device.type == "cpu" else 2048


def luminance(reference: Moments, here: slice, mean: Tensor) -> Tensor:
    """Return the luminance term of a band's windows of mean E[y] (eq. 6; K1 = 0.01, L = 1)."""
    products = torch.addcmul(mean.new_full((), C1), reference.mean[here], mean, value=2)
    return products.div_(torch.addcmul(reference.brightness[here], mean, mean))


def luma(pictures: Tensor) -> Tensor:
    """Return the BT.601 luma 0.299 R + 0.587 G + 0.114 B of [N, 3, H, W] as [N, 1, H, W]."""
    red, green, blue = pictures.split(1, dim=-3)
    return BT601[0] * red + BT601[1] * green + BT601[2] * blue


def padded_rows(pictures: Tensor) -> Tensor:
    """Return [N, C, H, W] as float64 [H+10, N·C, W+10], the outer 5 px mirrored.

    The edge pixel is repeated: c b a | a b c.
    """
    planes = pictures.flatten(0, 1).transpose(0, 1)
    height_px, count, width_px = planes.shape
    margin = 2 * RADIUS_PX
    rows = planes.new_empty(height_px + margin, count, width_px + margin, dtype=torch.float64)
    rows[RADIUS_PX:-RADIUS_PX, :, RADIUS_PX:-RADIUS_PX] = planes
    for along in (rows, rows.transpose(0, 2)):
        along[:RADIUS_PX] = along[RADIUS_PX:margin].flip(0)
        along[-RADIUS_PX:] = along[-margin:-RADIUS_PX].flip(0)
    return rows


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

    @torch.no_grad()
    def prepare(self, reference: Tensor) -> tuple[torch.Size, list[Moments]]:
        """Return the shape and, for each group of pictures, the moments of their planes.

        Raises: MetricUnavailable where a side is below 11 px.
        """
        check_pictures(reference)
        check_side("SSIM", reference, WINDOW_PX)
        return reference.shape, [moments(self._rows(reference[one])) for one in groups(reference)]

    @torch.no_grad()
    def compare(
        self, prepared: tuple[torch.Size, list[Moments]], reconstruction: Tensor, want_maps: bool
    ) -> Result:
        """Return SSIM of each picture, and the maps.

        Raises: ShapeMismatch.
        """
        shape, references = prepared
        check_pair(shape, reconstruction)
        maps = reconstruction.new_empty(shape[0], *shape[2:], dtype=torch.float64)
        for one, reference in zip(groups(reconstruction), references, strict=True):
            pictures = reconstruction[one]
            by_row = maps[one].transpose(0, 1)
            for here, mean, structure in contrast_structure(reference, self._rows(pictures)):
                planes = luminance(reference, here, mean).mul_(structure)
                by_row[here] = planes.unflatten(1, (len(pictures), -1)).mean(dim=2)
        inner = slice(RADIUS_PX, -RADIUS_PX)
        return Result(picture_means(maps[:, inner, inner]), maps if want_maps else None)

    def _rows(self, pictures: Tensor) -> Tensor:
        """Return the planes that are compared, [H+10, P, W+10]."""
        return padded_rows(luma(pictures.to(torch.float64)) if self._of_luma else pictures)
