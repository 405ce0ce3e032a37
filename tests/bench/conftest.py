"""Small pictures with known content, and a suite that is quick to run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


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
