"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers with a thread for each core would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def no_history() -> None:
    """Keep the tests out of the user's own history; a test that wants one names it."""
    os.environ["VAEBENCH_HISTORY"] = "off"


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let Ctrl-C reach the tests also where the shell that began them keeps it away."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and weights; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("VAEBENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "images" / "kodak" / "kodim23.png").is_file():
        pytest.skip(f"needs the shared pictures and weights; none at {folder} (VAEBENCH_SHARED)")
    return folder


@pytest.fixture(scope="session")
def kodak(shared: Path) -> Path:
    """The folder of the 24 Kodak pictures."""
    return shared / "images" / "kodak"
