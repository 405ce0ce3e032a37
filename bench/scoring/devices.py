"""From a device to the host without waiting; either memory running out told in one way."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor


class HostCopies:
    """Copies of tensors on the host, ready after `wait`; of tensors already there, themselves.

    A thread that waits lets the others run, so that the one that keeps the device busy never has
    to wait for it.
    """

    def __init__(self) -> None:
        self._devices: set[torch.device] = set()
        self._events: list[torch.cuda.Event] = []

    def start(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the host that holds the values after `wait`."""
        if tensor.is_cuda:
            self._devices.add(tensor.device)
        return tensor.detach().to("cpu", non_blocking=tensor.is_cuda)

    def sent(self) -> None:
        """Mark the end of what was started."""
        for device in self._devices:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(device))
            self._events.append(event)

    def wait(self) -> None:
        """Return once all copies are there; from any thread, any number of times."""
        for event in self._events:
            event.synchronize()


@contextmanager
def memory_told() -> Generator[None]:
    """Raise torch.OutOfMemoryError also where it is the computer's memory that runs out.

    Of that Python says MemoryError, and torch a RuntimeError that only its text tells from others.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (MemoryError, RuntimeError) as error:
        told = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and "DefaultCPUAllocator" not in told:
            raise
        raise torch.OutOfMemoryError(told or "the computer's memory ran out") from error
