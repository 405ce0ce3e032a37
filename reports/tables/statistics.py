"""Statistics of one metric over a set of pictures, exact about +inf."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .columns import Column

WORST_SHARE = 0.05


def quantile(values: np.ndarray, share: float) -> float:
    """Return the linearly interpolated quantile; NaN where there are no values.

    Between a finite value and +inf there is no middle: anything past the finite one is +inf.
    Source: Hyndman and Fan (1996), definition 7, numpy's default, which gives NaN there.
    """
    ordered = np.sort(values)
    if not ordered.size:
        return math.nan
    place = share * (ordered.size - 1)
    low = math.floor(place)
    fraction = place - low
    if fraction == 0 or ordered[low] == ordered[low + 1]:
        return float(ordered[low])
    if math.isinf(ordered[low + 1]) or math.isinf(ordered[low]):
        return float(ordered[low + 1] if math.isinf(ordered[low + 1]) else ordered[low])
    return float(ordered[low] + fraction * (ordered[low + 1] - ordered[low]))


def finite_mean(values: np.ndarray) -> float:
    """Return the mean of the finite values; NaN where there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def pooled_psnr(psnr_db: np.ndarray, pixels: np.ndarray) -> float:
    """Return the PSNR in dB of the squared error pooled over all pixels of a set.

    Args:
        psnr_db: PSNR of each picture, +inf where identical. pixels: how many it has.
    Source: 10·log10(1/MSE) of MSE = Σ pixels·10^(-PSNR/10) / Σ pixels; +inf if all identical.
    """
    if not psnr_db.size:
        return math.nan
    with np.errstate(over="ignore"):
        mse = float(np.average(np.power(10.0, -psnr_db / 10), weights=pixels))
    return math.inf if mse == 0 else -10 * math.log10(mse)


def describe(values: pd.Series, column: Column, pixels: pd.Series) -> dict[str, float | str]:
    """Return the statistics of one metric of one codec.

    Args:
        values: a value a picture, indexed by image_id; NaN where unavailable. pixels: same index.
    Returns: pictures (how many have a value); mean, which is inf as soon as one value is;
        infinite (how many are), mean of the finite; median; worst 5 % (the 5th percentile of a
        metric whose higher values are better, otherwise the 95th: a twentieth of the pictures is
        that bad or worse); worst, worst picture; for PSNR also pooled-MSE PSNR.
    """
    known = values.dropna()
    array = known.to_numpy(dtype=np.float64)
    higher = bool(column.higher_is_better)
    row: dict[str, float | str] = {
        "pictures": float(array.size),
        "mean": float(array.mean()) if array.size else math.nan,
        "infinite": float(np.isinf(array).sum()),
        "mean of the finite": finite_mean(array),
        "median": quantile(array, 0.5),
        "worst 5 %": quantile(array, WORST_SHARE if higher else 1 - WORST_SHARE),
        "worst": float(array.min() if higher else array.max()) if array.size else math.nan,
        "worst picture": "",
    }
    if array.size:
        place = int(array.argmin() if higher else array.argmax())
        row["worst picture"] = str(known.index[place])
    if column.metric == "psnr":
        weights = pixels.reindex(known.index).to_numpy(dtype=np.float64)
        row["pooled-MSE PSNR"] = pooled_psnr(array, weights)
    return row
