"""The value of a metric over a part of a picture: a masked mean of its map, then pooled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base import Metric, MetricError


def regional(
    metric: Metric,
    maps: Tensor,
    index: int,
    box: tuple[int, int, int, int],
    mask: Tensor | NDArray[Any] | None = None,
) -> float:
    """Return a metric over one region of one picture.

    Args:
        metric: the metric that made `maps`; its `pool` turns the mean into the value.
        maps: float [N, H, W].
        index: which of the N pictures.
        box: x0, y0, x1, y1 in pixels of the map, end-exclusive.
        mask: bool [y1-y0, x1-x0], the pixels of the box that count; None for all of them.
    Raises: MetricError where the box leaves the map, or the mask is empty or of another shape.
    """
    height_px, width_px = maps.shape[-2:]
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width_px and 0 <= y0 < y1 <= height_px):
        raise MetricError(
            f"Box {list(box)} is empty or leaves the {width_px}×{height_px} px picture: "
            "x0, y0, x1, y1 must be pixels inside it, end-exclusive."
        )
    pixels = maps[index, y0:y1, x0:x1]
    if mask is not None:
        pixels = pixels[_chosen(mask, (y1 - y0, x1 - x0)).to(pixels.device)]
    return metric.pool(float(pixels.mean(dtype=torch.float64)))


def _chosen(mask: Tensor | NDArray[Any], shape: tuple[int, int]) -> Tensor:
    chosen = mask if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask, dtype=np.bool_))
    chosen = chosen.to(torch.bool)
    if tuple(chosen.shape) != shape:
        raise MetricError(
            f"Mask has shape {list(chosen.shape)}: its box needs {list(shape)} (rows, columns)."
        )
    if not bool(chosen.any()):
        raise MetricError("Mask is empty: at least one of its pixels must be true.")
    return chosen
