"""What the page says about speed: the leading figure, the protocol, what is wrong with any cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...bench.records import Timing
from ...bench.store.run import StoredRun
from ..tables.reading import count_span, listed, milliseconds, significant, span
from ..tables.timings import (
    CPU,
    NEVER_SETTLED,
    device_phrase,
    devices_of,
    gathered_remarks,
    remarks,
    size_text,
    timed_cells,
    where_text,
)

USUAL_SIDE_PX = 512
_VERBS = {"decode": "decodes", "roundtrip": "encodes and decodes", "encode": "encodes"}
_WORDS = {
    "cudnn_benchmark": "cuDNN chooses kernels by trial",
    "tf32_convolutions": "TF32 in convolutions",
    "tf32_matmul": "TF32 in matrix products",
}


@dataclass(frozen=True)
class Headline:
    """The leading figure, whose it is, the rest of its sentence, and how others compare."""

    figure: str
    codec: str
    rest: str
    others: str


def headline(run: StoredRun) -> Headline | None:
    """Return the fastest decoding at the size nearest 512 px and the smallest batch.

    Cells with remarks other than an unsettled warm-up are left out; a GPU goes before a CPU, and
    networks alone are told of where there are any.
    """
    cells = [
        cell
        for cell in timed_cells(run)
        if cell.samples_ms and all(words == NEVER_SETTLED for words, _ in remarks(cell))
    ]
    if not cells:
        return None
    cells = [cell for cell in cells if cell.dtype] or cells
    device = devices_of(cells)[0]
    cells = [cell for cell in cells if cell.device == device]
    stage = next(name for name in _VERBS if any(cell.stage == name for cell in cells))
    cells = [cell for cell in cells if cell.stage == stage]
    shape = min((_distance(cell), cell.batch, cell.width_px, cell.height_px) for cell in cells)
    alike = sorted((c for c in cells if _shape(c) == shape[1:]), key=_median)
    best = alike[0]
    pictures = "" if best.batch == 1 else f"{best.batch} pictures of "
    return Headline(
        f"{milliseconds(best.percentile_ms(50))} ms",
        best.codec,
        f"{_VERBS[stage]} {pictures}{size_text(best)} px in "
        f"{milliseconds(best.percentile_ms(50))} ms ({significant(best.images_per_s)} images/s, "
        f"p99 {milliseconds(best.percentile_ms(99))} ms){_how(best)} on "
        f"{device_phrase(run, timed_cells(run), device)}.",
        _others(alike),
    )


def _distance(cell: Timing) -> float:
    side = (cell.width_px * cell.height_px) ** 0.5
    return max(side, USUAL_SIDE_PX) / min(side, USUAL_SIDE_PX)


def _shape(cell: Timing) -> tuple[int, int, int]:
    return cell.batch, cell.width_px, cell.height_px


def _median(cell: Timing) -> float:
    return cell.percentile_ms(50) or 0.0


def _how(cell: Timing) -> str:
    mode = "" if cell.mode == "eager" else f" with {cell.mode.replace('+', ' and ')}"
    return f" in {cell.dtype}{mode}" if cell.dtype else ""


def _others(alike: Sequence[Timing]) -> str:
    """Return what the other codecs take there, each at its fastest."""
    best, told = alike[0], dict[str, str]()
    for cell in alike:
        if cell.codec != best.codec and cell.codec not in told:
            times = f"{significant(_median(cell) / _median(best))} times as long"
            took = f"{milliseconds(_median(cell))} ms{_how(cell)}"
            told[cell.codec] = f"{cell.codec} takes {took} ({times})"
    return f"There {listed(list(told.values()), 4)}." if told else ""


def problems(run: StoredRun) -> list[dict[str, str]]:
    """Return what the notice says of timed cells: words, where, reason."""
    cells = timed_cells(run)
    return [
        {"words": words, "where": where_text(words, names, len(cells)), "reason": reason}
        for words, reason, names in gathered_remarks(cells)
    ]


def protocol(run: StoredRun) -> list[tuple[str, str]]:
    """Return what was timed on what, as (what, how) pairs for one line."""
    cells = timed_cells(run)
    if not cells:
        return []
    devices = devices_of(cells)
    return [
        ("timed on", " and ".join(device_phrase(run, cells, device) for device in devices)),
        ("sizes", ", ".join(dict.fromkeys(size_text(cell) for cell in cells))),
        ("batches", ", ".join(dict.fromkeys(str(cell.batch) for cell in cells))),
        ("precision", ", ".join(dict.fromkeys(c.dtype for c in cells if c.dtype)) or "8-bit files"),
        ("modes", ", ".join(dict.fromkeys(cell.mode for cell in cells))),
    ]


def facts(run: StoredRun) -> list[tuple[str, str]]:
    """Return how the times were taken, as (what, how) pairs; what differs by device, for each."""
    cells = timed_cells(run)
    devices = devices_of(cells)
    sampled = [cell for cell in cells if cell.samples_ms]
    lines = [
        (
            "timed",
            "encode: pixels to latents; decode: latents to pixels; roundtrip: both in a row. "
            "Pictures of the sample set, already on the device; reading files and metrics are not "
            "in it.",
        )
    ]
    if sampled:
        runs = count_span([cell.warmup_runs for cell in sampled])
        settled = sum(cell.settled for cell in sampled)
        lines.append(
            (
                "warm-up",
                "until the medians of two windows in a row agreed, at most for a fixed time: "
                f"{runs} runs; {settled} of {len(sampled)} cells settled",
            )
        )
        counts = count_span([len(cell.samples_ms) for cell in sampled])
        lines.append(("samples", f"{counts} a cell, all kept in timings.parquet"))
    lines.append(("cache flush", _cache_flush(cells)))
    for device in devices:
        own = [cell for cell in cells if cell.device == device]
        prefix = f"{device}: " if len(devices) > 1 else ""
        lines += [(f"{prefix}{what}", how) for what, how in _device_facts(run, own, device)]
    return lines


def _cache_flush(cells: Sequence[Timing]) -> str:
    if any(cell.settings.get("cache_flush") for cell in cells):
        return "caches were flushed between runs"
    return "none: caches are as warm as the run before leaves them"


def _device_facts(run: StoredRun, cells: Sequence[Timing], device: str) -> list[tuple[str, str]]:
    lines = [
        ("device", device_phrase(run, cells, device) + (" – no GPU" if device == CPU else "")),
        ("clock", ", ".join(dict.fromkeys(cell.clock for cell in cells))),
    ]
    fixed = _fixed_settings(cells)
    if fixed:
        lines.append(("fixed", fixed))
    peaks = dict.fromkeys((c.dtype, c.device_peak_tflops) for c in cells if c.device_peak_tflops)
    if peaks:
        told = ", ".join(f"{significant(peak, 4)} in {dtype}" for dtype, peak in peaks)
        lines.append(("data sheet's peak, TFLOP/s", told))
    return lines + _states(cells)


def _fixed_settings(cells: Sequence[Timing]) -> str:
    """Return the settings that all cells share, in words where they have some."""
    texts = [
        {key: json.dumps(value) for key, value in cell.settings.items() if key != "cache_flush"}
        for cell in cells
    ]
    shared = {
        key: text
        for key, text in texts[0].items()
        if all(other.get(key) == text for other in texts)
    }
    switch = {"true": "yes", "false": "no"}
    return "; ".join(
        f"{_WORDS.get(key, key)}: {switch.get(text, text)}" for key, text in shared.items()
    )


_STATES: tuple[tuple[str, str, Callable[[Any], float | None]], ...] = (
    ("SM clock", "MHz", lambda state: state.sm_clock_mhz),
    ("application SM clock", "MHz", lambda state: state.application_sm_clock_mhz),
    ("memory clock", "MHz", lambda state: state.memory_clock_mhz),
    ("temperature", "°C", lambda state: state.temperature_c),
    ("power", "W", lambda state: state.power_w),
)


def _states(cells: Sequence[Timing]) -> list[tuple[str, str]]:
    """Return what NVML told before and after cells, from lowest to highest."""
    states = [state for cell in cells for state in (cell.before, cell.after) if state is not None]
    told: list[str] = []
    for name, unit, number in _STATES:
        values = [float(value) for state in states if (value := number(state)) is not None]
        if values:
            told.append(f"{name} {span(values, 4)} {unit}")
    return [("before and after the cells", "; ".join(told))] if told else []
