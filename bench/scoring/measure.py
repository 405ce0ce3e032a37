"""Scores of one batch of pictures: every metric, the whole picture and each of its regions.

What is measured stays on the device until all of it is fetched at once: a GPU is not waited for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...metrics import Metric, MetricError
from ..codecs.tensors import to_device
from ..errors import first_line
from ..images.regions import region_mask
from ..records import WHOLE, MetricColumn, Region, Score, Unavailable
from .devices import memory_told

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

    @property
    def placed_regions(self) -> list[tuple[int, Region]]:
        """Every region with its picture's place in the batch, picture by picture."""
        return [(index, region) for index, entry in enumerate(self.regions) for region in entry]

    @cached_property
    def masked(self) -> list[Tensor | None]:
        """Of each of `placed_regions`, which pixels of its box count; None for all of them."""
        places = [
            None if region.mask is None else np.flatnonzero(region_mask(region))
            for _, region in self.placed_regions
        ]
        chosen = [place for place in places if place is not None]
        if not chosen:
            return [None] * len(places)
        # All in one copy; a boolean mask would be waited for at every use, to know its pixels.
        joined = to_device(np.concatenate(chosen), self.pixels.device)
        parts = iter(joined.split([len(place) for place in chosen]))
        return [None if place is None else next(parts) for place in places]


@dataclass
class PictureScores:
    """What was found out about one picture under one codec."""

    scores: list[Score] = field(default_factory=list[Score])
    unavailable: list[Unavailable] = field(default_factory=list[Unavailable])


@dataclass(frozen=True)
class Column:
    """What one metric gave of a batch: `count` means, or none, for a reason.

    `reasons` says of each picture why it alone has none; empty where all have a mean.
    """

    metric: Metric
    variant: str
    count: int
    reason: str = ""
    reasons: tuple[str, ...] = ()

    def reason_of(self, index: int, means: Sequence[float]) -> str:
        """Return why a picture has no value, "" where it has one."""
        if not self.count:
            return self.reason
        own = self.reasons[index] if self.reasons else ""
        is_nan = not own and math.isnan(means[index])
        return f"{self.metric.name} is not a number (NaN) for this pair" if is_nan else own


@dataclass(frozen=True)
class Sheet:
    """What the means of a batch stand for: nothing of it lies on a device.

    Each column has the values of the N pictures, then, where its metric has a map, that map's mean
    over each region of `regions`, not pooled yet.
    """

    codec: str
    image_ids: tuple[str, ...]
    regions: list[tuple[int, Region]]
    columns: tuple[Column, ...]

    def scores(self, means: Sequence[float]) -> list[PictureScores]:
        """Return each picture's rows; `means` is what the device computed, column by column."""
        pictures = [PictureScores() for _ in self.image_ids]
        start = 0
        for column in self.columns:
            own = means[start : start + column.count]
            start += column.count
            for index, picture in enumerate(pictures):
                self._add(picture, column, index, own)
        return pictures

    def _add(
        self, picture: PictureScores, column: Column, index: int, means: Sequence[float]
    ) -> None:
        metric, image_id = column.metric, self.image_ids[index]
        if reason := column.reason_of(index, means):
            asked = MetricColumn(metric.name, column.variant, metric.unit, metric.higher_is_better)
            picture.scores.append(empty_score(image_id, self.codec, asked))
            picture.unavailable.append(
                Unavailable(metric.name, column.variant, reason, image_id, self.codec)
            )
            return
        values = [(WHOLE, WHOLE, means[index])]
        for (place, region), mean in zip(self.regions, means[len(self.image_ids) :], strict=False):
            if place == index:
                values.append((region.name, region.kind, metric.pool(mean)))
        picture.scores += [
            Score(image_id, self.codec, name, kind, metric.name, column.variant, value, metric.unit)
            for name, kind, value in values
        ]


