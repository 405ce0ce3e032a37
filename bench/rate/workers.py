"""Pictures spread over threads: codecs and metrics compute without the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Event, local

import torch

from ..codecs.tensors import default_device
from ..records import CodecInfo, ImageRef, Region
from ..scoring.plan import open_metrics
from .gallery import EqualRow, equal_rows, keep_reference
from .knobs import Sweep
from .picture import OPENING, OpenedSweep, PictureBench, RdFailure, sweep_picture
from .points import PointCache

MOST_WORKERS = 8


@dataclass(frozen=True)
class Task:
    """What every worker needs: the sweeps, the metrics by name, the cache and the gallery."""

    sweeps: tuple[Sweep, ...]
    infos: tuple[CodecInfo, ...]
    metrics: tuple[str, ...]
    weights: str | None
    background: str
    cache: PointCache
    gallery: Path


@dataclass(frozen=True)
class PictureWork:
    """One picture: its regions, and whether its files are kept in the gallery."""

    image: ImageRef
    regions: tuple[Region, ...]
    is_kept: bool


@dataclass(frozen=True)
class PictureResult:
    """What became of one picture; `reference` is its file in the gallery."""

    image_id: str
    rows: tuple[EqualRow, ...]
    failures: tuple[RdFailure, ...]
    reference: str | None


class Worker:
    """Measures pictures one after the other; codecs and metrics are opened once, when needed."""

    def __init__(self, task: Task, told: Callable[[], None]) -> None:
        self._task = task
        self._told = told
        device = str(default_device())
        with OPENING:
            self._metrics = open_metrics(task.metrics, task.weights, device, rounded=True)[0]
        pairs = zip(task.sweeps, task.infos, strict=True)
        self._sweeps = [OpenedSweep(sweep, info) for sweep, info in pairs]

    def measure(self, work: PictureWork) -> PictureResult:
        """Return the failures and the gallery's rows of a picture; its points are in the cache."""
        task = self._task
        bench = PictureBench(work.image, work.regions, self._metrics, task.cache, task.background)
        folder = task.gallery if work.is_kept else None
        with torch.inference_mode():
            failures = sweep_picture(bench, self._sweeps, self._told)
            rows, more = equal_rows(bench, self._sweeps, folder, self._told)
            has_row = folder is not None and bool(rows)
            reference = keep_reference(bench, task.gallery) if has_row else None
        return PictureResult(work.image.image_id, tuple(rows), (*failures, *more), reference)


def measure_pictures(
    task: Task, works: Sequence[PictureWork], workers: int | None, told: Callable[[], None]
) -> list[PictureResult]:
    """Measure all pictures, in threads where there is more than one worker.

    Args:
        workers: None for one a core, at most MOST_WORKERS.
        told: called after each point, by this thread.
    Returns: a result for each picture, in their order.
    """
    count = min(workers or min(available_cores(), MOST_WORKERS), len(works))
    if count <= 1:
        worker = Worker(task, told)
        return [worker.measure(work) for work in works]
    stop, own = Event(), local()
    # A point that was measured, or a picture that is done.
    news: SimpleQueue[Future[PictureResult] | None] = SimpleQueue()

    def tell() -> None:
        news.put(None)
        if stop.is_set():
            raise _Stopped

    def measure(work: PictureWork) -> PictureResult:
        # Networks and metrics of other packages keep things from call to call: each thread its own.
        if not hasattr(own, "worker"):
            own.worker = Worker(task, tell)
        return own.worker.measure(work)

    with _one_thread_each(), ThreadPoolExecutor(count) as pool:
        try:
            futures = [pool.submit(measure, work) for work in works]
            for future in futures:
                future.add_done_callback(news.put)
            left = len(futures)
            while left:
                if (done := news.get()) is None:
                    told()
                else:
                    done.result()
                    left -= 1
            return [future.result() for future in futures]
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Generator[None]:
    """Let torch compute in one thread for each that asks it: there is one asking for each core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Stopped(BaseException):
    """The command was stopped; no codec's failure, so that nothing lists it as one."""
