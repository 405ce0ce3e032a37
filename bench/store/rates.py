"""What a set of pictures costs: a rate of a set from those of its pictures. Pure."""

from __future__ import annotations

import math

import numpy as np

from ..records import RATIOS


def rate_of_set(metric: str, values: np.ndarray, pixels: np.ndarray) -> float:
    """Return a set's rate; NaN where no picture has one.

    Bits per pixel are the pictures' mean, each counting alike. A ratio is everything raw over
    everything stored: Σ pixels / Σ (pixels / ratio), as a picture's raw size is so much a pixel.
    The mean of the pictures' ratios would be larger, however they differ.

    Args:
        metric: of RATES. values: float [n], a picture's rate each, NaN where it has none.
        pixels: [n], how many each picture has.
    """
    known = np.isfinite(values)
    if not known.any():
        return math.nan
    if metric not in RATIOS:
        return float(values[known].mean())
    counted = pixels[known]
    return float(counted.sum() / (counted / values[known]).sum())
