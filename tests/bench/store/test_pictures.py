"""The pictures a run keeps are what was given, read back by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from vaebench.bench.store.pictures import keep_picture
from vaebench.bench.store.run import picture_path


def test_a_picture_is_kept_where_the_report_looks(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    keep_picture(tmp_path, "codec", "more/a.jpg", pixels)
    with Image.open(picture_path(tmp_path, "reconstructions", "codec", "more/a.jpg")) as image:
        assert np.array_equal(np.asarray(image), pixels)
