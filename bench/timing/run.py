"""Timings in a run folder: of their own, or beside the scores of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..records import Progress, Timing
from ..store.record import new_record, read_record, write_record
from ..store.run import StoredRun, create_run, finish_run, load_run
from ..store.tables import write_timings
from ..suite import Speed, Suite
from .sweep import describe_codecs, plan_variants, time_codecs


def measure_speed(suite: Suite, folder: Path, command: str, progress: Progress) -> StoredRun:
    """Time the suite's codecs into a new run folder without pictures.

    Each finished cell is on disk before the next begins. Where the suite names no precision, a
    network is timed in its own, else float16 on CUDA and float32 on a CPU.

    Raises: VaebenchError before anything is written, a codec that cannot be opened included.
    """
    speed = suite.speed or Speed()
    variants = plan_variants(suite.codecs, speed)
    record = new_record(suite, folder, command, codecs=tuple(describe_codecs(variants)))
    create_run(folder, record)
    time_codecs(variants, speed, progress, _writer(folder))
    finish_run(folder, replace(record, timed=True))
    return load_run(folder)


def add_timings(folder: Path, suite: Suite, progress: Progress) -> None:
    """Time the codecs of a scored run beside its scores, in the precision that was scored.

    Raises: VaebenchError.
    """
    speed = suite.speed or Speed()
    variants = plan_variants(suite.codecs, speed, default_dtype="float32")
    time_codecs(variants, speed, progress, _writer(folder))
    write_record(folder, replace(read_record(folder), timed=True))


def _writer(folder: Path) -> Callable[[list[Timing]], None]:
    return lambda timings: write_timings(folder, timings)
