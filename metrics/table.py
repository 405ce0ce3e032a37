"""The table of metrics, and how a name on the command line becomes one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .base import Metric, MetricError
from .ciede2000 import CIEDE2000, CIEDE2000_INFO
from .flip import FLIP, FLIP_INFO
from .info import MetricContext, MetricInfo
from .lpips import LPIPS, lpips_info
from .ms_ssim import MS_SSIM_INFO, MSSSIM
from .psnr import MAE, MAE_INFO, MSE, MSE_INFO, PSNR, PSNR_INFO
from .pyiqa_adapter import describe_pyiqa, open_pyiqa
from .sets import refuse_set_metric
from .ssim import SSIM, SSIM_INFO, SSIM_LUMA_INFO
from .torchmetrics_adapter import describe_torchmetrics, open_torchmetrics
from .trunks import ALEX, SQUEEZE, VGG, Trunk


@dataclass(frozen=True)
class MetricEntry:
    """A metric of the table: what is known of it, and how it is built."""

    info: MetricInfo
    build: Callable[[MetricContext], Metric]


@dataclass(frozen=True)
class Source:
    """A package whose metrics are named `PREFIX:NAME`."""

    describe: Callable[[str], MetricInfo]
    build: Callable[[str, MetricContext], Metric]


def _lpips(trunk: Trunk) -> MetricEntry:
    return MetricEntry(lpips_info(trunk), lambda context: LPIPS(trunk, context))


METRICS: Final[dict[str, MetricEntry]] = {
    "psnr": MetricEntry(PSNR_INFO, lambda _: PSNR()),
    "mse": MetricEntry(MSE_INFO, lambda _: MSE()),
    "mae": MetricEntry(MAE_INFO, lambda _: MAE()),
    "ssim": MetricEntry(SSIM_INFO, lambda _: SSIM()),
    "ssim-luma": MetricEntry(SSIM_LUMA_INFO, lambda _: SSIM(of_luma=True)),
    "ms-ssim": MetricEntry(MS_SSIM_INFO, lambda _: MSSSIM()),
    "lpips": _lpips(ALEX),
    "lpips-alex": _lpips(ALEX),
    "lpips-squeeze": _lpips(SQUEEZE),
    "lpips-vgg": _lpips(VGG),
    "flip": MetricEntry(FLIP_INFO, lambda _: FLIP()),
    "ciede2000": MetricEntry(CIEDE2000_INFO, lambda _: CIEDE2000()),
}

SOURCES: Final[dict[str, Source]] = {
    "torchmetrics": Source(describe_torchmetrics, open_torchmetrics),
    "pyiqa": Source(describe_pyiqa, open_pyiqa),
}

DEFAULT_METRICS: Final = ("psnr", "ssim", "ms-ssim", "lpips-alex", "flip")


def describe_metric(name: str) -> MetricInfo:
    """Return what is known of a metric without building it, also where it is unavailable.

    Raises: MetricError for an unknown name, with the nearest match and the valid names.
    """
    refuse_set_metric(name)
    prefix, colon, rest = name.partition(":")
    if colon and prefix in SOURCES:
        return SOURCES[prefix].describe(rest)
    return _entry(name).info


def open_metric(name: str, weights: Path | None = None, device: str = "cpu") -> Metric:
    """Build the metric that a command line names.

    Args:
        name: a key of METRICS, `torchmetrics:NAME` or `pyiqa:NAME`.
        weights: the folder of LPIPS's networks.
        device: where the networks of learned metrics run.
    Raises: MetricUnavailable where it cannot be had here, with the reason and the mend;
        MetricError for an unknown name, with the nearest match and the valid names.
    """
    refuse_set_metric(name)
    context = MetricContext(weights, device)
    prefix, colon, rest = name.partition(":")
    if colon and prefix in SOURCES:
        return SOURCES[prefix].build(rest, context)
    return _entry(name).build(context)


def _entry(name: str) -> MetricEntry:
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    prefixed = (f"{prefix}:NAME" for prefix in SOURCES)
    raise MetricError(f"Unknown metric {name!r}.{hint} Valid: {', '.join([*METRICS, *prefixed])}.")
