"""FLIP, after Andersson et al., "FLIP: A Difference Evaluator for Alternating Images", HPG 2020."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base import MetricUnavailable, Result
from .info import DescribedMetric, colour_info
from .pictures import check_pair, check_pictures, picture_means

FLIP_INFO: Final = colour_info("flip", "", False, "ldr-67ppd-rgb")


class FLIP(DescribedMetric):
    """LDR-FLIP of sRGB pictures at 67 pixels per degree, computed by flip-evaluator on the CPU.

    67 ppd is that package's default: 0.7 m before a screen 0.7 m and 3840 px wide. The map is
    FLIP's own, in [0, 1]; the value is its mean.
    """

    def __init__(self) -> None:
        super().__init__(FLIP_INFO)
        try:
            import flip_evaluator
        except ImportError as error:
            raise MetricUnavailable(
                f"FLIP needs flip-evaluator: {error}. Run pip install flip-evaluator."
            ) from error
        self._evaluate: Any = flip_evaluator.evaluate

    def prepare(self, reference: Tensor) -> list[NDArray[np.float32]]:
        """Return each picture as float32 [H, W, 3], as the package reads them."""
        check_pictures(reference)
        return _interleaved(reference)

    def compare(
        self, prepared: list[NDArray[np.float32]], reconstruction: Tensor, want_maps: bool
    ) -> Result:
        """Return mean FLIP of each picture, and the maps.

        Raises: ShapeMismatch.
        """
        height_px, width_px = prepared[0].shape[:2] if prepared else reconstruction.shape[-2:]
        check_pair(torch.Size((len(prepared), 3, height_px, width_px)), reconstruction)
        maps = reconstruction.new_empty(len(prepared), height_px, width_px, dtype=torch.float32)
        pairs = zip(prepared, _interleaved(reconstruction), strict=True)
        for index, (reference, picture) in enumerate(pairs):
            error_map, _, _ = self._evaluate(
                reference, picture, "LDR", applyMagma=False, computeMeanError=False, parameters={}
            )
            maps[index] = torch.from_numpy(error_map[..., 0])
        return Result(picture_means(maps), maps if want_maps else None)


def _interleaved(pictures: Tensor) -> list[NDArray[np.float32]]:
    rows = pictures.detach().to("cpu", torch.float32).permute(0, 2, 3, 1).contiguous()
    return [picture.numpy() for picture in rows]
