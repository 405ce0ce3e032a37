"""More metrics for a finished run, from its stored pictures: no model runs again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from ..metrics import Metric
from .errors import RunFolderError
from .plan import Progress, open_metrics
from .records import MetricColumn, Score, Unavailable
from .scoring import empty_score, prepare_references, score_batch
from .store import SCORE_COLUMNS, StoredRun, load_run, write_record, write_scores


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
    for done, image in enumerate(images):
        progress("scoring", done, len(images))
        with torch.inference_mode():
            rows, reasons = _score_picture(run, image["image_id"], metrics)
        scores += rows
        unavailable += reasons
        scores += [
            empty_score(image["image_id"], codec["name"], column)
            for codec in record["codecs"]
            for column in columns
            if any(entry.variant == column.variant for entry in missing)
        ]
    progress("scoring", len(images), len(images))
    _replace(run, scores, unavailable, columns)
    return load_run(run.folder)


def _score_picture(
    run: StoredRun, image_id: str, metrics: Sequence[Metric]
) -> tuple[list[Score], list[Unavailable]]:
    regions = [region for region in run.regions if region.image_id == image_id]
    reference = _read(run.reference_path(image_id))
    scores: list[Score] = []
    unavailable: list[Unavailable] = []
    if reference is not None:
        references = prepare_references(metrics, [image_id], [regions], reference)
        for codec in run.record["codecs"]:
            reconstruction = _read(run.reconstruction_path(codec["name"], image_id))
            if reconstruction is not None:
                picture = score_batch(
                    metrics, references, codec["name"], reconstruction, rounded=True
                )[0]
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


def _read(path: Path | None) -> torch.Tensor | None:
    """Return a kept picture as float32 [1, 3, H, W] in [0, 1]."""
    if path is None:
        return None
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().div(255).contiguous()
