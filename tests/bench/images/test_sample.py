"""The sample set and its boxes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images import sample
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.images.regions import read_regions


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
    found = find_images(["sample"])
    pixels = {image.image_id: read_pixels(image).rgb.astype(float) for image in found.images}
    boxes = {
        (region.image_id, region.name): region.box_px
        for region in read_regions("sample", found.images).regions
    }

    def inside(picture: str, name: str, margin: int = 0, shift: tuple[int, int] = (0, 0)) -> Any:
        x0, y0, x1, y1 = boxes[picture, name]
        rows = slice(y0 - margin + shift[1], y1 + margin + shift[1])
        return pixels[picture][rows, x0 - margin + shift[0] : x1 + margin + shift[0]]

    for eye in ("left-eye", "right-eye"):
        # An ellipse in the box holds the least orange right where the box lies: fur is around it.
        orange = {
            shift: _in_ellipse(inside("chelsea.png", eye, shift=shift)) @ (1, -1, 0)
            for shift in [(0, 0), (-15, 0), (15, 0), (0, -15), (0, 15)]
        }
        assert min(orange, key=orange.__getitem__) == (0, 0)
        hers = inside("astronaut.png", eye).mean(axis=-1)
        height, width = hers.shape
        assert hers.argmin(axis=1)[height // 2] in range(width // 4, 3 * width // 4)
        assert hers.min() < 70
    skin = inside("astronaut.png", "face")[40:60, 30:55].mean(axis=(0, 1))
    assert skin[0] > 200 > skin[2] > 120
    ink = inside("page.png", "heading", margin=1).mean(axis=-1) < 75
    assert ink[1:-1, 1:-1].sum() > 500
    assert ink.sum() == ink[1:-1, 1:-1].sum()
    tank = inside("motorcycle_left.png", "tank-lettering", margin=3)
    red = tank[..., 0] - tank[..., 2] > 90
    assert red[[0, 1, -2, -1]].mean() > 0.9 > 0.75 > red[4:-4].mean()


def _in_ellipse(box: np.ndarray) -> np.ndarray:
    """Return the mean colour of the ellipse that fills five sixths of a box's width and height."""
    y, x = np.mgrid[-1 : 1 : box.shape[0] * 1j, -1 : 1 : box.shape[1] * 1j]
    return box[x**2 + y**2 < 0.7].mean(axis=0)


def test_sample_regions_are_not_put_on_other_pictures_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "sample" / "chelsea.png")
    read = read_regions("sample", find_images([str(tmp_path / "sample")]).images)
    assert read.regions == ()
    assert len(read.unused) == 16


def test_scikit_image_itself_is_not_imported() -> None:
    code = (
        "import sys; from vaebench.bench.images.find import find_images; find_images(['sample']);"
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


def test_pixels_are_real_pictures_and_begin_anew_after_the_last() -> None:
    pixels = sample.sample_pixels(64, 10)
    assert pixels.shape == (10, 64, 64, 3)
    assert pixels.dtype == np.uint8
    assert len({picture.tobytes() for picture in pixels}) == 8
    assert np.array_equal(pixels[8:], pixels[:2])
    assert np.array_equal(sample.sample_pixels(64, 2), pixels[:2])
