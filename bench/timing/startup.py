"""What a process sets for itself before large libraries and models come.

By default glibc's malloc maps each large buffer of a model anew and gives it back when it is freed,
so that every layer faults in, and has the kernel zero, pages it had a moment ago. Kept within the
process instead, they are used again: a quarter to a third of the time of an encode and decode.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import platform
import sys
from collections.abc import Mapping
from typing import Final

GIBIBYTE: Final = 2**30

# Freed memory stays until a gibibyte of it is free at the heap's end, so that a process keeps its
# peak, and no more. Only larger buffers are mapped by themselves. One arena: the others, which
# threads get, cannot hold a buffer above 64 MiB and would map it after all.
KEPT: Final[Mapping[str, int]] = {
    "MALLOC_TRIM_THRESHOLD_": GIBIBYTE,
    "MALLOC_TOP_PAD_": 64 * 2**20,
    "MALLOC_MMAP_THRESHOLD_": GIBIBYTE,
    "MALLOC_ARENA_MAX": 1,
}
"""By glibc's environment variables, which the user may set to other values."""

# malloc.h
_PARAMETERS: Final[Mapping[str, int]] = {
    "MALLOC_TRIM_THRESHOLD_": -1,
    "MALLOC_TOP_PAD_": -2,
    "MALLOC_MMAP_THRESHOLD_": -3,
    "MALLOC_ARENA_MAX": -8,
}


def keep_freed_memory() -> dict[str, str]:
    """Tell this process's malloc to keep what is freed; what the user has set stays.

    Returns: the settings in force, by the names of glibc's environment variables: those set here
        and those the user has set; empty where the C library is not glibc.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return {}
    chosen = {name: os.environ[name] for name in KEPT if name in os.environ}
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return {**chosen, "GLIBC_TUNABLES": os.environ["GLIBC_TUNABLES"]}
    library = ctypes.CDLL(None)
    for name, value in KEPT.items():
        # 1 is success; an older glibc refuses thresholds above 32 MiB and keeps its own.
        if name not in chosen and library.mallopt(_PARAMETERS[name], value) == 1:
            chosen[name] = str(value)
    return chosen


def spare_the_collector() -> None:
    """Look for garbage rarely: what modules hold stays, and imports make hundreds of thousands.

    At Python's own thresholds that search takes a sixth of the time of torch's and diffusers'
    imports, and a second at the end of a process, where nothing is gained by it.
    """
    gc.set_threshold(200_000, 50, 100)
    atexit.register(gc.freeze)
