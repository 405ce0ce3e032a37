"""What glibc's malloc does with the large buffers of a model that runs on a CPU.

By default it maps each of them anew and gives it back when it is freed, so that every layer
faults in, and has the kernel zero, pages it had a moment ago. Kept within the process instead,
they are used again: a quarter to a third of the time of an encode and decode.
"""

from __future__ import annotations

import ctypes
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
