"""Any two-image metric of torchmetrics, as `torchmetrics:NAME`."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor

from .adapted import AdaptedMetric, fingerprint_stem, loosely_named, reason
from .base import Metric, MetricUnavailable
from .info import MetricContext, MetricInfo, colour_info
from .probe import Known, Score, depends_on_range, fault

PACKAGE = "torchmetrics"


@dataclass(frozen=True)
class Takes:
    """How a class takes pictures in [0, 1]: arguments that say so, or what they are scaled to.

    `known` is a value that its definition gives; `issue` where its fault is known of.
    """

    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    scale: float = 1.0
    known: Known | None = None
    issue: str = ""


_UNIT: Final = {"data_range": 1.0}
TAKES: Final[Mapping[str, Takes]] = {
    "DeepImageStructureAndTextureSimilarity": Takes(),
    "ErrorRelativeGlobalDimensionlessSynthesis": Takes(known=Known(5.0, "Wald 2000")),
    "LearnedPerceptualImagePatchSimilarity": Takes({"normalize": True}),
    "MultiScaleStructuralSimilarityIndexMeasure": Takes(_UNIT),
    "PeakSignalNoiseRatio": Takes(_UNIT, known=Known(20.0, "ITU-T J.340")),
    "PeakSignalNoiseRatioWithBlockedEffect": Takes(_UNIT),
    "RelativeAverageSpectralError": Takes(known=Known(20.0, "González-Audícana et al. 2004")),
    "RootMeanSquaredErrorUsingSlidingWindow": Takes(known=Known(0.1, "the root of a mean square")),
    "SpatialCorrelationCoefficient": Takes(),
    "SpectralAngleMapper": Takes(),
    "SpectralDistortionIndex": Takes(),
    "StructuralSimilarityIndexMeasure": Takes(_UNIT),
    "UniversalImageQualityIndex": Takes(issue="torchmetrics#2221"),
    # The noise that it adds, of variance 2, is that of 8-bit levels: torchmetrics#3184.
    "VisualInformationFidelity": Takes(scale=255.0),
}
"""What was tried with torchmetrics 1.9. Of a class that is not here the constructor tells, or its
answer is the same whatever the range."""


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
    Raises: MetricError for an unknown name; MetricUnavailable where it is no two-image metric,
        cannot be built here, or gives wrong numbers of pictures whose right ones are known.
    """
    metric = _class(name)
    if lacking := _no_pair(metric):
        raise MetricUnavailable(
            f"{PACKAGE}:{metric.__name__} is no two-image metric: it takes {lacking}. "
            "Choose one that takes a reconstruction and a reference."
        )
    takes = TAKES.get(metric.__name__) or Takes(_ranges(metric))
    with warnings.catch_warnings():
        # They are about memory that one pair does not take, and may name another metric.
        warnings.simplefilter("ignore")
        try:
            built: Any = metric(**takes.arguments)
        except Exception as error:  # a missing package, a download: the reason is the user's
            raise MetricUnavailable(
                f"{PACKAGE}:{metric.__name__} cannot be built: {reason(error)}"
            ) from error

        _refuse_wrong(metric, takes, _scoring(built, takes.scale))
    score = _scoring(built.to(context.device), takes.scale)
    return AdaptedMetric(_info(metric), score, context.device)


def _scoring(built: Any, scale: float) -> Score:
    """Return a metric as a function of one pair; no pair knows of another."""
    # RootMeanSquaredErrorUsingSlidingWindow keeps its first picture's size through `reset`. What
    # has weights is not copied for each pair: it keeps nothing else.
    keeps = callable(getattr(built, "parameters", None)) and not list(built.parameters())

    def score(reference: Tensor, reconstruction: Tensor) -> object:
        metric = copy.deepcopy(built) if keeps else built
        metric.reset()
        metric.update(reconstruction * scale, reference * scale)
        return metric.compute()

    return score


def _refuse_wrong(metric: type[Any], takes: Takes, score: Score) -> None:
    """Raise MetricUnavailable where a metric does not give what is known of a few pictures."""
    name, own = f"{PACKAGE}:{metric.__name__}", fingerprint_stem(PACKAGE).rpartition("-")[0]
    is_listed = metric.__name__ in TAKES or bool(takes.arguments)
    try:
        found = fault(score, metric.higher_is_better, takes.known)
        is_ranged = not is_listed and depends_on_range(score)
    except Exception as error:  # another package's code: its reason is the user's
        raise MetricUnavailable(f"{name} refused the pictures: {reason(error)}") from error
    if found is None and is_ranged:
        found = "depends on the range of pixel values, which it takes no argument for"
    if found is not None:
        issue = f" (see {takes.issue})" if takes.issue else ""
        raise MetricUnavailable(
            f"{name} of {own} {found}{issue}. Its numbers would be wrong; choose another metric."
        )


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


def _no_pair(metric: type[Any]) -> str:
    """Return what a class takes instead of two pictures; empty where it takes these."""
    inputs = list(inspect.signature(metric.update).parameters.values())[1:]
    names = [entry.name for entry in inputs]
    if names not in (["preds", "target"], ["img1", "img2"]):
        return ", ".join(names)
    # QualityWithNoReference and its like take several pictures by name.
    return next(
        (f"{entry.annotation} as {entry.name}" for entry in inputs if "dict" in _typed(entry)), ""
    )


def _typed(entry: inspect.Parameter) -> str:
    return str(entry.annotation).lower()


def _class(name: str) -> type[Any]:
    try:
        import torchmetrics.image as image
    except ImportError as error:
        raise MetricUnavailable(
            f"{PACKAGE}:{name} needs torchmetrics: {reason(error)} Run pip install torchmetrics."
        ) from error
    offered = [one for one in image.__all__ if not _no_pair(getattr(image, one))]
    return getattr(image, loosely_named(name, image.__all__, PACKAGE, offered))


def _info(metric: type[Any]) -> MetricInfo:
    name = f"{PACKAGE}:{metric.__name__}"
    return colour_info(name, "", metric.higher_is_better, fingerprint_stem(PACKAGE))
