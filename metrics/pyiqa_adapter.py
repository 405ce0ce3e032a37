"""Any two-image metric of pyiqa, as `pyiqa:NAME`, where that package is installed."""

from __future__ import annotations

import importlib
from typing import Any, Final

from torch import Tensor

from .adapted import AdaptedMetric, fingerprint_stem, loosely_named, reason
from .base import Metric, MetricUnavailable
from .info import MetricContext, MetricInfo, colour_info

PACKAGE = "pyiqa"

_ALWAYS_LUMA: Final = ("VIF",)
"""Networks of pyiqa that take BT.601 luma without an option that says so."""

_CAPS: Final = {"PSNR": "cap80-"}
"""Of identical pictures it gives 80 dB: it adds 1e-8 to the mean squared error."""


def describe_pyiqa(name: str) -> MetricInfo:
    """Return what pyiqa says of its metric NAME, without building it.

    Where pyiqa is not installed nobody knows the metric: its direction is None.
    Raises: MetricError for an unknown name.
    """
    try:
        name, config = _config(name)
    except MetricUnavailable:
        return colour_info(f"{PACKAGE}:{name}", "", None, "rgb")
    return _info(name, config)


def open_pyiqa(name: str, context: MetricContext) -> Metric:
    """Build a full-reference metric of pyiqa, each picture to be scored alone.

    Raises: MetricError for an unknown name; MetricUnavailable where pyiqa is not installed, the
        metric takes no reference, or its weights cannot be had.
    """
    name, config = _config(name)
    if config.get("metric_mode") != "FR":
        raise MetricUnavailable(
            f"{PACKAGE}:{name} takes no reference. Choose one of pyiqa.list_models('FR')."
        )
    try:
        built: Any = importlib.import_module(PACKAGE).create_metric(name, device=context.device)
    except Exception as error:  # a missing package, a download: the reason is the user's
        raise MetricUnavailable(f"{PACKAGE}:{name} cannot be built: {reason(error)}") from error

    def score(reference: Tensor, reconstruction: Tensor) -> object:
        return built(reconstruction, reference)

    return AdaptedMetric(_info(name, config), score, context.device)


def _config(name: str) -> tuple[str, dict[str, Any]]:
    try:
        configs: Any = importlib.import_module(f"{PACKAGE}.default_model_configs").DEFAULT_CONFIGS
    except ImportError as error:
        raise MetricUnavailable(
            f"{PACKAGE}:{name} needs pyiqa: {reason(error)} Run pip install 'vaebench[pyiqa]'."
        ) from error
    offered = [one for one, config in configs.items() if config.get("metric_mode") == "FR"]
    known = loosely_named(name, configs, PACKAGE, offered)
    return known, configs[known]


def _info(name: str, config: dict[str, Any]) -> MetricInfo:
    higher_is_better = not config.get("lower_better", False)
    options = config.get("metric_opts", {})
    is_luma = options.get("test_y_channel", False) or options.get("type") in _ALWAYS_LUMA
    cap = _CAPS.get(options.get("type"), "")
    stem = fingerprint_stem(PACKAGE, f"{cap}{'luma' if is_luma else 'rgb'}")
    return colour_info(f"{PACKAGE}:{name}", "", higher_is_better, stem)
