"""Region files of any content: regions, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from vaebench.bench.errors import RegionError
from vaebench.bench.images.regions import read_regions
from vaebench.bench.records import ImageRef

IMAGES = [ImageRef("a.png", "set", "/nowhere/a.png", "0" * 64, 8, 6, ())]

NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([0, -1, 1e30, 1e308, -1e308, 2**63, 10**30, 0.5]),
    st.floats(allow_nan=True),
)
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.just("a.png"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
BOX = st.lists(NUMBERS, min_size=4, max_size=4) | ANY
ENTRY = st.fixed_dictionaries(
    {"name": st.sampled_from(["eye", "whole", "../up", ""]) | ANY, "kind": st.just("eye") | ANY},
    optional={"box": BOX},
)
SEGMENTATION = st.one_of(
    ANY,
    st.lists(st.lists(NUMBERS, max_size=9), max_size=3),
    st.fixed_dictionaries({"counts": st.lists(NUMBERS, max_size=6) | st.text() | ANY}),
)
ANNOTATION = st.fixed_dictionaries(
    {"image_id": st.just(1) | ANY, "category_id": st.just(1) | ANY},
    optional={"bbox": BOX, "segmentation": SEGMENTATION},
)
IMAGE = st.fixed_dictionaries(
    {"id": st.just(1) | ANY, "file_name": st.just("a.png") | ANY},
    optional={"width": st.just(8) | ANY, "height": st.just(6) | ANY},
)
COCO = st.fixed_dictionaries(
    {
        "images": st.lists(IMAGE, min_size=1, max_size=2) | ANY,
        "annotations": st.lists(ANNOTATION, min_size=1, max_size=3) | ANY,
    },
    optional={"categories": st.just([{"id": 1, "name": "eye"}]) | ANY},
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ANY | st.dictionaries(st.just("a.png") | st.text(), st.lists(ENTRY) | ANY) | COCO)
@example({"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1}]})
def test_any_json_is_regions_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    path = tmp_path_factory.mktemp("regions") / "r.json"
    path.write_text(json.dumps(document))
    try:
        found = read_regions(str(path), IMAGES).regions
    except RegionError as error:
        assert "r.json" in str(error)
        return
    for region in found:
        x0, y0, x1, y1 = region.box_px
        assert 0 <= x0 < x1 <= 8
        assert 0 <= y0 < y1 <= 6


def test_deep_and_broken_json_are_one_sentence(tmp_path: Path) -> None:
    for content in (b"[" * 100_000, b"", b"\xff\xfe", b'{"a.png": [}', b"9" * 5000):
        (tmp_path / "r.json").write_bytes(content)
        with pytest.raises(RegionError):
            read_regions(str(tmp_path / "r.json"), IMAGES)


@pytest.mark.parametrize("word", ["\x1b[2J", "two\nlines", "\u202egnp", "\0", "\ud800"])
@pytest.mark.parametrize("field", ["name", "kind"])
def test_no_region_is_called_what_a_terminal_would_obey(
    tmp_path: Path, field: str, word: str
) -> None:
    entry = {"name": "eye", "kind": "eye", "box": [0, 0, 2, 2], field: word}
    (tmp_path / "r.json").write_text(json.dumps({"a.png": [entry]}))
    with pytest.raises(RegionError, match="steers a terminal") as told:
        read_regions(str(tmp_path / "r.json"), IMAGES)
    assert str(told.value).isprintable()


def test_masks_that_are_no_pictures_are_one_sentence(tmp_path: Path) -> None:
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(tmp_path / "a.eye.mask.png")
    assert len(read_regions(str(tmp_path), IMAGES).regions) == 1
    (tmp_path / "a.nose.mask.png").write_text("text")
    with pytest.raises(RegionError, match=r"a\.nose\.mask\.png: it is no picture"):
        read_regions(str(tmp_path), IMAGES)
