"""Large buffers are used again, and no more memory is held than was needed at once."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
from vaebench.bench.timing.startup import KEPT, keep_freed_memory

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs glibc, whose malloc is told"
)

# Buffers of many sizes, 40 to 120 MB, of which three live at a time; each page is written to.
PROGRAM = """
import json, random, resource, sys, threading
from vaebench.bench.timing.startup import keep_freed_memory
import numpy as np

told = keep_freed_memory() if sys.argv[1] == "kept" else {}
sizes, held = random.Random(0), []

def work(turns):
    for _ in range(turns):
        del held[:-2]
        held.append(np.empty(sizes.randint(5_000_000, 15_000_000)))
        held[-1][::512] = 1.0

def usage(turns):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=work, args=[turns])
    thread.start() if sys.argv[2] == "thread" else work(turns)
    thread.join() if sys.argv[2] == "thread" else None
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_minflt - before, after.ru_maxrss / 1024

usage(20)
print(json.dumps([told, *(usage(int(turns)) for turns in sys.argv[3:])]))
"""


def run(kept: str, where: str, *turns: int, **environment: str) -> list:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kept, where, *map(str, turns)],
        # Else numpy asks for pages of 2 MiB, and there are too few faults to count.
        env={**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_buffers_are_not_faulted_in_again_and_memory_does_not_grow(where):
    _, (faults_by_default, _) = run("default", where, 20)
    _, (_, early_mb), (faults, late_mb) = run("kept", where, 80, 400)
    assert faults_by_default > 20 * 40e6 / 4096
    assert faults / 400 < 0.02 * faults_by_default / 20
    # Gaps between buffers of other sizes are found at first; then there is room for every one.
    assert late_mb < 1.1 * early_mb


def test_what_the_user_has_set_stays():
    told, _ = run("kept", "main", 1, MALLOC_TRIM_THRESHOLD_="1000000")
    assert told["MALLOC_TRIM_THRESHOLD_"] == "1000000"
    assert set(told) == set(KEPT)
    told, (faults, _) = run("kept", "main", 20, GLIBC_TUNABLES="glibc.malloc.top_pad=4096")
    assert told == {"GLIBC_TUNABLES": "glibc.malloc.top_pad=4096"}
    assert faults > 20 * 40e6 / 4096


def test_settings_are_told_by_the_names_of_the_environment():
    assert (
        keep_freed_memory().items()
        <= {
            **{name: str(value) for name, value in KEPT.items()},
            **{name: value for name, value in os.environ.items() if name.startswith("MALLOC_")},
        }.items()
        or "GLIBC_TUNABLES" in os.environ
    )


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory() == {}
