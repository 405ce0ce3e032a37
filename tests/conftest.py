"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures, two of them of another size and one in a folder, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    random = np.random.default_rng(7)
    for index, name in enumerate(["a.png", "b.png", "c.png", "wide.png", "more/d.png"]):
        height, width = (48, 80) if name == "wide.png" else (64, 56)
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / (3 + index) + channel) * np.cos(y / 5) for channel in range(3)]
        noise = random.normal(0, 4 + 3 * index, (height, width, 3))
        pixels = np.clip(128 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:200])
    regions = {
        "a.png": [{"name": "left-eye", "kind": "eye", "box": [4, 6, 20, 22]}],
        "wide.png": [{"name": "sign", "kind": "text", "box": [40, 10, 80, 40]}],
        "gone.png": [{"name": "eye", "kind": "eye", "box": [0, 0, 5, 5]}],
    }
    (folder / "regions.json").write_text(json.dumps(regions))
    return folder
