"""The straight line: pictures through codecs through metrics into a run folder."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..codecs.base import Codec
from ..codecs.tensors import from_levels
from ..errors import RunFolderError
from ..records import REFERENCE, ImageRef, Progress
from ..store.parts import finished_images, parts_of
from ..store.pictures import drop_all_but_worst, keep_picture
from ..store.record import RunRecord, read_record, where_it_began, write_record
from ..store.run import StoredRun, create_run, finish_run, load_run
from ..suite import Suite
from .batches import CodecBatch, Found, keep_seen, no_memory, run_codec, write_parts
from .decoded import Decoded
from .devices import memory_told
from .latent_health import finish_latents
from .measure import References, prepare_references
from .pipeline import ReadAhead, WriteBehind, file_threads
from .plan import (
    Plan,
    make_plan,
    record_of,
    refuse_changes,
    scored_images,
)


class MemoryWarning(UserWarning):
    """Memory did not hold a batch; the run went on with smaller ones."""


def evaluate(suite: Suite, folder: Path, command: str, progress: Progress) -> StoredRun:
    """Score every picture and region of the suite with every codec, into a new run folder.

    Raises: VaebenchError before anything is written; afterwards a picture or metric that fails is
    listed and the run goes on.
    """
    decoded = Decoded(suite)
    plan = make_plan(suite, progress, decoded)
    record = record_of(plan, folder, command)
    create_run(folder, record)
    return _score_all(plan, decoded, folder, record, progress)


def resume(folder: Path, progress: Progress, suite: Suite | None = None) -> StoredRun:
    """Go on with a run that was stopped; its finished pictures are not done again.

    Args:
        suite: the run's own, with codecs that were given by hand again.
    Raises: RunFolderError where pictures, weights or libraries are no longer those it began with.
    """
    record = read_record(folder)
    if record.finished:
        return load_run(folder)
    if not record.images:
        raise RunFolderError(
            f"Cannot go on with {folder}: it is a speed run, whose cells belong to one session. "
            "Its finished cells are kept; run vaebench speed again for all of them."
        )
    suite = suite or record.suite
    decoded = Decoded(suite)
    with where_it_began(record):
        plan = make_plan(suite, progress, decoded)
    refuse_changes(folder, record, plan)
    return _score_all(plan, decoded, folder, record, progress)


def _score_all(
    plan: Plan, decoded: Decoded, folder: Path, record: RunRecord, progress: Progress
) -> StoredRun:
    images = scored_images(plan)
    done = finished_images(folder)
    progress("scoring", len(done), len(images))
    todo = [image for image in images if image.image_id not in done]
    batches = _batches(todo, plan.suite.batch_size)
    threads = file_threads(plan.device)
    finished: deque[str] = deque()

    def tell() -> None:
        while finished:
            done.add(finished.popleft())
            progress("scoring", len(done), len(images))

    with (
        ReadAhead(decoded.take, batches, threads) as ahead,
        WriteBehind(threads, most_waiting=2 * max(plan.suite.batch_size, threads) + 2) as behind,
    ):
        scoring = _Scoring(plan, folder, record, behind, finished)
        for batch, pixels in ahead:
            with torch.inference_mode():
                scoring.score(batch, pixels)
            tell()
    tell()
    if plan.suite.keep == "worst":
        # Before the run counts as finished: a kill in between must not leave the others behind.
        _drop_all_but_worst(plan, folder)
    parts = parts_of(folder, scoring.record)
    latents = finish_latents(folder, scoring.record, parts)
    finish_run(folder, replace(scoring.record, latents=latents), parts)
    return load_run(folder)


@dataclass
class _Scoring:
    """Scores batches one after the other and hands over what is to be written.

    `most_px` is the largest batch, in pixels, that is tried: none before memory first ran out.
    """

    plan: Plan
    folder: Path
    record: RunRecord
    behind: WriteBehind
    finished: deque[str]
    most_px: float = math.inf

    def score(self, batch: Sequence[ImageRef], pixels: Sequence[NDArray[np.uint8]]) -> None:
        """Score a batch of pictures of one size, in parts where memory does not hold it."""
        area_px = batch[0].width_px * batch[0].height_px
        start = 0
        while start < len(batch):
            count = max(1, int(min(len(batch) - start, self.most_px // area_px)))
            part = slice(start, start + count)
            if self._fits(batch[part], pixels[part]):
                start += count
            else:
                self._halve(batch[start], count)

    def _fits(self, batch: Sequence[ImageRef], pixels: Sequence[NDArray[np.uint8]]) -> bool:
        """Score a batch; False where that takes more memory than the device has."""
        try:
            self._score(batch, pixels)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            return False
        return True

    def _halve(self, image: ImageRef, count: int) -> None:
        # What was handed over of the batch is written again: not by two threads at once.
        self.behind.settle()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = count // 2
        self.most_px = half * image.width_px * image.height_px
        size = f"{image.width_px}x{image.height_px} px"
        note = (
            f"memory ran out with {count} pictures of {size} at once; "
            f"the run went on with at most {half} of that size"
        )
        self.record = replace(self.record, notes=(*self.record.notes, note))
        write_record(self.folder, self.record)
        warnings.warn(note, MemoryWarning, stacklevel=2)

    def _score(self, batch: Sequence[ImageRef], pixels: Sequence[NDArray[np.uint8]]) -> None:
        plan, behind = self.plan, self.behind
        image_ids = [image.image_id for image in batch]
        references = _prepare(plan, image_ids, pixels)
        jobs: list[Future[None]] = []
        if plan.suite.keep != "none":
            jobs += [
                behind.give(partial(keep_picture, self.folder, REFERENCE, image_id, own))
                for image_id, own in zip(image_ids, pixels, strict=True)
            ]
        found: list[Found] = []
        for codec in plan.codecs:
            made = _run_codec(plan, codec, image_ids, references)
            found.append(made.found)
            jobs += [
                behind.give(partial(keep_seen, self.folder, made, index))
                for index in range(len(batch))
            ]
        behind.give(lambda: self._finish(found), after=jobs)

    def _finish(self, found: Sequence[Found]) -> None:
        self.finished.extend(write_parts(self.folder, self.plan, found))


def _run_codec(
    plan: Plan,
    codec: Codec,
    image_ids: Sequence[str],
    references: References | torch.OutOfMemoryError,
) -> CodecBatch:
    """Put a batch through a codec; a single picture that memory does not hold is its failure."""
    if isinstance(references, torch.OutOfMemoryError):
        return no_memory(codec, image_ids[0], references)
    try:
        with memory_told():
            return run_codec(plan, codec, references)
    except torch.OutOfMemoryError as error:
        if len(image_ids) > 1:
            raise
        return no_memory(codec, image_ids[0], error)


def _prepare(
    plan: Plan, image_ids: Sequence[str], pixels: Sequence[NDArray[np.uint8]]
) -> References | torch.OutOfMemoryError:
    """Prepare the reference side of every metric once.

    Returns: the error where not even the pixels of a single picture fit the device.
    """
    regions = [plan.regions[image_id] for image_id in image_ids]
    try:
        with memory_told():
            uploaded = from_levels(pixels, torch.device(plan.device))
            return prepare_references(plan.metrics, image_ids, regions, uploaded)
    except torch.OutOfMemoryError as error:
        if len(image_ids) > 1:
            raise
        return error.with_traceback(None)


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
