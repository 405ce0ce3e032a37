"""Importing large libraries in less time."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """Import meanwhile without looking for garbage: a module's objects stay.

    Python looks through them again and again as they come, for a sixth of the time of torch's
    import and a quarter of diffusers'.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
