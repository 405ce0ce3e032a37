"""More metrics for a finished run, from its stored pictures: no model runs again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from ..metrics import Metric
from .errors import RunFolderError
from .pipeline import ReadAhead, file_threads
from .plan import Progress, open_metrics
from .records import MetricColumn, Score, Unavailable
from .scoring import empty_score, prepare_references, score_batch
from .store import SCORE_COLUMNS, StoredRun, load_run, write_record, write_scores
from .transfers import upload


def add_metrics(
    run: StoredRun, names: Sequence[str], weights: str | None, progress: Progress
) -> StoredRun:
    """Compute metrics on a run's stored 8-bit pictures and add their rows to its scores.

    A variant that the run has already is computed again and replaced. Where a picture was not kept
    the metric is unavailable, with that reason.
    Raises: RunFolderError where the run is not finished.
    """
    record = run.record
    if not record["finished"]:
        raise RunFolderError(
            f"{run.folder} is not finished. Go on with it first: vaebench run --resume {run.folder}"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    metrics, columns, missing = open_metrics(names, weights, device, rounded=True)
    scores: list[Score] = []
    unavailable = list(missing)
    images = record["images"]
    batches = [[image["image_id"]] for image in images]
    with ReadAhead(lambda image_id: _read(run, image_id), batches, file_threads(device)) as ahead:
        for done, ((image_id,), (kept,)) in enumerate(ahead):
            progress("scoring", done, len(images))
            with torch.inference_mode():
                rows, reasons = _score_picture(run, image_id, kept, metrics, device)
            scores += rows
            unavailable += reasons
            scores += [
                empty_score(image_id, codec["name"], column)
                for codec in record["codecs"]
                for column in columns
                if any(entry.variant == column.variant for entry in missing)
            ]
    progress("scoring", len(images), len(images))
    _replace(run, scores, unavailable, columns)
    return load_run(run.folder)


@dataclass(frozen=True)
class _Kept:
    """What a run kept of a picture, uint8 [H, W, 3]: the reference, and by codec what it made."""

    reference: NDArray[np.uint8] | None
    reconstructions: dict[str, NDArray[np.uint8]]


def _read(run: StoredRun, image_id: str) -> _Kept:
    names = [str(codec["name"]) for codec in run.record["codecs"]]
    paths = {name: run.reconstruction_path(name, image_id) for name in names}
    reference = run.reference_path(image_id)
    return _Kept(
        None if reference is None else _pixels(reference),
        {name: _pixels(path) for name, path in paths.items() if path is not None},
    )


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _score_picture(
    run: StoredRun, image_id: str, kept: _Kept, metrics: Sequence[Metric], device: str
) -> tuple[list[Score], list[Unavailable]]:
    regions = [region for region in run.regions if region.image_id == image_id]
    scores: list[Score] = []
    unavailable: list[Unavailable] = []
    if kept.reference is not None:
        reference = upload([kept.reference], torch.device(device))
        references = prepare_references(metrics, [image_id], [regions], reference)
        for name, pixels in kept.reconstructions.items():
            reconstruction = upload([pixels], reference.device)
            picture = score_batch(metrics, references, name, reconstruction, rounded=True)[0]
            scores += picture.scores
            unavailable += picture.unavailable
    scored = {score.codec for score in scores}
    for codec in run.record["codecs"]:
        if codec["name"] not in scored:
            reason = f"its pictures were not kept (--keep {run.record['suite']['keep']})"
            for metric in metrics:
                variant = metric.variant(rounded=True)
                column = MetricColumn(metric.name, variant, metric.unit, metric.higher_is_better)
                scores.append(empty_score(image_id, codec["name"], column))
                unavailable.append(
                    Unavailable(metric.name, variant, reason, image_id, codec["name"])
                )
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
    record = run.record
    record["metrics"] = [entry for entry in record["metrics"] if entry["variant"] not in variants]
    record["metrics"] += [asdict(column) for column in columns]
    record["unavailable"] = [
        entry for entry in record["unavailable"] if entry["variant"] not in variants
    ]
    record["unavailable"] += [asdict(entry) for entry in unavailable]
    write_scores(run.folder, pd.DataFrame(pd.concat(frames, ignore_index=True)))
    write_record(run.folder, record)
