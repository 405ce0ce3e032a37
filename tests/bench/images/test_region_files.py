"""COCO annotations and mask pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import RegionError
from vaebench.bench.images.find import find_images
from vaebench.bench.images.regions import read_regions, region_mask
from vaebench.bench.records import ImageRef, Region


def image(image_id: str) -> ImageRef:
    return ImageRef(image_id, "set", str(Path("set").absolute() / image_id), "", 40, 30)


def written(folder: Path, document: object) -> str:
    (folder / "coco.json").write_text(json.dumps(document))
    return str(folder / "coco.json")


def coco(**changes: object) -> dict[str, object]:
    document: dict[str, object] = {
        "images": [
            {"id": 7, "file_name": "train/a.png", "width": 40, "height": 30},
            {"id": 8, "file_name": "gone.png", "width": 1, "height": 1},
        ],
        "categories": [{"id": 1, "name": "eye"}, {"id": 2, "name": "face"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1.2, 2.0, 3.5, 4.0]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 40.0, 30.0]},
            {"id": 3, "image_id": 8, "category_id": 1, "bbox": [0, 0, 50, 50]},
            {"id": 4, "image_id": 7, "category_id": 1, "bbox": [10, 10, 1, 1]},
        ],
    }
    return document | changes


def annotated(segmentation: object, **fields: object) -> dict[str, object]:
    entry = {"image_id": 7, "category_id": 1, "segmentation": segmentation}
    return coco(annotations=[entry | fields])


def test_coco_boxes_are_rounded_outward_and_numbered_by_category(tmp_path: Path) -> None:
    read = read_regions(written(tmp_path, coco()), [image("a.png")])
    assert read.regions == (
        Region("a.png", "eye-1", "eye", (1, 2, 5, 6)),
        Region("a.png", "face-1", "face", (0, 0, 40, 30)),
        Region("a.png", "eye-2", "eye", (10, 10, 11, 11)),
    )
    assert read.unused == ("gone.png/eye-1",)


def test_coco_polygons_and_both_kinds_of_run_lengths_give_the_same_mask(tmp_path: Path) -> None:
    expected = np.zeros((30, 40), bool)
    expected[4:9, 3:8] = True
    expected[20:22, 30:40] = True
    polygons = [[3, 4, 8, 4, 8, 9, 3, 9], [30, 20, 40, 20, 40, 22, 30, 22]]
    changes = np.flatnonzero(np.diff(expected.T.ravel().astype(int))) + 1
    runs = np.diff(np.concatenate([[0], changes, [expected.size]])).tolist()
    for segmentation in (polygons, {"counts": runs, "size": [30, 40]}):
        document = annotated(segmentation, bbox=[3, 4, 37, 18])
        (region,) = read_regions(written(tmp_path, document), [image("a.png")]).regions
        assert region.box_px == (3, 4, 40, 22)
        np.testing.assert_array_equal(region_mask(region), expected[4:22, 3:40])


def test_a_coco_mask_that_is_its_box_or_holds_no_pixel_is_a_box(tmp_path: Path) -> None:
    full = annotated([[3, 4, 8, 4, 8, 9, 3, 9]], bbox=[0, 0, 20, 20])
    (region,) = read_regions(written(tmp_path, full), [image("a.png")]).regions
    assert region == Region("a.png", "eye-1", "eye", (3, 4, 8, 9))
    sliver = annotated([[3.1, 4, 3.3, 4, 3.3, 9]], bbox=[3.1, 4, 0.2, 5])
    (region,) = read_regions(written(tmp_path, sliver), [image("a.png")]).regions
    assert region == Region("a.png", "eye-1", "eye", (3, 4, 4, 9))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (annotated(None, bbox=[0, 0, 41, 3]), "lies outside the picture's 40 x 30 px"),
        (annotated([[0, 0, 50, 0, 50, 9]]), "polygon reaches outside"),
        (annotated([[0, 0, 5, 0]]), "3 or more corners"),
        (annotated({"counts": [5, 5], "size": [30, 40]}), "do not fill 40 x 30 px"),
        (annotated({"counts": "e", "size": [30, 40]}), "do not fill"),
        (annotated([]), "neither a bbox"),
        (annotated([], category_id=99), "do not fit together: KeyError 99"),
        (coco(images=[{"id": 7}]), "do not fit together: KeyError 'file_name'"),
        (
            coco(images=[{"id": 7, "file_name": "a.png", "width": 80, "height": 60}]),
            "annotated at 80 x 60 px, but has 40 x 30 px",
        ),
    ],
)
def test_bad_coco_is_answered_with_a_sentence(
    tmp_path: Path, document: object, reason: str
) -> None:
    with pytest.raises(RegionError, match=reason):
        read_regions(written(tmp_path, document), [image("a.png")])


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    (root / "deep").mkdir(parents=True)
    for name in ["a.png", "b.c.png", "deep/a.png"]:
        Image.new("RGB", (10, 8)).save(root / name)
    mask = np.zeros((8, 10), np.uint8)
    mask[2:5, 3:6] = 1
    mask[3, 6] = 255
    Image.fromarray(mask).save(root / "a.left-eye.mask.png")
    Image.fromarray(mask > 1).save(root / "b.c.sign-2.mask.png")
    Image.fromarray(mask).save(root / "deep" / "a.png.face.mask.png")
    Image.fromarray(mask).save(root / "gone.eye.mask.png")
    return root


@pytest.mark.parametrize("beside", [True, False])
def test_mask_pictures_beside_their_pictures_or_in_a_folder(masked: Path, beside: bool) -> None:
    images = find_images([str(masked)]).images
    source = "masks"
    if not beside:
        source = str(masked.with_name("masks-of-the-set"))
        for path in masked.rglob("*.mask.png"):
            moved = Path(source) / path.relative_to(masked)
            moved.parent.mkdir(parents=True, exist_ok=True)
            path.rename(moved)
    read = read_regions(source, images)
    found = {(region.image_id, region.name): region for region in read.regions}
    assert set(found) == {("a.png", "left-eye"), ("b.c.png", "sign-2"), ("deep/a.png", "face")}
    eye = found["a.png", "left-eye"]
    assert (eye.kind, eye.box_px) == ("eye", (3, 2, 7, 5))
    expected = np.ones((3, 4), bool)
    expected[[0, 2], 3] = False
    np.testing.assert_array_equal(region_mask(eye), expected)
    assert found["b.c.png", "sign-2"] == Region("b.c.png", "sign-2", "sign", (6, 3, 7, 4))
    assert read.unused == ("gone/eye",)


def test_masks_that_cannot_be_used(masked: Path) -> None:
    images = find_images([str(masked)]).images
    Image.new("L", (9, 8), 255).save(masked / "a.small.mask.png")
    with pytest.raises(RegionError, match=r"mask has 9 x 8 px, but a\.png has 10 x 8 px"):
        read_regions("masks", images)
    Image.new("L", (10, 8)).save(masked / "a.small.mask.png")
    with pytest.raises(RegionError, match=r"region 'small' of a\.png: its mask is all black"):
        read_regions("masks", images)
    (masked / "a.small.mask.png").write_bytes(b"no picture")
    with pytest.raises(RegionError, match=r"Cannot read a\.small\.mask\.png"):
        read_regions("masks", images)
    (masked / "a.small.mask.png").unlink()
    Image.new("RGB", (10, 8)).save(masked / "a.jpg")
    with pytest.raises(RegionError, match=r"left-eye\.mask\.png could be any of a\.jpg, a\.png"):
        read_regions("masks", find_images([str(masked)]).images)
