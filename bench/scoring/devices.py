"""Between the host and a device without waiting: pixels go up once, what was found comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def upload(pictures: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Return uint8 [H, W, 3] pictures of one size as float32 [N, 3, H, W] in [0, 1].

    They go to the device as bytes, a quarter of what floats are, and are converted there.
    """
    levels = to_device(np.stack(pictures), device)
    return levels.permute(0, 3, 1, 2).float().div_(255).contiguous()


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array's values on a device, to which they may still be on their way."""
    tensor = torch.from_numpy(values)
    if device.type == "cpu":
        return tensor
    # From pinned memory alone does a copy leave the host free.
    return tensor.pin_memory().to(device, non_blocking=True)


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
