"""What the latents of a run are like: channels, their correlation, posterior, scale, headroom.

A value counts as far out by the mean and deviation of its channel over the whole set, which are
known only at the end. So each picture's latents wait beside its part until the run ends, and are
then read twice, picture by picture in the order of run.json: no batch, no order of scoring and no
kill in between plays a part. Latents are raw, and those of padding are counted: padding up to a
multiple of the spatial factor leaves no position without a pixel of the picture.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import RunFolderError
from ..store.run import LATENT_COLUMNS, part_path, write_atomic, write_latents

OUTLIER_STDS = 4.0
DEAD_SHARE = 0.1
"""A channel is dead whose standard deviation is below this share of the median channel's."""
FP16_MAX = 65504.0

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PictureLatents:
    """One picture's raw latents [C, h, w], and each channel's KL divergence, summed, in nats.

    `kl_nats` [C] is None where the encoder gave no posterior.
    """

    latents: NDArray[Any]
    kl_nats: Values | None


@dataclass(frozen=True)
class Moments:
    """Of a codec's latents: values to a channel, means [C], scatter [C, C], least and greatest [C].

    `scatter` is the sum over positions of the outer product of the deviations from the mean.
    """

    count: int
    mean: Values
    scatter: Values
    low: Values
    high: Values


@dataclass(frozen=True)
class LatentHealth:
    """A codec's latents over a set; deviations are divided by the count, not the count less one.

    Of each channel: `mean`, `std`, `low`, `high`, `share_outside` (beyond ±4 std of the mean),
    `is_dead`, `kl_nats` (mean per element), all [C]; `correlation` [C, C] is NaN where a channel
    is constant. `eigenvalues` [C] are the covariance's, falling. `all_mean` and `all_std` are over
    all values of all channels.
    """

    pictures: int
    count: int
    mean: Values
    std: Values
    low: Values
    high: Values
    share_outside: Values
    is_dead: NDArray[np.bool_]
    correlation: Values
    eigenvalues: Values
    kl_nats: Values | None
    all_mean: float
    all_std: float

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
        """1 / std of all latents, which gives them unit variance; None without spread.

        Source: Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models,
        appendix G.
        """
        return 1 / self.all_std if self.all_std > 0 else None

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


def moments_of(latents: NDArray[Any]) -> Moments:
    """Return the moments of one picture's latents [C, h, w]."""
    values = _rows(latents)
    mean = values.mean(1)
    away = values - mean[:, None]
    return Moments(values.shape[1], mean, away @ away.T, values.min(1), values.max(1))


def merge(one: Moments, other: Moments) -> Moments:
    """Return the moments of both sets of values together.

    Source: Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance.
    """
    count = one.count + other.count
    apart = other.mean - one.mean
    return Moments(
        count,
        one.mean + apart * (other.count / count),
        one.scatter + other.scatter + np.outer(apart, apart) * (one.count * other.count / count),
        np.minimum(one.low, other.low),
        np.maximum(one.high, other.high),
    )


def measure_latents(read: Callable[[], Iterable[PictureLatents]]) -> LatentHealth | None:
    """Return the health of a codec's latents; None where there is no picture.

    Args:
        read: gives the pictures one after the other, in the same order at each of two calls.
    """
    moments: Moments | None = None
    kl_sums: list[Values | None] = []
    for picture in read():
        own = moments_of(picture.latents)
        moments = own if moments is None else merge(moments, own)
        kl_sums.append(picture.kl_nats)
    if moments is None:
        return None
    constant = moments.low == moments.high
    # The sums of equal values are rounded, which would leave a constant channel a deviation.
    mean = np.where(constant, moments.low, moments.mean)
    covariance = moments.scatter / moments.count
    covariance[constant, :] = covariance[:, constant] = 0.0
    std = np.sqrt(covariance.diagonal())
    outside = np.zeros(len(mean))
    for picture in read():
        away = np.abs(_rows(picture.latents) - mean[:, None])
        outside += (away > OUTLIER_STDS * std[:, None]).sum(1)
    known = [kl for kl in kl_sums if kl is not None]
    return LatentHealth(
        pictures=len(kl_sums),
        count=moments.count,
        mean=mean,
        std=std,
        low=moments.low,
        high=moments.high,
        share_outside=outside / moments.count,
        is_dead=(std < DEAD_SHARE * np.median(std)) | constant,
        correlation=_correlation(covariance, std),
        eigenvalues=np.linalg.eigvalsh(covariance)[::-1].clip(min=0.0),
        # A mean over some of the pictures would not be this set's.
        kl_nats=np.sum(known, 0) / moments.count if len(known) == len(kl_sums) else None,
        all_mean=float(mean.mean()),
        all_std=math.sqrt(float((std**2).mean() + mean.var())),
    )


