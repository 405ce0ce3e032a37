"""The plots of a report, by name: each takes what was stored and returns finished plots."""

from __future__ import annotations

from collections.abc import Callable

from ...bench.compare.store import StoredComparison
from ...bench.rate.store import StoredRd
from ...bench.store.run import StoredRun
from .comparison_differences import comparison_differences, comparison_wins
from .comparison_heat import comparison_heat
from .comparison_scatter import comparison_scatter
from .distributions import distributions
from .error_maps import error_maps
from .latency import latency_by_batch, latency_by_size, memory, stage_split, throughput
from .latent_health import latent_channels, latent_correlation, latent_spectrum
from .latents import latents
from .quality_latency import quality_latency
from .rate import rate
from .rd import bd_rates, rd_curves
from .regions import regions
from .strips import strips
from .style import NothingToShowError, Plot, save
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
"""The plots of a run."""

COMPARISON_PLOTS: dict[str, Callable[[StoredComparison], list[Plot]]] = {
    "differences": comparison_differences,
    "wins": comparison_wins,
    "regions": comparison_heat,
    "scatter": comparison_scatter,
}
"""The plots of a comparison."""

RD_PLOTS: dict[str, Callable[[StoredRd], list[Plot]]] = {
    "rd_curves": rd_curves,
    "bd_rates": bd_rates,
}
"""The plots of a rate-distortion measurement."""

__all__ = ["COMPARISON_PLOTS", "PLOTS", "RD_PLOTS", "NothingToShowError", "Plot", "save"]
