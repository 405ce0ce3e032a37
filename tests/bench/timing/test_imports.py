from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest
from vaebench.bench.timing.imports import uncollected


@pytest.fixture(autouse=True)
def enabled_again() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_collector_rests_and_is_left_as_it_was(was_enabled: bool) -> None:
    (gc.enable if was_enabled else gc.disable)()
    with pytest.raises(ImportError), uncollected():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled() is was_enabled


def test_a_process_ends_without_a_search() -> None:
    code = (
        "import atexit, gc\n"
        "from vaebench.bench.timing.imports import end_uncollected\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "end_uncollected()\n"
        "print(gc.get_freeze_count())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # What was registered last is called first.
    assert done.stdout.split() == ["0", "True"]
