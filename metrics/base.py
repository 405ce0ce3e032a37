"""What every metric is, and the errors it may raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


class MetricError(ValueError):
    """A metric cannot be computed from what it was given."""


class ShapeMismatch(MetricError):
    """Reference and reconstruction differ in shape, or are not [N, 3, H, W]."""


class MetricUnavailable(MetricError):
    """A metric cannot be computed here (weights, size, package); the message says the mend."""


@dataclass(frozen=True)
class Result:
    """A metric of N pictures.

    `values` is float64 [N]. `maps` is float [N, H, W] whose mean over a mask is the metric's
    raw regional value, to be passed through `Metric.pool`; None where the metric has no map.
    `reasons` says why a picture has no value (NaN), "" where it has; empty where all have.
    """

    values: Tensor
    maps: Tensor | None = None
    reasons: tuple[str, ...] = ()


class Metric(Protocol):
    """A two-image metric with its reference-side work split off.

    `prepare` is called once for each batch of references and its result handed to `compare` for
    every codec, so that no reference-side feature is computed twice.
    """

    @property
    def name(self) -> str:
        """The name on the command line and in the `metric` column: psnr, ssim, lpips, …"""
        ...

    @property
    def unit(self) -> str:
        """The unit of the value, "" where it has none."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is a better reconstruction."""
        ...

    def variant(self, rounded: bool) -> str:
        """Return the fingerprint, e.g. psnr/rgb8 (rounded to 8 bits) or psnr/rgb-float."""
        ...

    def prepare(self, reference: Tensor) -> Any:
        """Return the reference-side features of float32 [N, 3, H, W] in [0, 1]."""
        ...

    def compare(self, prepared: Any, reconstruction: Tensor, want_maps: bool) -> Result:
        """Return values (and maps, where asked and the metric has them) of a reconstruction."""
        ...

    def pool(self, mean: float) -> float:
        """Turn the mean of a map over a region into the metric's value (PSNR: 10·log10(1/mse))."""
        ...
