"""The plots of a report, by name: each takes a stored run and returns finished plots."""

from __future__ import annotations

from collections.abc import Callable

from ...bench.store.run import StoredRun
from .distributions import distributions
from .error_maps import error_maps
from .latency import latency_by_batch, latency_by_size, stage_split
from .latent_health import latent_channels, latent_correlation, latent_spectrum
from .latents import latents
from .memory import memory
from .quality_latency import quality_latency
from .rate import rate
from .regions import regions
from .strips import strips
from .style import NothingToShowError, Plot, save
from .throughput import throughput
from .trend import trend

PLOTS: dict[str, Callable[[StoredRun], list[Plot]]] = {
    "strips": strips,
    "regions": regions,
    "error_maps": error_maps,
    "distributions": distributions,
    "rate": rate,
    "latents": latents,
    "latent_channels": latent_channels,
    "latent_correlation": latent_correlation,
    "latent_spectrum": latent_spectrum,
    "quality_latency": quality_latency,
    "stage_split": stage_split,
    "latency_by_size": latency_by_size,
    "latency_by_batch": latency_by_batch,
    "throughput": throughput,
    "memory": memory,
    "trend": trend,
}

__all__ = ["PLOTS", "NothingToShowError", "Plot", "save"]
