"""The plots of a report, by name: each takes a stored run and returns finished plots."""

from __future__ import annotations

from collections.abc import Callable

from ...bench.store import StoredRun
from .distributions import distributions
from .error_maps import error_maps
from .latents import latents
from .rate import rate
from .regions import regions
from .strips import strips
from .style import NothingToShowError, Plot, save

PLOTS: dict[str, Callable[[StoredRun], list[Plot]]] = {
    "strips": strips,
    "regions": regions,
    "error_maps": error_maps,
    "distributions": distributions,
    "rate": rate,
    "latents": latents,
}

__all__ = ["PLOTS", "NothingToShowError", "Plot", "save"]
