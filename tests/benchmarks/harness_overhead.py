"""What the harness adds to a time: a bare loop and latency.measure, by turns in one process.

    python tests/benchmarks/harness_overhead.py --size 256 --repeats 200 --json overhead.json

The work is demo-f8c4's decode on the device at hand, float16 on CUDA and float32 on a CPU. Turns
of a few runs alternate between

- bare: the clock read around the work, as a script of one's own would (on CUDA two events);
- harness: `latency.measure` with its own timer and as many runs, the first of them its warm-up.

Two figures: the ratio of the medians of what is reported (goal: within 1 %), and of the wall time
of whole turns (goal: under 2 % more), each with a 95 % bootstrap interval over pairs of turns. A
goal is met where the whole interval is within it. The first run of a turn is in its wall time
alone. The median of the ratios within pairs stands beside them: slow drift is not in it. The same
turns with an empty work tell the overhead in microseconds a run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.tensors import from_levels
from vaebench.bench.images.sample import sample_pixels
from vaebench.bench.store.environment import read_environment
from vaebench.bench.timing.latency import Sampling, measure, stage_work, warm_up
from vaebench.bench.timing.sweep import fixed_backends
from vaebench.bench.timing.timers import Timer, Work, make_timer

TURN = 5
RESAMPLES = 2000
MEDIAN_GOAL = 0.01
WALL_GOAL = 0.02


@dataclass(frozen=True)
class Turns:
    """Turns of one side: reported times in ms [turns, TURN - 1], wall times in ms [turns]."""

    samples_ms: np.ndarray
    wall_ms: np.ndarray


def bare_turn(work: Work, device: torch.device) -> list[float]:
    """Time the work as one would by hand; without the first run."""
    times_ms: list[float] = []
    if device.type == "cuda":
        begin: Any = torch.cuda.Event(enable_timing=True)
        end: Any = torch.cuda.Event(enable_timing=True)
        for _ in range(TURN):
            torch.cuda.synchronize()
            begin.record()
            work()
            end.record()
            end.synchronize()
            times_ms.append(begin.elapsed_time(end))
        return times_ms[1:]
    for _ in range(TURN):
        before = time.perf_counter()
        work()
        times_ms.append(1000 * (time.perf_counter() - before))
    return times_ms[1:]


def harness_turn(work: Work, timer: Timer) -> list[float]:
    """Take the samples of a turn by the harness; a warm-up of no windows is one run."""
    measured = measure(work, timer, Sampling(samples=TURN - 1, max_windows=0))
    return [sample.device_ms for sample in measured.samples]


def alternate(work: Work, device: torch.device, turns: int) -> tuple[Turns, Turns]:
    """Return bare and harness turns, which alternate and take turns in going first."""
    timer = make_timer(device)
    sides: tuple[Callable[[], list[float]], ...] = (
        lambda: bare_turn(work, device),
        lambda: harness_turn(work, timer),
    )
    samples: tuple[list[list[float]], list[list[float]]] = ([], [])
    walls: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns):
        for side in ((0, 1), (1, 0))[turn % 2]:
            begin = time.perf_counter()
            samples[side].append(sides[side]())
            walls[side].append(1000 * (time.perf_counter() - begin))
    bare, harness = (
        Turns(np.array(samples[side]), np.array(walls[side], dtype=float)) for side in (0, 1)
    )
    return bare, harness


def median_ratio(bare: Turns, harness: Turns, chosen: np.ndarray) -> float:
    """Return the harness's median over the bare one, of chosen pairs of turns."""
    return float(np.median(harness.samples_ms[chosen]) / np.median(bare.samples_ms[chosen]))


def paired_ratio(bare: Turns, harness: Turns, chosen: np.ndarray) -> float:
    """Return the median over pairs of turns of the ratio of their medians."""
    ratios = np.median(harness.samples_ms, axis=1) / np.median(bare.samples_ms, axis=1)
    return float(np.median(ratios[chosen]))


def wall_ratio(bare: Turns, harness: Turns, chosen: np.ndarray) -> float:
    """Return the harness's median wall time of a turn over the bare one's."""
    return float(np.median(harness.wall_ms[chosen]) / np.median(bare.wall_ms[chosen]))


