"""More metrics for a finished run, from its stored pictures: no model runs again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ...metrics import Metric
from ..codecs.tensors import default_device, from_levels
from ..errors import ImageError, RunFolderError
from ..images.pixels import read_pixels
from ..records import ImageRef, MetricColumn, Progress, Score, Unavailable
from ..store.record import write_record
from ..store.run import StoredRun, load_run
from ..store.tables import SCORE_COLUMNS, write_scores
from .measure import References, empty_score, prepare_references, score_batch
from .pipeline import ReadAhead, file_threads
from .plan import open_metrics


def add_metrics(
    run: StoredRun, names: Sequence[str], weights: str | None, progress: Progress
) -> StoredRun:
    """Compute metrics on a run's stored 8-bit pictures and add their rows to its scores.

    A variant that the run has already is computed again and replaced. Where a picture was not
    kept, or is damaged by now, the metric is unavailable, with that reason.
    Raises: RunFolderError where the run is not finished.
    """
    record = run.record
    if not record.finished:
        raise RunFolderError(
            f"{run.folder} is not finished. Go on with it first: "
            f"vaebench run --resume {shlex.quote(str(run.folder))}"
        )
    device = str(default_device())
    metrics, columns, missing = open_metrics(names, weights, device, rounded=True)
    scores: list[Score] = []
    unavailable = list(missing)
    images = record.images
    batches = [[image] for image in images]
    with ReadAhead(lambda image: _read(run, image), batches, file_threads(device)) as ahead:
        for done, ((image,), (kept,)) in enumerate(ahead):
            progress("scoring", done, len(images))
            image_id = image.image_id
            with torch.inference_mode():
                rows, reasons = _score_picture(run, image_id, kept, metrics, device)
            scores += rows
            unavailable += reasons
            scores += [
                empty_score(image_id, codec.name, column)
                for codec in record.codecs
                for column in columns
                if any(entry.variant == column.variant for entry in missing)
            ]
    progress("scoring", len(images), len(images))
    _replace(run, scores, unavailable, columns)
    return load_run(run.folder)


Pixels = NDArray[np.uint8] | str
"""uint8 [H, W, 3], or the reason why there are none."""


@dataclass(frozen=True)
class _Kept:
    """What a run kept of a picture: the reference, and by codec what it made."""

    reference: Pixels
    reconstructions: dict[str, Pixels]


def _read(run: StoredRun, image: ImageRef) -> _Kept:
    return _Kept(
        _pixels(run, image, run.reference_path(image.image_id)),
        {
            codec.name: _pixels(run, image, run.reconstruction_path(codec.name, image.image_id))
            for codec in run.record.codecs
        },
    )


def _pixels(run: StoredRun, image: ImageRef, path: Path | None) -> Pixels:
    if path is None:
        return f"its pictures were not kept (--keep {run.record.suite.keep})"
    where = path.relative_to(run.folder).as_posix()
    try:
        rgb, notes = read_pixels(path)
    except ImageError as error:
        return f"{where} is damaged: {error}"
    height, width = rgb.shape[:2]
    expected = (image.width_px, image.height_px)
    if (width, height) != expected:
        return f"{where} is damaged: it has {width}x{height} px, not {expected[0]}x{expected[1]}"
    # What a run writes needs no conversion.
    return f"{where} is damaged: {'; '.join(notes)}" if notes else rgb


def _score_picture(
    run: StoredRun, image_id: str, kept: _Kept, metrics: Sequence[Metric], device: str
) -> tuple[list[Score], list[Unavailable]]:
    regions = [region for region in run.regions if region.image_id == image_id]
    scores: list[Score] = []
    unavailable: list[Unavailable] = []
    references: References | None = None
    for name, pixels in kept.reconstructions.items():
        if isinstance(kept.reference, str) or isinstance(pixels, str):
            reason = kept.reference if isinstance(kept.reference, str) else str(pixels)
            for metric in metrics:
                variant = metric.variant(rounded=True)
                column = MetricColumn(metric.name, variant, metric.unit, metric.higher_is_better)
                scores.append(empty_score(image_id, name, column))
                unavailable.append(Unavailable(metric.name, variant, reason, image_id, name))
            continue
        if references is None:
            reference = from_levels([kept.reference], torch.device(device))
            references = prepare_references(metrics, [image_id], [regions], reference)
        reconstruction = from_levels([pixels], references.pixels.device)
        picture = score_batch(metrics, references, name, reconstruction, rounded=True)[0]
        scores += picture.scores
        unavailable += picture.unavailable
    return scores, unavailable


def _replace(
    run: StoredRun,
    scores: Sequence[Score],
    unavailable: Sequence[Unavailable],
    columns: Sequence[MetricColumn],
) -> None:
    """Put the new rows in the place of older ones of the same variants."""
    variants = {column.variant for column in columns}
    kept = run.scores[~run.scores["variant"].isin(list(variants))]
    added = pd.DataFrame([asdict(score) for score in scores], columns=pd.Index(SCORE_COLUMNS))
    frames = [frame for frame in (kept, added.astype({"value": "float64"})) if len(frame)]
    others = [column for column in run.record.metrics if column.variant not in variants]
    reasons = [entry for entry in run.record.unavailable if entry.variant not in variants]
    # The record first: a table with rows of a metric that it lacks would be of another run.
    write_record(
        run.folder,
        replace(run.record, metrics=(*others, *columns), unavailable=(*reasons, *unavailable)),
    )
    write_scores(run.folder, pd.DataFrame(pd.concat(frames, ignore_index=True)))
