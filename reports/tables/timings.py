"""Timed cells as a report reads them: rows of timings.parquet, their table, what is wrong with any.

An absent number is None in a cell, a dash in a table, and empty in CSV.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from ...bench.records import DeviceState, Timing
from ...bench.store.run import StoredRun
from .columns import NOT_APPLICABLE
from .reading import Section, byte_count, listed, milliseconds, share, significant

CPU = "CPU"

_WHOLE_NUMBERS = (
    "batch",
    "height_px",
    "width_px",
    "threads",
    "warmup_runs",
    "peak_bytes",
    "peak_reserved_bytes",
    "flop",
)
NEVER_SETTLED = "never settled"
_GRAVITY = {"overflow": 1, "throttled": 2, NEVER_SETTLED: 3}
"""What has no numbers at all comes first."""

_UNSETTLED = "the warm-up ended before the medians of two windows in a row agreed"


def timed_cells(run: StoredRun) -> list[Timing]:
    """Return the timed cells of a run in the order in which they were timed."""
    rows: list[dict[str, Any]] = run.timings.to_dict("records")
    return [
        Timing(**{entry.name: _value(entry.name, row[entry.name]) for entry in fields(Timing)})
        for row in rows
    ]


def _value(name: str, value: Any) -> Any:
    if name in ("samples_ms", "wall_ms"):
        return tuple(float(sample) for sample in value) if isinstance(value, np.ndarray) else ()
    if value is None or pd.isna(value):
        return None
    if name in _WHOLE_NUMBERS:
        return int(value)
    if name == "settings":
        return json.loads(value)
    if name in ("before", "after"):
        state = json.loads(value)
        reasons = state.pop("throttle_reasons", None)
        return DeviceState(**state, throttle_reasons=None if reasons is None else tuple(reasons))
    return bool(value) if name in ("settled", "throttled") else value


def devices_of(cells: Sequence[Timing]) -> list[str]:
    """Return the devices of cells, GPUs first, each once."""
    names = dict.fromkeys(cell.device for cell in cells)
    return sorted(names, key=lambda name: name == CPU)


def device_phrase(run: StoredRun, cells: Sequence[Timing], device: str) -> str:
    """Return a GPU's name, or `CPU` with its model and threads, which no reader takes for a GPU."""
    if device != CPU:
        return device
    counts = sorted({cell.threads for cell in cells if cell.device == CPU and cell.threads})
    model = run.record.environment.cpu
    details = [model] if model else []
    if counts:
        plural = "" if counts == [1] else "s"
        details.append(f"{' or '.join(map(str, counts))} thread{plural}")
    return f"CPU ({', '.join(details)})" if details else CPU


def size_text(cell: Timing) -> str:
    """Return a cell's picture size as width × height."""
    return f"{cell.width_px}×{cell.height_px}"


def cell_text(cell: Timing) -> str:
    """Return a cell's name within its device."""
    parts = [cell.codec, cell.stage, size_text(cell), f"batch {cell.batch}"]
    # A classical codec has neither precision nor mode.
    return " · ".join([*parts, *([cell.dtype, cell.mode] if cell.dtype else [])])


def remarks(cell: Timing) -> list[tuple[str, str]]:
    """Return what a reader of a cell's numbers must know, as (words, reason) pairs."""
    found: list[tuple[str, str]] = []
    if cell.status != "ok":
        found.append((cell.status, cell.reason or "no reason was given"))
    if cell.throttled:
        states = [state for state in (cell.before, cell.after) if state is not None]
        names = dict.fromkeys(name for state in states for name in state.throttle_reasons or ())
        found.append(("throttled", f"clocks held down by {', '.join(names) or 'the driver'}"))
    if cell.samples_ms and not cell.settled:
        found.append((NEVER_SETTLED, _UNSETTLED))
    return found


