"""The sample set and its boxes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from vaebench.bench import sample
from vaebench.bench.errors import ImageError
from vaebench.bench.images import find_images
from vaebench.bench.pixels import read_pixels
from vaebench.bench.regions import read_regions


def test_eight_pictures_with_eyes_faces_and_text() -> None:
    found = find_images(["sample"])
    assert len(found.images) == 8
    assert found.skipped == ()
    assert {image.image_set for image in found.images} == {"sample"}
    read = read_regions("sample", found.images)
    assert read.unused == ()
    assert Counter(region.kind for region in read.regions) == {"eye": 5, "face": 2, "text": 9}
    names = {(region.image_id, region.name) for region in read.regions}
    assert {("chelsea.png", "left-eye"), ("chelsea.png", "right-eye")} <= names
    assert {("astronaut.png", name) for name in ("left-eye", "right-eye", "face")} <= names


def test_boxes_lie_on_what_they_name() -> None:
    """Eyes and lettering are what changes most around them; a box that slipped is not."""
    found = find_images(["sample"])
    pixels = {image.image_id: read_pixels(image).rgb.astype(float) for image in found.images}
    for region in read_regions("sample", found.images).regions:
        x0, y0, x1, y1 = region.box_px
        picture = pixels[region.image_id].mean(axis=-1)
        margin = 2 * max(3, (x1 - x0) // 10)
        around = picture[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin]
        inside = picture[y0:y1, x0:x1]
        assert inside.std() > 0.75 * around.std(), f"{region.image_id} {region.name}"
    left_eye = pixels["chelsea.png"][85:148, 135:207]
    pupil, iris = left_eye[28:40, 32:38], left_eye[28:40, 8:18]
    assert pupil.mean() < 60
    assert iris[..., 1].mean() > iris[..., 2].mean() + 40


def test_sample_regions_are_not_put_on_others_pictures_of_the_same_name(kodak: object) -> None:
    found = find_images([f"{kodak}/kodim23.png"])
    read = read_regions("sample", found.images)
    assert read.regions == ()
    assert len(read.unused) == 16


def test_scikit_image_itself_is_not_imported() -> None:
    code = (
        "import sys; from vaebench.bench.images import find_images; find_images(['sample']);"
        "print(sorted(name for name in ('skimage', 'scipy', 'torch') if name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_missing_pictures_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_NAMES", ("chelsea.png", "no-such.png"))
    with pytest.raises(ImageError, match=r"lacks no-such\.png"):
        find_images(["sample"])
    assert np.all([path.is_file() for path in (sample.SAMPLE_REGIONS,)])
