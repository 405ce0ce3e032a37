"""What the latents of a run are like: channels, their correlation, posterior, scale, headroom.

Each picture's moments are in its part, and are merged at the end in the order of run.json: no
batch, no order of scoring and no kill in between plays a part. A value counts as far out by the
mean and deviation of its channel over the whole set, which are known only then, so that share takes
the latents that a run keeps (`--keep all`). Latents are raw, and those of padding are counted:
padding up to a multiple of the spatial factor leaves no position without a pixel of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..store.parts import LatentMoments, Part
from ..store.record import LatentSummary, RunRecord
from ..store.run import picture_path
from ..store.tables import LATENT_COLUMNS, write_latents

OUTLIER_STDS = 4.0
DEAD_SHARE = 0.1
"""A channel is dead whose standard deviation is below this share of the median channel's."""
FP16_MAX = 65504.0

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of a codec's latents: values to a channel, means [C], scatter [C, C], least and greatest [C].

    `scatter` is the sum over positions of the outer product of the deviations from the mean;
    `kl_nats` [C] the sum of each channel's divergence from the unit Gaussian, None where the
    encoder gave no posterior of some picture. `noise` is the sum of the posterior's variances over
    all values, which a sample has beyond its mode; None where the latents are not its mode.
    """

    count: int
    mean: Values
    scatter: Values
    low: Values
    high: Values
    kl_nats: Values | None = None
    pictures: int = 1
    noise: float | None = None


@dataclass(frozen=True)
class LatentHealth:
    """A codec's latents over a set; deviations are divided by the count, not the count less one.

    Of each channel: `mean`, `std`, `low`, `high`, `share_outside` (beyond ±4 std of the mean; None
    where not all latents were kept), `is_dead`, `kl_nats` (mean per element), all [C];
    `correlation` [C, C] is NaN where a channel is constant. `eigenvalues` [C] are the covariance's,
    falling. `all_mean` and `all_std` are over all values of all channels; `noise` is the mean
    variance of the posterior, 0 where the latents are no posterior's mode.
    """

    pictures: int
    count: int
    mean: Values
    std: Values
    low: Values
    high: Values
    share_outside: Values | None
    is_dead: NDArray[np.bool_]
    correlation: Values
    eigenvalues: Values
    kl_nats: Values | None
    all_mean: float
    all_std: float
    noise: float = 0.0

    @property
    def effective_channels(self) -> float | None:
        """The participation ratio (Σλ)²/Σλ² of the covariance's eigenvalues; None without spread.

        1 where one direction has all variance, C where all have the same. Source: Gao et al. 2017,
        A theory of multineuronal dimensionality, dynamics and measurement.
        """
        squares = float((self.eigenvalues**2).sum())
        return float(self.eigenvalues.sum()) ** 2 / squares if squares > 0 else None

    @property
    def suggested_scaling_factor(self) -> float | None:
        """1 / std of samples of all latents, which gives them unit variance; None without spread.

        A sample's variance is that of the mode and the posterior's: √(var(mode) + mean(std²)).
        Source: Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models,
        appendix G: the encoder's output is sampled.
        """
        sampled = math.sqrt(self.all_std**2 + self.noise)
        return 1 / sampled if sampled > 0 else None

    @property
    def max_abs(self) -> float:
        """The largest absolute latent."""
        return float(max(np.abs(self.low).max(), np.abs(self.high).max()))

    @property
    def fp16_headroom(self) -> float | None:
        """How many times the largest latent fits into float16; activations are not looked at."""
        return FP16_MAX / self.max_abs if self.max_abs > 0 else None


def posterior_kl(mean: NDArray[Any], std: NDArray[Any]) -> Values | None:
    """Return each channel's divergence from the unit Gaussian, summed over positions, in nats.

    Args:
        mean, std: of the encoder's posterior, [C, h, w].
    Returns: [C]; None where a deviation is zero or not finite, which no divergence can be had of.
    Source: Kingma and Welling 2014, Auto-Encoding Variational Bayes, appendix B.
    """
    mean, variance = mean.astype(np.float64), std.astype(np.float64) ** 2
    if not (np.isfinite(mean).all() and np.isfinite(variance).all() and (variance > 0).all()):
        return None
    return (0.5 * (mean**2 + variance - 1 - np.log(variance))).sum((1, 2))


def posterior_noise(
    latents: NDArray[Any], mean: NDArray[Any] | None, std: NDArray[Any] | None
) -> float | None:
    """Return the posterior's variances [C, h, w] summed, where the latents are its mode."""
    if mean is None or std is None or not np.array_equal(latents.astype(mean.dtype), mean):
        return None
    total = float((std.astype(np.float64) ** 2).sum())
    return total if math.isfinite(total) else None


def moments_of(
    latents: NDArray[Any], kl_nats: Values | None = None, noise: float | None = None
) -> Moments:
    """Return the moments of one picture's latents [C, h, w]."""
    values = _rows(latents)
    mean = values.mean(1)
    away = values - mean[:, None]
    low, high = values.min(1), values.max(1)
    return Moments(values.shape[1], mean, away @ away.T, low, high, kl_nats, noise=noise)


def merge(one: Moments, other: Moments) -> Moments:
    """Return the moments of both sets of values together.

    Source: Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance.
    """
    count = one.count + other.count
    apart = other.mean - one.mean
    kl_nats = None
    # A mean over some of the pictures would not be this set's.
    if one.kl_nats is not None and other.kl_nats is not None:
        kl_nats = one.kl_nats + other.kl_nats
    noise = None
    if one.noise is not None and other.noise is not None:
        noise = one.noise + other.noise
    return Moments(
        count,
        one.mean + apart * (other.count / count),
        one.scatter + other.scatter + np.outer(apart, apart) * (one.count * other.count / count),
        np.minimum(one.low, other.low),
        np.maximum(one.high, other.high),
        kl_nats,
        one.pictures + other.pictures,
        noise,
    )