def added_us(bare: Turns, harness: Turns, chosen: np.ndarray) -> float:
    """Return what the harness adds to the wall time of one run, in microseconds."""
    added_ms = np.median(harness.wall_ms[chosen]) - np.median(bare.wall_ms[chosen])
    return float(1000 * added_ms / TURN)


def with_interval(
    statistic: Callable[[Turns, Turns, np.ndarray], float], bare: Turns, harness: Turns
) -> dict[str, float]:
    """Return a statistic with its 95 % percentile bootstrap over pairs of turns."""
    count = len(bare.wall_ms)
    random = np.random.default_rng(0)
    drawn = [statistic(bare, harness, random.integers(0, count, count)) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    value = statistic(bare, harness, np.arange(count))
    return {"value": value, "low": float(low), "high": float(high)}


def nothing() -> None:
    """The empty work."""


def measure_overhead(size: int, repeats: int) -> dict[str, Any]:
    """Return all figures of the device at hand."""
    turns = -(-repeats // TURN)
    dtype = "float16" if torch.cuda.is_available() else "float32"
    codec = open_codec("demo-f8c4", "demo-f8c4", {"dtype": dtype})
    device = torch.device(codec.info.device or "cpu")
    work = stage_work(codec, "decode", from_levels(sample_pixels(size, 1), device))
    with fixed_backends():
        warm_up(work, make_timer(device))
        decode = alternate(work, device, turns)
        empty = alternate(nothing, device, 10 * turns)
    return {
        "device": read_environment().device,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "size_px": size,
        "dtype": dtype,
        "turns": turns,
        "runs_per_turn": TURN,
        "bare_median_ms": float(np.median(decode[0].samples_ms)),
        "harness_median_ms": float(np.median(decode[1].samples_ms)),
        "median_ratio": with_interval(median_ratio, *decode),
        "paired_ratio": with_interval(paired_ratio, *decode),
        "wall_ratio": with_interval(wall_ratio, *decode),
        "empty_added_us": with_interval(added_us, *empty),
        "empty_reported_us": {
            "bare": float(1000 * np.median(empty[0].samples_ms)),
            "harness": float(1000 * np.median(empty[1].samples_ms)),
        },
    }


def verdict_of(entry: dict[str, float], lowest: float, highest: float) -> str:
    """Return whether an interval lies within the goal's bounds, outside, or across them."""
    if lowest < entry["low"] and entry["high"] < highest:
        return "met"
    return "missed" if entry["low"] > highest or entry["high"] < lowest else "not decided"


def show(figures: dict[str, Any]) -> None:
    """Print the figures with their goals."""
    print(
        f"{figures['device']}, demo-f8c4 decode {figures['size_px']}² {figures['dtype']}: "
        f"bare {figures['bare_median_ms']:.3f} ms, harness {figures['harness_median_ms']:.3f} ms, "
        f"{figures['turns']}×{figures['runs_per_turn']} runs a side"
    )
    for name, lowest, highest in (
        ("median_ratio", 1 - MEDIAN_GOAL, 1 + MEDIAN_GOAL),
        ("paired_ratio", 1 - MEDIAN_GOAL, 1 + MEDIAN_GOAL),
        ("wall_ratio", 0.0, 1 + WALL_GOAL),
    ):
        entry = figures[name]
        print(
            f"{name}: {entry['value']:.4f} [{entry['low']:.4f}, {entry['high']:.4f}], "
            f"goal {lowest:g} to {highest:g}: {verdict_of(entry, lowest, highest)}"
        )
    added, reported = figures["empty_added_us"], figures["empty_reported_us"]
    print(
        f"empty work: {added['value']:.2f} µs added a run [{added['low']:.2f}, "
        f"{added['high']:.2f}]; reported bare {reported['bare']:.2f} µs, "
        f"harness {reported['harness']:.2f} µs"
    )


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--repeats", type=int, default=200, help="runs a side")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    figures = measure_overhead(arguments.size, arguments.repeats)
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