def _rows(latents: NDArray[Any]) -> Values:
    return latents.reshape(len(latents), -1).astype(np.float64)


def _correlation(covariance: Values, std: Values) -> Values:
    scale = np.outer(std, std)
    known = scale > 0
    return np.where(known, (covariance / np.where(known, scale, 1.0)).clip(-1, 1), np.nan)


def keep_until_end(
    folder: Path,
    codec: str,
    image_id: str,
    latents: NDArray[Any],
    mean: NDArray[Any] | None = None,
    std: NDArray[Any] | None = None,
) -> None:
    """Write a picture's latents [C, h, w] beside its part; the posterior's [C, h, w] if known."""
    arrays: dict[str, NDArray[Any]] = {"latents": latents}
    kl_nats = None if mean is None or std is None else posterior_kl(mean, std)
    if kl_nats is not None:
        arrays["kl_nats"] = kl_nats
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **arrays)
    write_atomic(_kept_path(folder, codec, image_id), sink.getvalue())


def finish_latents(folder: Path, record: dict[str, Any]) -> None:
    """Write latents.parquet, and into the record what is told of each codec as a whole.

    To be called once all parts are there and before `finish_run` removes them.
    """
    frames: list[pd.DataFrame] = []
    record["latents"] = []
    for codec in (str(info["name"]) for info in record["codecs"]):
        health = measure_latents(lambda codec=codec: _kept(folder, record, codec))
        if health is not None:
            frames.append(_table(codec, health))
            record["latents"].append(_summary(codec, health))
    if frames:
        write_latents(folder, pd.concat(frames, ignore_index=True))


def _kept(folder: Path, record: dict[str, Any], codec: str) -> Iterator[PictureLatents]:
    """Yield a codec's latents in the order of the record's pictures."""
    for image in record["images"]:
        path = _kept_path(folder, codec, image["image_id"])
        if not path.is_file():
            continue
        try:
            with np.load(path, allow_pickle=False) as arrays:
                yield PictureLatents(arrays["latents"], arrays.get("kl_nats"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RunFolderError(
                f"Cannot read the latents of {image['image_id']} in {path}: {error}. "
                "Make the run again."
            ) from error


def _kept_path(folder: Path, codec: str, image_id: str) -> Path:
    return part_path(folder, image_id, f"-{codec}.npz")


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
        "share_outside_4std": health.share_outside,
        "is_dead": health.is_dead,
        "kl_nats": [math.nan] * channels if health.kl_nats is None else health.kl_nats,
        "correlation": list(health.correlation),
    }
    return pd.DataFrame(columns, columns=pd.Index(LATENT_COLUMNS))


def _summary(codec: str, health: LatentHealth) -> dict[str, Any]:
    kl = None if health.kl_nats is None else float(health.kl_nats.sum())
    return {
        "codec": codec,
        "pictures": health.pictures,
        "mean": health.all_mean,
        "std": health.all_std,
        "suggested_scaling_factor": health.suggested_scaling_factor,
        "effective_channels": health.effective_channels,
        "eigenvalues": health.eigenvalues.tolist(),
        "kl_nats_per_picture": None if kl is None else kl * health.count / health.pictures,
        "kl_nats_per_element": None if kl is None else kl / len(health.mean),
        "max_abs": health.max_abs,
        "fp16_headroom": health.fp16_headroom,
    }
