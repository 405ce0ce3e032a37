"""The computer's own memory running out, told as a GPU's is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


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
