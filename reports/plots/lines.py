"""Lines of timed cells, what tells them apart, and the words around a plot of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...bench.records import Timing
from ...bench.store.run import StoredRun
from ..tables.run import codec_names
from ..tables.timings import CPU, device_phrase, timed_cells
from .style import NothingToShowError, shorten

NOT_TIMED = "the run was not timed"


@dataclass(frozen=True)
class Line:
    """What a line's cells share: a codec, in one precision and mode."""

    codec: str
    dtype: str | None
    mode: str


def line_of(cell: Timing) -> Line:
    """Return the line that a cell lies on."""
    return Line(cell.codec, cell.dtype, cell.mode)


def lines_of(cells: Sequence[Timing]) -> dict[Line, str]:
    """Return the lines of cells with their labels, which tell no more than what differs."""
    lines = list(dict.fromkeys(line_of(cell) for cell in cells))
    dtypes = {line.dtype for line in lines if line.dtype}
    modes = {line.mode for line in lines}
    labels: dict[Line, str] = {}
    for line in lines:
        parts = [shorten(line.codec)]
        if len(dtypes) > 1 and line.dtype:
            parts.append(line.dtype)
        if len(modes) > 1:
            parts.append(line.mode)
        labels[line] = " · ".join(parts)
    return labels


def shared_text(cells: Sequence[Timing]) -> str:
    """Return the precision and mode that all networks' cells share, for a caption; or nothing."""
    dtypes = {cell.dtype for cell in cells if cell.dtype}
    modes = {cell.mode for cell in cells if cell.dtype}
    shared = [next(iter(dtypes))] if len(dtypes) == 1 else []
    shared += [next(iter(modes))] if len(modes) == 1 else []
    return f"All {', '.join(shared)}." if shared else ""


def on_device(run: StoredRun, cells: Sequence[Timing], device: str) -> str:
    """Return the sentence of a caption that names the device."""
    phrase = device_phrase(run, cells, device)
    return f"Measured on {phrase}{', not on a GPU' if device == CPU else ''}."


def stem_of(name: str, device: str, devices: Sequence[str]) -> str:
    """Return a plot's file name: with the device where a run has several."""
    if len(devices) == 1:
        return name
    return f"{name}-{re.sub(r'[^A-Za-z0-9]+', '-', device).strip('-').lower()[:60]}"


def cells_or_reason(run: StoredRun) -> list[Timing]:
    """Return the timed cells. Raises: NothingToShowError where there are none."""
    cells = timed_cells(run)
    if not cells:
        raise NothingToShowError(NOT_TIMED)
    return cells


def place_of(run: StoredRun, codec: str) -> int:
    """Return a codec's place in the run, which decides its colour and marker in every plot."""
    names = codec_names(run)
    return names.index(codec) if codec in names else len(names)
