"""Checks and means that every metric applies to its batches of pictures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .base import MetricUnavailable, ShapeMismatch


def check_pictures(pictures: Tensor) -> None:
    """Raise ShapeMismatch unless `pictures` is a floating-point [N, 3, H, W] with H, W > 0."""
    shape = tuple(pictures.shape)
    if len(shape) != 4 or shape[1] != 3 or 0 in shape[2:]:
        raise ShapeMismatch(f"Pictures must have shape [N, 3, H, W]: got {list(shape)}.")
    if not pictures.is_floating_point():
        raise ShapeMismatch(
            f"Pictures must be floating point in [0, 1]: got {pictures.dtype}. Divide by 255."
        )


def check_pair(reference_shape: torch.Size, reconstruction: Tensor) -> None:
    """Raise ShapeMismatch unless the reconstruction is pictures of the reference's shape."""
    check_pictures(reconstruction)
    if reconstruction.shape != reference_shape:
        raise ShapeMismatch(
            f"Reconstruction has shape {list(reconstruction.shape)}, "
            f"its reference {list(reference_shape)}: they must be equal."
        )


def check_side(metric: str, pictures: Tensor, smallest_px: int) -> None:
    """Raise MetricUnavailable where a side of the pictures is below `smallest_px`."""
    height_px, width_px = pictures.shape[-2:]
    if min(height_px, width_px) < smallest_px:
        raise MetricUnavailable(
            f"{metric} needs pictures of at least {smallest_px}×{smallest_px} px: "
            f"got {width_px}×{height_px} px."
        )


def groups(pictures: Tensor) -> Iterator[slice]:
    """Yield which pictures of a batch go through a metric together.

    One at a time on a CPU: its terms stay near the processor, memory does not grow with the
    batch, and a picture's value cannot depend on its neighbours. All together on a GPU, where
    the launches of small pictures would take longer than their sums.
    """
    step = 1 if pictures.device.type == "cpu" else max(1, len(pictures))
    for start in range(0, len(pictures), step):
        yield slice(start, start + step)


def picture_means(maps: Tensor) -> Tensor:
    """Return the float64 mean of each picture of [N, ...], as [N].

    One reduction for each picture: the order of summation, hence the last bit, then does not
    depend on how many pictures share the batch.
    """
    means = [picture.mean(dtype=torch.float64) for picture in maps]
    return torch.stack(means) if means else maps.new_zeros(0, dtype=torch.float64)
