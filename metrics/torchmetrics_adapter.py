"""Any two-image metric of torchmetrics, as `torchmetrics:NAME`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .adapted import AdaptedMetric, fingerprint_stem, loosely_named, reason
from .base import Metric, MetricUnavailable
from .info import MetricContext, MetricInfo, colour_info

PACKAGE = "torchmetrics"


def describe_torchmetrics(name: str) -> MetricInfo:
    """Return what torchmetrics says of its metric NAME, without building it.

    Raises: MetricError for an unknown name.
    """
    try:
        metric = _class(name)
    except MetricUnavailable:
        return colour_info(f"{PACKAGE}:{name}", "", None, "rgb")
    return _info(metric)


def open_torchmetrics(name: str, context: MetricContext) -> Metric:
    """Build a metric of torchmetrics, each picture to be scored alone, then reset.

    NAME is a class of torchmetrics.image; the name of its function does as well, since only
    case, hyphens and underscores differ.
    Raises: MetricError for an unknown name; MetricUnavailable where it is no two-image metric
        or cannot be built here.
    """
    metric = _class(name)
    inputs = list(inspect.signature(metric.update).parameters)[1:]
    if inputs not in (["preds", "target"], ["img1", "img2"]):
        raise MetricUnavailable(
            f"{PACKAGE}:{metric.__name__} is no two-image metric: it takes {', '.join(inputs)}. "
            "Choose one that takes a reconstruction and a reference."
        )
    try:
        built: Any = metric(**_ranges(metric)).to(context.device)
    except Exception as error:  # a missing package, a download: the reason is the user's
        raise MetricUnavailable(
            f"{PACKAGE}:{metric.__name__} cannot be built: {reason(error)}"
        ) from error

    def score(reference: Tensor, reconstruction: Tensor) -> object:
        built.reset()
        built.update(reconstruction, reference)
        return built.compute()

    return AdaptedMetric(_info(metric), score, context.device)


def _ranges(metric: type[Any]) -> Mapping[str, object]:
    """Return the arguments that tell a constructor that pictures are in [0, 1]."""
    parameters = inspect.signature(metric.__init__).parameters
    ranges: dict[str, object] = {}
    if "data_range" in parameters:
        ranges["data_range"] = 1.0
    # MS-SSIM's `normalize` is a word about something else.
    if "normalize" in parameters and isinstance(parameters["normalize"].default, bool):
        ranges["normalize"] = True
    return ranges


def _class(name: str) -> type[Any]:
    try:
        import torchmetrics.image as image
    except ImportError as error:
        raise MetricUnavailable(
            f"{PACKAGE}:{name} needs torchmetrics: {reason(error)} Run pip install torchmetrics."
        ) from error
    return getattr(image, loosely_named(name, image.__all__, PACKAGE))


def _info(metric: type[Any]) -> MetricInfo:
    name = f"{PACKAGE}:{metric.__name__}"
    return colour_info(name, "", metric.higher_is_better, fingerprint_stem(PACKAGE))
