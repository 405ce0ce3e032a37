"""The wall clock by a fake clock; the device's clock against the wall clock where there is one."""

from __future__ import annotations

import pytest
import torch
from vaebench.bench.timing.timers import CudaTimer, Sample, WallTimer, make_timer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Clock:
    """Tells seconds that only a region moves on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.now


def test_a_sample_is_the_regions_time_by_the_clock_in_ms() -> None:
    clock = Clock()
    timer = WallTimer(clock)

    def region() -> None:
        clock.now += 0.25

    assert timer.time(region) == Sample(device_ms=250.0, wall_ms=250.0)
    assert timer.time(region) == Sample(250.0, 250.0)
    assert clock.readings == 4


def test_the_region_runs_once_and_between_the_two_readings() -> None:
    clock = Clock()
    seen: list[int] = []
    WallTimer(clock).time(lambda: seen.append(clock.readings))
    assert seen == [1]
    assert clock.readings == 2


def test_a_region_that_does_nothing_takes_no_time() -> None:
    assert WallTimer(Clock()).time(lambda: None) == Sample(0.0, 0.0)


def test_what_the_region_raises_is_not_swallowed() -> None:
    def region() -> None:
        raise RuntimeError("out of ink")

    with pytest.raises(RuntimeError, match="out of ink"):
        WallTimer(Clock()).time(region)


def test_a_process_has_no_peak_of_a_regions_own() -> None:
    timer = WallTimer()
    timer.reset_peak()
    assert timer.peak_bytes() is None


def test_a_cpu_is_timed_by_the_wall_clock() -> None:
    timer = make_timer(torch.device("cpu"))
    assert isinstance(timer, WallTimer)
    assert timer.name == "perf_counter"


@pytest.mark.cuda
@needs_cuda
def test_events_agree_with_the_wall_clock_on_long_work() -> None:
    device = torch.device("cuda")
    timer = make_timer(device)
    assert isinstance(timer, CudaTimer)
    assert timer.name == "cuda events"
    matrix = torch.rand(4096, 4096, device=device)

    def region() -> None:
        for _ in range(20):
            torch.mm(matrix, matrix)

    timer.time(region)
    sample = timer.time(region)
    # Events lie inside the wall clock's readings, and the work is far longer than what is between.
    assert 0.5 * sample.wall_ms < sample.device_ms <= 1.02 * sample.wall_ms


@pytest.mark.cuda
@needs_cuda
def test_the_peak_is_that_of_what_ran_since_the_reset() -> None:
    device = torch.device("cuda")
    timer = CudaTimer(device)
    timer.time(lambda: torch.empty(64 << 20, dtype=torch.uint8, device=device))
    timer.reset_peak()
    timer.time(lambda: torch.empty(16 << 20, dtype=torch.uint8, device=device))
    allocated, reserved = timer.peak_bytes()
    held = torch.cuda.memory_allocated(device)
    assert 16 << 20 <= allocated - held < 32 << 20
    assert reserved >= allocated