@dataclass(frozen=True)
class Measured:
    """A batch under one codec, on the device: `means`, float64, as `sheet` reads them.

    `maps` holds the maps [N, H, W] that were asked for, by variant.
    """

    sheet: Sheet
    means: Tensor
    maps: dict[str, Tensor]


def prepare_references(
    metrics: Sequence[Metric],
    image_ids: Sequence[str],
    regions: Sequence[Sequence[Region]],
    pixels: Tensor,
) -> References:
    """Compute the reference side of every metric, once for all codecs.

    Raises: torch.OutOfMemoryError for more than one picture; of one, it is the metric's reason.
    """
    features: list[Any | MetricError] = []
    for metric in metrics:
        try:
            with memory_told():
                features.append(metric.prepare(pixels))
        except (MetricError, torch.OutOfMemoryError) as error:
            features.append(MetricError(_reason(error, len(pixels))))
    return References(tuple(image_ids), tuple(map(tuple, regions)), pixels, tuple(features))


def measure_batch(
    metrics: Sequence[Metric],
    references: References,
    codec: str,
    reconstruction: Tensor,
    rounded: bool,
    maps_of: Collection[str] = (),
) -> Measured:
    """Compare the reconstructions [N, 3, H, W] of a batch; nothing is waited for.

    Args:
        maps_of: the variants whose maps are wanted.
    Raises: torch.OutOfMemoryError for more than one picture; of one, it is the metric's reason.
    """
    columns: list[Column] = []
    means: list[Tensor] = [reconstruction.new_empty(0, dtype=torch.float64)]
    maps: dict[str, Tensor] = {}
    for metric, features in zip(metrics, references.features, strict=True):
        variant = metric.variant(rounded)
        if isinstance(features, MetricError):
            columns.append(Column(metric, variant, 0, str(features)))
            continue
        wants_map = variant in maps_of
        try:
            with memory_told():
                result = metric.compare(
                    features, reconstruction, want_maps=wants_map or any(references.regions)
                )
                own = [result.values.to(means[0])]
                if result.maps is not None:
                    own += _region_means(references, result.maps)
                    if wants_map:
                        maps[variant] = result.maps
        except (MetricError, torch.OutOfMemoryError) as error:
            columns.append(Column(metric, variant, 0, _reason(error, len(reconstruction))))
            continue
        columns.append(Column(metric, variant, sum(map(len, own)), reasons=result.reasons))
        means += own
    sheet = Sheet(codec, references.image_ids, references.placed_regions, tuple(columns))
    return Measured(sheet, torch.cat(means), maps)


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
    measured = measure_batch(metrics, references, codec, reconstruction, rounded)
    return measured.sheet.scores(measured.means.tolist())


def empty_score(image_id: str, codec: str, column: MetricColumn) -> Score:
    """Return the row of a whole picture's metric that could not be computed."""
    return Score(image_id, codec, WHOLE, WHOLE, column.name, column.variant, None, column.unit)


def _region_means(references: References, maps: Tensor) -> list[Tensor]:
    """Return the mean of the map [N, H, W] over each region, float64 [1]."""
    if maps.shape[1:] != references.pixels.shape[2:]:
        raise MetricError(
            f"A map has shape {list(maps.shape[1:])}, its picture "
            f"{list(references.pixels.shape[2:])}: a region's pixels cannot be found in it."
        )
    means: list[Tensor] = []
    for (index, region), chosen in zip(references.placed_regions, references.masked, strict=True):
        x0, y0, x1, y1 = region.box_px
        pixels = maps[index, y0:y1, x0:x1]
        if chosen is not None:
            pixels = pixels.flatten()[chosen]
        means.append(pixels.mean(dtype=torch.float64)[None])
    return means


def _reason(error: MetricError | torch.OutOfMemoryError, pictures: int) -> str:
    """Return why a metric has no value; fewer pictures may have one where memory ran out."""
    if isinstance(error, MetricError):
        return str(error)
    if pictures > 1:
        raise error
    return f"the device's memory ran out: {first_line(error)}"
