"""Scores of one batch of pictures: every metric, the whole picture and each of its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..metrics import Metric, MetricError, regional
from .records import WHOLE, MetricColumn, Region, Score, Unavailable
from .regions import region_mask

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class References:
    """A batch of N references of one size, with what each metric computed of them once.

    `pixels` is float32 [N, 3, H, W] in [0, 1]; `features` holds each metric's reference-side
    features, or the error that says why it has none.
    """

    image_ids: tuple[str, ...]
    regions: tuple[tuple[Region, ...], ...]
    pixels: Tensor
    features: tuple[Any | MetricError, ...]


@dataclass
class PictureScores:
    """What was found out about one picture under one codec; `maps` is [H, W] by variant."""

    scores: list[Score] = field(default_factory=list[Score])
    unavailable: list[Unavailable] = field(default_factory=list[Unavailable])
    maps: dict[str, Tensor] = field(default_factory=dict[str, "Tensor"])


def prepare_references(
    metrics: Sequence[Metric],
    image_ids: Sequence[str],
    regions: Sequence[Sequence[Region]],
    pixels: Tensor,
) -> References:
    """Compute the reference side of every metric, once for all codecs."""
    features: list[Any | MetricError] = []
    for metric in metrics:
        try:
            features.append(metric.prepare(pixels))
        except MetricError as error:
            features.append(error)
    return References(tuple(image_ids), tuple(map(tuple, regions)), pixels, tuple(features))


def score_batch(
    metrics: Sequence[Metric],
    references: References,
    codec: str,
    reconstruction: Tensor,
    rounded: bool,
) -> list[PictureScores]:
    """Score the reconstructions [N, 3, H, W] of a batch; one PictureScores for each picture.

    A metric that cannot be computed gives a value of None and its reason; the others go on.
    """
    pictures = [PictureScores() for _ in references.image_ids]
    for metric, features in zip(metrics, references.features, strict=True):
        variant = metric.variant(rounded)
        try:
            if isinstance(features, MetricError):
                raise features
            # Maps are wanted for the regions and for the error maps that the report shows.
            result = metric.compare(features, reconstruction, want_maps=True)
        except MetricError as error:
            column = MetricColumn(metric.name, variant, metric.unit, metric.higher_is_better)
            for picture, image_id in zip(pictures, references.image_ids, strict=True):
                picture.scores.append(empty_score(image_id, codec, column))
                picture.unavailable.append(
                    Unavailable(metric.name, variant, str(error), image_id, codec)
                )
            continue
        for index, picture in enumerate(pictures):
            image_id = references.image_ids[index]
            values = [(WHOLE, WHOLE, float(result.values[index]))]
            if result.maps is not None:
                picture.maps[variant] = result.maps[index]
                values += [
                    (region.name, region.kind, _regional(metric, result.maps, index, region))
                    for region in references.regions[index]
                ]
            picture.scores += [
                Score(image_id, codec, name, kind, metric.name, variant, value, metric.unit)
                for name, kind, value in values
            ]
    return pictures


def empty_score(image_id: str, codec: str, column: MetricColumn) -> Score:
    """Return the row of a whole picture's metric that could not be computed."""
    return Score(image_id, codec, WHOLE, WHOLE, column.name, column.variant, None, column.unit)


def _regional(metric: Metric, maps: Tensor, index: int, region: Region) -> float:
    mask = None if region.mask is None else region_mask(region)
    return regional(metric, maps, index, region.box_px, mask)