def to_part(moments: Moments) -> LatentMoments:
    """Return one picture's moments as its part keeps them."""
    return LatentMoments(
        moments.count,
        moments.mean.tobytes(),
        moments.scatter.tobytes(),
        moments.low.tobytes(),
        moments.high.tobytes(),
        None if moments.kl_nats is None else moments.kl_nats.tobytes(),
        moments.noise,
    )


def from_part(kept: LatentMoments) -> Moments:
    """Return what `to_part` was given."""
    mean, scatter, low, high = (
        np.frombuffer(data, np.float64) for data in (kept.mean, kept.scatter, kept.low, kept.high)
    )
    kl_nats = None if kept.kl_nats is None else np.frombuffer(kept.kl_nats, np.float64)
    spread = scatter.reshape(len(mean), -1)
    return Moments(kept.count, mean, spread, low, high, kl_nats, noise=kept.noise)


def measure_latents(moments: Moments, kept: Iterable[NDArray[Any]] | None) -> LatentHealth:
    """Return the health of a codec's latents.

    Args:
        kept: the latents [C, h, w] of every picture that the moments are of, if they were kept.
    """
    constant = moments.low == moments.high
    # The sums of equal values are rounded, which would leave a constant channel a deviation.
    mean = np.where(constant, moments.low, moments.mean)
    covariance = moments.scatter / moments.count
    covariance[constant, :] = covariance[:, constant] = 0.0
    std = np.sqrt(covariance.diagonal())
    outside = None
    if kept is not None:
        far = [
            (np.abs(_rows(latents) - mean[:, None]) > OUTLIER_STDS * std[:, None]).sum(1)
            for latents in kept
        ]
        outside = np.sum(far, 0) / moments.count
    return LatentHealth(
        pictures=moments.pictures,
        count=moments.count,
        mean=mean,
        std=std,
        low=moments.low,
        high=moments.high,
        share_outside=outside,
        is_dead=(std < DEAD_SHARE * np.median(std)) | constant,
        correlation=_correlation(covariance, std),
        eigenvalues=np.linalg.eigvalsh(covariance)[::-1].clip(min=0.0),
        kl_nats=None if moments.kl_nats is None else moments.kl_nats / moments.count,
        all_mean=float(mean.mean()),
        all_std=math.sqrt(float((std**2).mean() + mean.var())),
        noise=(moments.noise or 0.0) / (moments.count * len(mean)),
    )


def _rows(latents: NDArray[Any]) -> Values:
    return latents.reshape(len(latents), -1).astype(np.float64)


def _correlation(covariance: Values, std: Values) -> Values:
    scale = np.outer(std, std)
    known = scale > 0
    return np.where(known, (covariance / np.where(known, scale, 1.0)).clip(-1, 1), np.nan)


def finish_latents(
    folder: Path, record: RunRecord, parts: Sequence[Part]
) -> tuple[LatentSummary, ...]:
    """Write latents.parquet; return what is told of each codec as a whole.

    Args:
        parts: of all pictures, in the order of the record.
    """
    frames: list[pd.DataFrame] = []
    summaries: list[LatentSummary] = []
    for codec in (info.name for info in record.codecs):
        own = {
            part.image_id: from_part(part.latents[codec]) for part in parts if codec in part.latents
        }
        if own:
            health = measure_latents(reduce(merge, own.values()), _kept(folder, codec, own))
            frames.append(_table(codec, health))
            summaries.append(_summary(codec, health))
    if frames:
        write_latents(folder, pd.concat(frames, ignore_index=True))
    return tuple(summaries)


def _kept(folder: Path, codec: str, own: dict[str, Moments]) -> list[NDArray[Any]] | None:
    """Return a codec's kept latents; None where some are not there, or not what was measured."""
    found: list[NDArray[Any]] = []
    for image_id, moments in own.items():
        path = picture_path(folder, "latents", codec, image_id, ".npy")
        try:
            latents = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return None
        if latents.ndim != 3 or not np.array_equal(_rows(latents).mean(1), moments.mean):
            return None
        found.append(latents)
    return found


def _table(codec: str, health: LatentHealth) -> pd.DataFrame:
    channels = len(health.mean)
    columns: dict[str, Any] = {
        "codec": [codec] * channels,
        "channel": range(channels),
        "count": [health.count] * channels,
        "mean": health.mean,
        "std": health.std,
        "min": health.low,
        "max": health.high,
        "share_outside_4std": math.nan if health.share_outside is None else health.share_outside,
        "is_dead": health.is_dead,
        "kl_nats": [math.nan] * channels if health.kl_nats is None else health.kl_nats,
        "correlation": list(health.correlation),
    }
    return pd.DataFrame(columns, columns=pd.Index(LATENT_COLUMNS))


def _summary(codec: str, health: LatentHealth) -> LatentSummary:
    kl = None if health.kl_nats is None else float(health.kl_nats.sum())
    return LatentSummary(
        codec=codec,
        pictures=health.pictures,
        mean=health.all_mean,
        std=health.all_std,
        suggested_scaling_factor=health.suggested_scaling_factor,
        effective_channels=health.effective_channels,
        eigenvalues=tuple(health.eigenvalues.tolist()),
        kl_nats_per_picture=None if kl is None else kl * health.count / health.pictures,
        kl_nats_per_element=None if kl is None else kl / len(health.mean),
        max_abs=health.max_abs,
        fp16_headroom=health.fp16_headroom,
    )
