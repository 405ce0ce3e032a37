"""The straight line: pictures through codecs through metrics into a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .codecs.base import Codec
from .errors import RunFolderError
from .pictures import drop_all_but_worst, keep_latents, keep_map, keep_picture, to_uint8
from .pixels import fit_pixels, read_pixels
from .plan import Plan, Progress, make_plan, new_record, refuse_changes, scored_images
from .reconstruct import Failure, Reconstruction, reconstruct
from .records import REFERENCE, WHOLE, ImageRef, Score, Unavailable
from .scoring import PictureScores, References, empty_score, prepare_references, score_batch
from .store import (
    StoredRun,
    create_run,
    finish_run,
    finished_images,
    load_run,
    read_record,
    write_part,
)
from .suite import Suite


def evaluate(suite: Suite, folder: Path, command: str, progress: Progress) -> StoredRun:
    """Score every picture and region of the suite with every codec, into a new run folder.

    Raises: VaebenchError before anything is written; afterwards a picture or metric that fails is
    listed and the run goes on.
    """
    plan = make_plan(suite, progress)
    record = new_record(plan, folder, command)
    create_run(folder, record)
    return _score_all(plan, folder, record, progress)


def resume(folder: Path, progress: Progress) -> StoredRun:
    """Go on with a run that was stopped; its finished pictures are not done again.

    Raises: RunFolderError where pictures, weights or libraries are no longer those it began with.
    """
    record = read_record(folder)
    if record["finished"]:
        return load_run(folder)
    if "timed" in record:
        raise RunFolderError(
            f"Cannot go on with {folder}: it is a speed run, whose cells belong to one session. "
            "Its finished cells are kept; run vaebench speed again for all of them."
        )
    plan = make_plan(Suite.create(**record["suite"]), progress)
    refuse_changes(folder, record, plan)
    return _score_all(plan, folder, record, progress)


def _score_all(plan: Plan, folder: Path, record: dict[str, Any], progress: Progress) -> StoredRun:
    images = scored_images(plan)
    done = finished_images(folder)
    progress("scoring", len(done), len(images))
    todo = [image for image in images if image.image_id not in done]
    for batch in _batches(todo, plan.suite.batch_size):
        with torch.inference_mode():
            references = _read_batch(plan, batch)
            pictures = _score_batch(plan, folder, references)
        for image_id, picture in pictures.items():
            write_part(folder, image_id, picture.scores, picture.unavailable)
            done.add(image_id)
            progress("scoring", len(done), len(images))
    if plan.suite.keep == "worst":
        # Before the run counts as finished: a kill in between must not leave the others behind.
        _drop_all_but_worst(plan, folder)
    finish_run(folder, record)
    return load_run(folder)


def _drop_all_but_worst(plan: Plan, folder: Path) -> None:
    lower_is_worse = {
        column.variant: column.higher_is_better
        for column in plan.columns
        if column.higher_is_better is not None
    }
    drop_all_but_worst(folder, load_run(folder).scores, lower_is_worse)


def _batches(images: Sequence[ImageRef], batch_size: int) -> Iterator[list[ImageRef]]:
    """Yield batches of pictures of one size."""
    sizes: dict[tuple[int, int], list[ImageRef]] = {}
    for image in images:
        sizes.setdefault((image.width_px, image.height_px), []).append(image)
    for same in sizes.values():
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def _read_batch(plan: Plan, batch: Sequence[ImageRef]) -> References:
    """Read each file once and prepare the reference side of every metric once."""
    suite = plan.suite
    arrays: list[np.ndarray] = []
    for image in batch:
        array, _ = read_pixels(image, suite.background)
        arrays.append(fit_pixels(array, suite.size, suite.fit or "crop", suite.background))
    pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).to(plan.device)
    ids = [image.image_id for image in batch]
    return prepare_references(
        plan.metrics,
        ids,
        [plan.regions[image_id] for image_id in ids],
        pixels.float().div(255).contiguous(),
    )


def _score_batch(plan: Plan, folder: Path, references: References) -> dict[str, PictureScores]:
    """Score a batch with every codec and keep its pictures."""
    totals = {image_id: PictureScores() for image_id in references.image_ids}
    if plan.suite.keep != "none":
        for image_id, reference in zip(references.image_ids, references.pixels, strict=True):
            keep_picture(folder, REFERENCE, image_id, to_uint8(reference))
    for codec in plan.codecs:
        answers = reconstruct(codec, references.pixels)
        clamped = _clamped(answers, references.pixels)
        rounded = clamped.mul(255).round().div(255)
        judged = rounded if plan.rounded else clamped
        scored = score_batch(plan.metrics, references, codec.info.name, judged, plan.rounded)
        for index, image_id in enumerate(references.image_ids):
            answer, total, picture = answers[index], totals[image_id], scored[index]
            if isinstance(answer, Failure):
                _add_failure(total, plan, image_id, codec, answer.reason)
                continue
            total.scores += picture.scores
            total.scores += _missing(plan, image_id, codec)
            total.scores += _rates(image_id, codec, answer)
            total.unavailable += picture.unavailable
            if plan.suite.keep != "none":
                error = (rounded[index] - references.pixels[index]).abs().mean(0)
                error_map = picture.maps.get(plan.map_column.variant, error)
                _keep(folder, codec, image_id, answer, rounded[index], error_map)
    return totals


def _clamped(answers: Sequence[Reconstruction | Failure], references: Tensor) -> Tensor:
    """Return the reconstructions in [0, 1]; a failure's place is held by its reference."""
    return torch.stack(
        [
            own if isinstance(answer, Failure) else answer.pixels.float().clamp(0, 1)
            for answer, own in zip(answers, references, strict=True)
        ]
    )


def _add_failure(
    total: PictureScores, plan: Plan, image_id: str, codec: Codec, reason: str
) -> None:
    name = codec.info.name
    for column in plan.columns:
        total.unavailable.append(Unavailable(column.name, column.variant, reason, image_id, name))
        total.scores.append(empty_score(image_id, name, column))


def _missing(plan: Plan, image_id: str, codec: Codec) -> list[Score]:
    """Return the rows of the metrics that cannot be computed here at all."""
    missing = {entry.variant for entry in plan.unavailable}
    return [
        empty_score(image_id, codec.info.name, column)
        for column in plan.columns
        if column.variant in missing
    ]


def _rates(image_id: str, codec: Codec, answer: Reconstruction) -> list[Score]:
    """Return what the picture costs: bits per pixel, and how much smaller than 8-bit RGB."""
    name = codec.info.name
    pixels = answer.pixels.shape[1] * answer.pixels.shape[2]
    bits = "bpp/measured" if answer.latents is None else "bpp/stored"
    rates: list[tuple[str, str, float, str]] = [
        ("bpp", bits, answer.nbits / pixels, "bit/px"),
        ("stored_bits_ratio", "stored_bits_ratio/rgb8", 24 * pixels / answer.nbits, ""),
    ]
    if answer.latents is not None:
        elements = 3 * pixels / answer.latents.numel()
        rates.append(("elements_ratio", "elements_ratio", elements, ""))
    return [Score(image_id, name, WHOLE, WHOLE, *rate) for rate in rates]


def _keep(
    folder: Path,
    codec: Codec,
    image_id: str,
    answer: Reconstruction,
    rounded: Tensor,
    error_map: Tensor,
) -> None:
    name = codec.info.name
    keep_picture(folder, name, image_id, to_uint8(rounded))
    keep_map(folder, name, image_id, error_map, full_scale=1.0)
    if answer.latents is not None:
        keep_latents(folder, name, image_id, answer.latents)
