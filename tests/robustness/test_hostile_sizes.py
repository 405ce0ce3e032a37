"""Files, folders, regions and sizes beyond measure: refused in a sentence before they are read."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import ImageError, RegionError, SuiteError
from vaebench.bench.images.files.limits import MAX_PIXELS
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import fit_pixels, placement, read_pixels
from vaebench.bench.images.region_files import MOST_CORNERS, MOST_REGIONS
from vaebench.bench.images.regions import read_regions
from vaebench.bench.records import ImageRef
from vaebench.bench.suite import LARGEST_SIDE, Suite

PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 36, 3), dtype=np.uint8))
KINDS = ("JPEG", "WEBP", "AVIF", "JPEG2000", "GIF", "PNG", "TIFF", "BMP", "PPM", "TGA")

READ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))
from vaebench.bench.images.find import find_images
from vaebench.bench.images.regions import read_regions
from vaebench.bench.errors import VaebenchError
try:
    for entry in find_images([sys.argv[1]]).skipped:
        print(entry.image_id, entry.reason)
    read_regions(sys.argv[2], [])
except VaebenchError as error:
    print(error)
"""


def test_files_of_5_gb_are_refused_by_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for kind in KINDS:
        suffix = {"TGA": ".tga", "PPM": ".ppm"}.get(kind, "")
        PICTURE.save(folder / f"{kind}{suffix}", kind)
        os.truncate(folder / f"{kind}{suffix}", 5 * 10**9)
    regions = tmp_path / "regions.json"
    regions.write_text('{"a.png": []}')
    os.truncate(regions, 3 * 10**9)
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", READ, folder, regions],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    *skipped, told = done.stdout.splitlines()
    assert len(skipped) == len(KINDS)
    for line in skipped:
        limit = 1000 if line.startswith(("BMP", "PNG", "PPM", "TGA", "TIFF")) else 300
        assert f"its file has 5000 MB, more than the limit of its format, {limit} MB" in line
    assert "regions.json: it has 3000 MB, more than the limit, 200 MB" in told
    assert time.monotonic() - start < 30


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A set of a picture and of a folder 1,000 levels deep, with a picture in the last."""
    folder = tmp_path / "set"
    folder.mkdir()
    PICTURE.save(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    before = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(1000):
            Path("folder").mkdir()
            os.chdir("folder")
        Path("b.png").write_bytes(data)
    finally:
        os.chdir(before)
    yield folder
    # By recursion, Python itself would not get there.
    subprocess.run(["rm", "-rf", folder], check=False)


def test_a_folder_of_1000_levels_is_listed_and_the_rest_goes_on(deep: Path) -> None:
    PICTURE.save(deep / "z.png")
    found = find_images([str(deep)])
    assert [image.image_id for image in found.images] == ["a.png", "z.png"]
    (skipped,) = found.skipped
    assert "its path below the set has" in skipped.reason
    shallow = deep / "/".join(["folder"] * 100)
    PICTURE.save(shallow / "c.png")
    assert len(find_images([str(deep)]).images) == 3


def test_a_folder_that_cannot_be_listed_is_one_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    PICTURE.save(tmp_path / "a.png")
    PICTURE.save(tmp_path / "closed" / "b.png")
    listed = os.scandir

    def scandir(path: str | Path) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_images([str(tmp_path)])
    assert [image.image_id for image in found.images] == ["a.png"]
    assert [(entry.image_id, entry.reason) for entry in found.skipped] == [
        ("closed", "Cannot list closed: Permission denied. What is in it is left out.")
    ]


IMAGES = [ImageRef("a.png", "set", "/nowhere/a.png", "0" * 64, 640, 480, ())]


def test_a_million_boxes_or_corners_are_refused_soon(tmp_path: Path) -> None:
    path = tmp_path / "regions.json"
    start = time.process_time()
    box = '{"name": "%d", "kind": "eye", "box": [1, 1, 9, 9]}'
    path.write_text('{"a.png": [' + ",".join(box % number for number in range(10**6)) + "]}")
    with pytest.raises(RegionError, match=f"more than {MOST_REGIONS} regions of these pictures"):
        read_regions(str(path), IMAGES)

    image = {"id": 1, "file_name": "a.png"}
    entry = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 8]}
    coco = {"images": [image], "categories": [{"id": 1, "name": "eye"}]}
    path.write_text(json.dumps({**coco, "annotations": [entry] * (MOST_REGIONS + 1)}))
    with pytest.raises(RegionError, match=f"more than {MOST_REGIONS} regions of these pictures"):
        read_regions(str(path), IMAGES)

    corners = [1, 1, 639, 479] * 500_000
    path.write_text(json.dumps({**coco, "annotations": [{**entry, "segmentation": [corners]}]}))
    with pytest.raises(RegionError, match=f"more than {MOST_CORNERS} corners"):
        read_regions(str(path), IMAGES)
    assert time.process_time() - start < 30


def test_regions_of_other_pictures_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "regions.json"
    entry = {"name": "eye", "kind": "eye", "box": [1, 1, 9, 9]}
    path.write_text(json.dumps({"a.png": [entry], "b.png": [entry] * (MOST_REGIONS + 1)}))
    read = read_regions(str(path), IMAGES)
    assert len(read.regions) == 1
    assert len(read.unused) == MOST_REGIONS + 1


def test_a_polygon_of_many_corners_is_quick(tmp_path: Path) -> None:
    path = tmp_path / "regions.json"
    angle = np.linspace(0, 2 * np.pi, MOST_CORNERS, endpoint=False)
    corners = np.stack([320 + 200 * np.cos(angle), 240 + 200 * np.sin(angle)], -1)
    image = {"id": 1, "file_name": "a.png"}
    entry = {"image_id": 1, "category_id": 1, "segmentation": [corners.ravel().tolist()]}
    document = {"images": [image], "categories": [{"id": 1, "name": "eye"}]}
    path.write_text(json.dumps({**document, "annotations": [entry] * 20}))
    start = time.process_time()
    regions = read_regions(str(path), IMAGES).regions
    assert time.process_time() - start < 5
    mask = np.unpackbits(np.frombuffer(regions[0].mask or b"", np.uint8))
    assert mask.sum() == pytest.approx(np.pi * 200**2, rel=1e-3)


def test_a_size_that_is_asked_for_has_the_limit_of_files() -> None:
    assert LARGEST_SIDE**2 == MAX_PIXELS
    for fields in (
        {"codecs": ["jpeg"], "size": 16384, "fit": "pad"},
        {"codecs": ["jpeg"], "speed": {"sizes": [16384], "batches": [4096]}},
    ):
        with pytest.raises(SuiteError, match="16384 px is 268 megapixels, and 64 are the limit"):
            Suite.create(**fields)
    assert Suite.create(codecs=["jpeg"], size=8000, fit="pad").size == 8000
    with pytest.raises(ImageError, match=r"more than 64 megapixels\. Ask for 8000 or less"):
        placement(36, 24, 16384, "pad")


def test_a_strip_that_is_to_fill_a_frame_is_cut_before_it_is_scaled() -> None:
    strip = np.random.default_rng(3).integers(0, 256, (8, 40_000, 3), dtype=np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shown = fit_pixels(strip, 512, "crop")
    # Whole it would be 512 x 2,560,000 px, 4 GB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    middle = np.ascontiguousarray(strip[:, 20_000 - 104 : 20_000 + 104])
    expected = fit_pixels(middle, 512, "crop")
    assert np.abs(shown.astype(int) - expected).max() <= 1


def test_a_tga_without_alpha_and_a_picture_without_anything(shared: Path) -> None:
    folder = shared / "cases" / "formats"
    truth = np.asarray(Image.open(folder / "truth.png").convert("RGB"))
    found = {image.image_id: image for image in find_images([str(folder)]).images}
    assert "tga32_noalpha.tga" in found
    np.testing.assert_array_equal(read_pixels(folder / "tga32_noalpha.tga").rgb, truth)
    with pytest.raises(ImageError, match="nothing of it is visible, its alpha is 0 everywhere"):
        read_pixels(folder / "all_transparent.png")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TGA"])
def test_alpha_of_0_everywhere_is_refused_in_every_format(tmp_path: Path, kind: str) -> None:
    picture = PICTURE.convert("RGBA")
    for alpha, name in ((0, "none"), (1, "some")):
        picture.putalpha(alpha)
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        path = tmp_path / f"{name}.{kind.lower()}"
        path.write_bytes(buffer.getvalue())
    assert read_pixels(tmp_path / f"some.{kind.lower()}").rgb.shape == (24, 36, 3)
    with pytest.raises(ImageError, match="nothing of it is visible"):
        read_pixels(tmp_path / f"none.{kind.lower()}")
