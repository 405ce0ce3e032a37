"""Pictures spread over processes: FLIP holds the interpreter's lock, so threads would wait."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from ..errors import VaebenchError
from ..records import CodecInfo, ImageRef, Region
from .gallery import EqualRow, equal_rows, keep_reference
from .knobs import Sweep
from .picture import OpenedSweep, PictureBench, RdFailure, default_device, sweep_picture
from .points import PointCache

MOST_WORKERS = 8
_POLL_S = 0.2


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
        from ..scoring.plan import open_metrics

        self._task = task
        self._told = told
        self._metrics = open_metrics(task.metrics, task.weights, default_device(), rounded=True)[0]
        pairs = zip(task.sweeps, task.infos, strict=True)
        self._sweeps = [OpenedSweep(sweep, info) for sweep, info in pairs]

    def measure(self, work: PictureWork) -> PictureResult:
        """Return the failures and the gallery's rows of a picture; its points are in the cache."""
        import torch

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
    """Measure all pictures, in processes of their own where there is more than one worker.

    Args:
        workers: None for one a core, at most MOST_WORKERS.
        told: called after each point, by this process.
    Returns: a result for each picture, in their order.
    Raises: VaebenchError where a process ends early; all points so far are kept.
    """
    count = min(workers or min(available_cores(), MOST_WORKERS), len(works))
    if count <= 1:
        worker = Worker(task, told)
        return [worker.measure(work) for work in works]
    # Not forked: neither torch's threads nor CUDA survive a fork.
    context = multiprocessing.get_context("spawn")
    queue, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(count, context, _begin, (task, queue, stop))
    try:
        with _deaf_children():
            futures = [pool.submit(_measure, work) for work in works]
        _follow(futures, queue, told)
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise VaebenchError(
            f"One of {count} worker processes ended early, for want of memory perhaps. All points "
            "so far are kept: give the same command again, with --workers 1 if it fails again."
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_children() -> Generator[None]:
    """Keep Ctrl-C, which reaches the whole group, from processes that are started meanwhile.

    They would print a traceback where it came before they are set up.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _follow(futures: Sequence[Future[Any]], queue: Any, told: Callable[[], None]) -> None:
    """Pass on what the workers tell, until all is done or one has failed."""
    while True:
        done = all(future.done() for future in futures)
        failed = any(future.done() and future.exception() for future in futures)
        try:
            while True:
                queue.get(timeout=0 if done else _POLL_S)
                told()
        except Empty:
            if done or failed:
                return


class _Stopped(BaseException):
    """The command was stopped; no codec's failure, so that nothing lists it as one."""


_worker: Worker | None = None


def _begin(task: Task, queue: Any, stop: Any) -> None:
    """Set a worker process up."""
    import torch

    global _worker
    # Ctrl-C reaches the whole group; the parent alone answers it, and sets `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)

    def told() -> None:
        queue.put(1)
        if stop.is_set():
            raise _Stopped

    _worker = Worker(task, told)


def _measure(work: PictureWork) -> PictureResult:
    if _worker is None:
        raise RuntimeError("the worker process was not set up")
    return _worker.measure(work)


def _end_with_parent() -> None:
    """End this process when its parent was killed: nobody would read its results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
