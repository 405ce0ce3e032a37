"""Regions read from every layout, and moved by every fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.bench.errors import RegionError
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import Fit, fit_pixels, placement
from vaebench.bench.images.regions import (
    REGION_READERS,
    fit_region,
    pack_mask,
    read_regions,
    region_mask,
)
from vaebench.bench.records import ImageRef, Region


def image(image_id: str, width: int = 40, height: int = 30, folder: Path | None = None) -> ImageRef:
    path = (folder or Path("set").absolute()) / image_id
    return ImageRef(image_id, "set", str(path), "", width, height)


def written(folder: Path, document: object, name: str = "regions.json") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return str(folder / name)


def box(name: str, *corners: float, kind: str = "eye") -> dict[str, object]:
    return {"name": name, "kind": kind, "box": list(corners)}


def test_boxes_of_pictures_in_the_set_and_of_others(tmp_path: Path) -> None:
    source = written(
        tmp_path,
        {
            "a.png": [box("left-eye", 1, 2, 5, 6), box("all", 0, 0, 40, 30, kind="face")],
            "gone.png": [box("eye", 0, 0, 9999, 1)],
        },
    )
    read = read_regions(source, [image("a.png"), image("b.png")])
    assert read.regions == (
        Region("a.png", "left-eye", "eye", (1, 2, 5, 6)),
        Region("a.png", "all", "face", (0, 0, 40, 30)),
    )
    assert read.unused == ("gone.png/eye",)


def test_pictures_are_found_by_id_then_by_name_and_path(tmp_path: Path) -> None:
    first, second = image("val/x.png", folder=tmp_path), image("test/x.png", folder=tmp_path)
    alone = image("deep/y.png", folder=tmp_path)
    source = written(
        tmp_path,
        {
            "val/x.png": [box("by-id", 0, 0, 1, 1)],
            "y.png": [box("by-name", 0, 0, 1, 1)],
            "elsewhere/deep/y.png": [box("with-folders-above", 0, 0, 1, 1)],
            "other/y.png": [box("another-y", 0, 0, 1, 1)],
        },
    )
    read = read_regions(source, [first, second, alone])
    assert [(region.image_id, region.name) for region in read.regions] == [
        ("val/x.png", "by-id"),
        ("deep/y.png", "by-name"),
        ("deep/y.png", "with-folders-above"),
    ]
    assert read.unused == ("other/y.png/another-y",)
    # Of two that share the name, the one beside the file is meant.
    beside = written(tmp_path / "test", {"x.png": [box("eye", 0, 0, 1, 1)]})
    (region,) = read_regions(beside, [first, second]).regions
    assert region.image_id == "test/x.png"
    with pytest.raises(RegionError, match=r"x\.png could be any of val/x\.png, test/x\.png"):
        read_regions(written(tmp_path, {"x.png": [box("eye", 0, 0, 1, 1)]}), [first, second])


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ((0, 0, 41, 30), r"box \[0, 0, 41, 30\] lies outside the picture's 40 x 30 px"),
        ((0, 0, 40, 31), "lies outside"),
        ((-1, 0, 4, 3), "lies outside"),
        ((0, -1, 4, 3), "lies outside"),
        ((5, 5, 5, 9), "is empty"),
        ((5, 9, 8, 4), "is empty"),
        ((1, 2, 3), "expected four numbers"),
        (("1", 2, 3, 4), "expected four numbers"),
    ],
)
def test_a_bad_box_names_file_picture_region_and_box(
    tmp_path: Path, corners: tuple[float, ...], reason: str
) -> None:
    source = written(tmp_path, {"a.png": [box("left-eye", *corners)]}, "eyes.json")
    with pytest.raises(RegionError, match=reason) as caught:
        read_regions(source, [image("a.png")])
    for part in ("eyes.json", "a.png", "left-eye"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a.png": [\n{"name": "x",}\n]}', "no valid JSON: .* in line 2"),
        ("", "no valid JSON"),
        ("[]", "expected an object"),
        ('{"a.png": {"name": "x"}}', "expected a list of regions for a.png"),
        ('{"a.png": [7]}', "a region of a.png has no name: got 7"),
        ('{"a.png": [{"name": "x", "box": [0, 0, 1, 1]}]}', "has no kind"),
        ('{"a.png": [{"name": "", "kind": "eye", "box": [0, 0, 1, 1]}]}', "has no name"),
        (json.dumps({"a.png": [box("whole", 0, 0, 1, 1)]}), "stands for the whole picture"),
        (json.dumps({"a.png": [box("x", 0, 0, 1, 1), box("x", 0, 0, 2, 2)]}), "is there twice"),
        ('{"a.png": [], "a.png": []}', "'a.png' is there twice"),
        (json.dumps({"a.png": [box("x", 0, 0, float("nan"), 1)]}), "expected four numbers"),
    ],
)
def test_a_malformed_file_is_answered_with_a_sentence(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(RegionError, match=reason) as caught:
        read_regions(str(tmp_path / "bad.json"), [image("a.png")])
    assert "bad.json" in str(caught.value)


def test_no_such_source_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="expected a JSON file, a folder"):
        read_regions(str(tmp_path / "gone.json"), [])
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RegionError, match=r"Cannot read the regions in binary\.json"):
        read_regions(str(tmp_path / "binary.json"), [])


def test_kodak_boxes(kodak: Path) -> None:
    images = find_images([str(kodak / "kodim23.png"), str(kodak / "kodim04.png")]).images
    read = read_regions(str(kodak / "regions.json"), images)
    eyes = {(r.image_id, r.name): r.box_px for r in read.regions if r.kind == "eye"}
    assert eyes["kodim23.png", "left-eye"] == (203, 220, 225, 242)
    listed = json.loads((kodak / "regions.json").read_text())
    assert len(read.regions) + len(read.unused) == sum(len(boxes) for boxes in listed.values())
    assert all(not name.startswith(("kodim23", "kodim04")) for name in read.unused)


def test_the_table_names_every_layout() -> None:
    assert set(REGION_READERS) == {"boxes", "coco", "masks"}


def test_fit_by_hand() -> None:
    region = Region("a.png", "eye", "eye", (10, 10, 30, 40))
    assert fit_region(region, 100, 50, None, "crop") is region
    squashed = fit_region(region, 100, 50, 50, "squash")
    assert squashed == Region("a.png", "eye", "eye", (5, 10, 15, 40))
    padded = fit_region(region, 100, 50, 50, "pad")
    assert padded == Region("a.png", "eye", "eye", (5, 17, 15, 32))
    cropped = fit_region(region, 100, 50, 50, "crop")
    assert cropped == Region("a.png", "eye", "eye", (0, 10, 5, 40))
    assert fit_region(Region("a.png", "eye", "eye", (0, 0, 25, 50)), 100, 50, 50, "crop") is None


def test_a_mask_whose_box_stays_but_whose_pixels_are_cropped_is_gone() -> None:
    mask = np.zeros((10, 40), bool)
    mask[:, :2] = mask[:, -2:] = True
    region = Region("a.png", "frame", "skin", (30, 20, 70, 30), pack_mask(mask))
    assert fit_region(region, 100, 30, 30, "crop") is None


SIDE = st.integers(1, 60)
FIT = st.sampled_from(["crop", "squash", "pad"])


@given(width=SIDE, height=SIDE, size=st.integers(1, 80), fit=FIT, data=st.data())
def test_a_marked_block_stays_inside_its_region(
    width: int, height: int, size: int, fit: Fit, data: st.DataObject
) -> None:
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    # Along one axis Lanczos leaves up to 0.63 of a single pixel's light at its edge, and along the
    # other it overshoots by up to 1.29.
    marked = fit_pixels(pixels, size, fit, "#000000")[..., 0] > 0.63 * 1.29 * 255
    region = fit_region(Region("a", "block", "eye", (x0, y0, x1, y1)), width, height, size, fit)
    if region is None:
        assert not marked.any()
        return
    left, top, right, bottom = region.box_px
    assert 0 <= left < right <= size
    assert 0 <= top < bottom <= size
    marked[top:bottom, left:right] = False
    assert not marked.any()
    # And it is no larger than rounding outward makes it.
    place = placement(width, height, size, fit)
    assert right - left < (x1 - x0) * place.width_px / width + 2
    assert bottom - top < (y1 - y0) * place.height_px / height + 2


@given(width=SIDE, height=SIDE, size=st.integers(1, 80), fit=FIT, seed=st.integers(0, 999))
def test_a_fitted_mask_has_every_pixel_that_the_mask_touches(
    width: int, height: int, size: int, fit: Fit, seed: int
) -> None:
    random = np.random.default_rng(seed)
    full = random.random((height, width)) < random.choice([0.03, 0.5])
    x0, y0 = random.integers(0, width), random.integers(0, height)
    part = full[y0:, x0:]
    part.flat[0] = True
    region = Region("a", "spots", "skin", (int(x0), int(y0), width, height), pack_mask(part))
    place = placement(width, height, size, fit)
    frame = np.zeros((size, size), bool)
    for y, x in np.argwhere(part) + np.array([y0, x0]):
        first_x, last_x = x * place.width_px / width, (x + 1) * place.width_px / width
        first_y, last_y = y * place.height_px / height, (y + 1) * place.height_px / height
        columns = np.arange(size) - place.left_px
        rows = np.arange(size) - place.top_px
        in_x = (columns < last_x - 1e-9) & (columns + 1 > first_x + 1e-9)
        in_y = (rows < last_y - 1e-9) & (rows + 1 > first_y + 1e-9)
        frame |= in_y[:, None] & in_x
    fitted = fit_region(region, width, height, size, fit)
    found = np.zeros_like(frame)
    if fitted is not None:
        left, top, right, bottom = fitted.box_px
        found[top:bottom, left:right] = region_mask(fitted)
    np.testing.assert_array_equal(found, frame)


@pytest.mark.parametrize(
    "key",
    ["C:\\data\\photo.jpg", "data\\photo.jpg", ".\\photo.jpg", "\\\\server\\data\\photo.jpg"],
)
@pytest.mark.parametrize("layout", ["coco", "boxes"])
def test_a_path_of_windows_names_the_picture_that_others_do(
    tmp_path: Path, key: str, layout: str
) -> None:
    entry = {"image_id": 1, "category_id": 1, "bbox": [4, 5, 20, 10]}
    coco = {
        "images": [{"id": 1, "file_name": key}],
        "categories": [{"id": 1, "name": "eye"}],
        "annotations": [entry],
    }
    document = coco if layout == "coco" else {key: [box("eye-1", 4, 5, 24, 15)]}
    read = read_regions(written(tmp_path, document), [image("photo.jpg"), image("other.jpg")])
    assert [(r.image_id, r.box_px) for r in read.regions] == [("photo.jpg", (4, 5, 24, 15))]
    assert read.unused == ()


def test_a_path_of_windows_is_told_apart_by_its_folders(tmp_path: Path) -> None:
    images = [image("left/photo.jpg"), image("right/photo.jpg")]
    document = {"D:\\set\\right\\photo.jpg": [box("eye", 1, 2, 3, 4)]}
    read = read_regions(written(tmp_path, document), images)
    assert [region.image_id for region in read.regions] == ["right/photo.jpg"]


def test_the_shared_annotations_of_others(shared: Path) -> None:
    folder = shared / "cases" / "regions"
    images = find_images([str(folder)]).images
    for name in ("winpath", "upright"):
        read = read_regions(str(folder / f"{name}.json"), images)
        assert [region.box_px for region in read.regions] == [(4, 5, 24, 15)]
    url = read_regions(str(folder / "url.json"), images)
    assert url.regions == ()
    assert url.unused == ("http://localhost/upload/1/abc-photo.jpg/eye-1",)
    with pytest.raises(RegionError, match="not turned upright by its EXIF orientation"):
        read_regions(str(folder / "swapped.json"), images)