def gathered_remarks(cells: Sequence[Timing]) -> list[tuple[str, str, list[str]]]:
    """Return the remarks of cells as (words, reason, cells that it holds for), gravest first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for remark in remarks(cell):
            groups.setdefault(remark, []).append(cell_text(cell))
    found = [(words, reason, names) for (words, reason), names in groups.items()]
    return sorted(found, key=lambda remark: _GRAVITY.get(remark[0], 0))


_WHAT = (
    *("codec", "stage", "width_px", "height_px", "batch"),
    *("dtype", "mode", "device", "threads"),
)
_FOUND = (
    *("images_per_s", "megapixels_per_s", "tflops", "share_of_peak"),
    *("flop", "peak_bytes", "peak_reserved_bytes", "first_call_ms"),
)
_HOW = ("warmup_runs", "settled", "throttled", "clock", "status", "reason")


def timings(run: StoredRun) -> pd.DataFrame:
    """Return one row a timed cell, numbers in full; `samples` counts them.

    Source: percentiles are linearly interpolated (Hyndman and Fan 1996, definition 7); images/s
    and what follows from it use the median.
    """
    rows: list[dict[str, Any]] = []
    for cell in timed_cells(run):
        row: dict[str, Any] = {name: getattr(cell, name) for name in _WHAT}
        row |= {f"p{percent}_ms": cell.percentile_ms(percent) for percent in (50, 90, 99)}
        row |= {name: getattr(cell, name) for name in _FOUND}
        row |= {"samples": len(cell.samples_ms)}
        row |= {name: getattr(cell, name) for name in _HOW}
        row["settings"] = json.dumps(dict(cell.settings), sort_keys=True)
        rows.append(row)
    # Objects, so that a whole number beside an absent one stays whole.
    return pd.DataFrame(rows, dtype=object)


def timing_sections(run: StoredRun) -> list[Section]:
    """Return the table for reading: what a terminal shows first, then the rest of the numbers."""
    cells = timed_cells(run)
    devices = devices_of(cells)
    several = len(devices) > 1
    where = " and ".join(device_phrase(run, cells, device) for device in devices)
    keys = ("codec", "stage", "size", "batch", "dtype", "mode", *(("device",) if several else ()))
    named = [(cell, _key(cell, several)) for cell in cells]
    key_is_number = tuple(name in ("size", "batch") for name in keys)
    first = Section(
        f"Time of a batch on {where}",
        (*keys, "p50 ms", "p99 ms", "images/s", "memory", "note"),
        tuple((*key, *_main(cell)) for cell, key in named),
        (*key_is_number, *(True,) * 4, False),
        _notes(cells),
    )
    rest = Section(
        f"Percentiles, work and memory on {where}",
        (*keys, *_REST),
        tuple((*key, *_more(cell)) for cell, key in named),
        (*key_is_number, *(True,) * (len(_REST) - 3), False, False, False),
    )
    return [first, rest]


_REST = (
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "MP/s",
    "TFLOP/s",
    "of peak",
    "allocated",
    "reserved",
    "first call ms",
    "samples",
    "warm-up runs",
    "settled",
    "clock",
    "status",
)


def _key(cell: Timing, with_device: bool) -> tuple[str, ...]:
    key = (cell.codec, cell.stage, size_text(cell), str(cell.batch))
    device = (cell.device,) if with_device else ()
    how = (cell.dtype, cell.mode) if cell.dtype else (NOT_APPLICABLE, NOT_APPLICABLE)
    return (*key, *how, *device)


def _main(cell: Timing) -> tuple[str, ...]:
    return (
        milliseconds(cell.percentile_ms(50)),
        milliseconds(cell.percentile_ms(99)),
        significant(cell.images_per_s),
        byte_count(cell.peak_bytes),
        ", ".join(words for words, _ in remarks(cell)),
    )


def _more(cell: Timing) -> tuple[str, ...]:
    words = [words for words, _ in remarks(cell) if words != NEVER_SETTLED]
    return (
        *(milliseconds(cell.percentile_ms(percent)) for percent in (50, 90, 99)),
        significant(cell.megapixels_per_s),
        significant(cell.tflops),
        share(cell.share_of_peak),
        byte_count(cell.peak_bytes),
        byte_count(cell.peak_reserved_bytes),
        milliseconds(cell.first_call_ms),
        str(len(cell.samples_ms)) if cell.samples_ms else NOT_APPLICABLE,
        str(cell.warmup_runs) if cell.warmup_runs else NOT_APPLICABLE,
        ("yes" if cell.settled else "never") if cell.samples_ms else NOT_APPLICABLE,
        cell.clock,
        ", ".join(words) or "ok",
    )


def where_text(words: str, names: list[str], total: int) -> str:
    """Return which cells a remark holds for; how many where it is the mildest and they are many."""
    if words == NEVER_SETTLED and len(names) > 1:
        return f"{len(names)} of {total} cells"
    return listed(names)


def _notes(cells: Sequence[Timing]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (words, f"{where_text(words, names, len(cells))}: {reason}")
        for words, reason, names in gathered_remarks(cells)
    )
