"""Clocks: device events on CUDA with a wall clock beside them, the wall clock alone on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Work = Callable[[], object]
"""What is timed: a function without arguments."""


@dataclass(frozen=True)
class Sample:
    """One run of the work: by the device's own clock and by the wall clock."""

    device_ms: float
    wall_ms: float


class Timer(Protocol):
    """Times work on one device."""

    name: str

    def time(self, work: Work) -> Sample:
        """Run the work once and return how long it took, its work on the device included."""
        ...

    def reset_peak(self) -> None:
        """Begin anew to watch the device's memory."""
        ...

    def peak_bytes(self) -> tuple[int, int] | None:
        """Return the peak of allocated and of reserved bytes since; None where it is not known."""
        ...


class WallTimer:
    """Times work that is done when the call returns."""

    name = "perf_counter"

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock

    def time(self, work: Work) -> Sample:
        """Return the wall time, for both clocks."""
        begin = self._clock()
        work()
        elapsed_ms = 1000 * (self._clock() - begin)
        return Sample(elapsed_ms, elapsed_ms)

    def reset_peak(self) -> None:
        """Do nothing: a process's memory has no peak of the work's own."""

    def peak_bytes(self) -> tuple[int, int] | None:
        """Return None."""
        return None


class CudaTimer:
    """Times work on a CUDA device by events on the current stream.

    The device is idle when a run begins and has finished when it ends, so a sample is a latency:
    the time in which the host prepares the first kernel is in it.
    """

    name = "cuda events"

    def __init__(
        self, device: torch.device, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._device = device
        self._clock = clock
        self._begin = _event()
        self._end = _event()

    def time(self, work: Work) -> Sample:
        """Return the time between two events around the work, and the wall time."""
        with torch.cuda.device(self._device):
            torch.cuda.synchronize()
            begin = self._clock()
            self._begin.record()
            work()
            self._end.record()
            self._end.synchronize()
            wall_ms = 1000 * (self._clock() - begin)
        return Sample(self._begin.elapsed_time(self._end), wall_ms)

    def reset_peak(self) -> None:
        """Begin anew to watch torch's allocator."""
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak_bytes(self) -> tuple[int, int] | None:
        """Return torch's peak of allocated and of reserved bytes on the device."""
        return (
            torch.cuda.max_memory_allocated(self._device),
            torch.cuda.max_memory_reserved(self._device),
        )


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)


def make_timer(device: torch.device) -> Timer:
    """Return the clock that suits a device."""
    return CudaTimer(device) if device.type == "cuda" else WallTimer()
