"""Python's garbage collector kept out of where large libraries come and go."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """Import meanwhile without looking for garbage: what modules hold stays.

    Python looks through it again and again as it comes, for a sixth of the time of torch's import
    and a fifth of diffusers'.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def end_uncollected() -> None:
    """Have this process end without a last search through all modules, which takes a second."""
    atexit.register(gc.freeze)
