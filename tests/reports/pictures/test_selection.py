"""Crops lie in their pictures; the pictures shown are the worst that were kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Region
from vaebench.reports.pictures.selection import (
    crop_around,
    error_scale,
    leading_crops,
    read_grey,
    worst_pictures,
)

SIDES = st.integers(1, 300)


@given(width=SIDES, height=SIDES, data=st.data())
def test_a_crop_holds_its_region_and_stays_in_the_picture(
    width: int, height: int, data: Any
) -> None:
    x0 = data.draw(st.integers(0, width - 1))
    y0 = data.draw(st.integers(0, height - 1))
    x1 = data.draw(st.integers(x0 + 1, width))
    y1 = data.draw(st.integers(y0 + 1, height))
    left, top, right, bottom = crop_around(
        Region("a", "r", "eye", (x0, y0, x1, y1)), width, height
    ).box_px
    assert 0 <= left <= x0 < x1 <= right <= width
    assert 0 <= top <= y0 < y1 <= bottom <= height


def test_worst_pictures_are_taken_in_turn(make_run: Any, golden_spec: Any) -> None:
    golden_spec.fixed["d.png", "two"] = 5.0
    run = make_run(golden_spec)
    assert worst_pictures(run) == ["b_1.png", "d.png", "a.png", "c.png"]
    assert worst_pictures(run, 2) == ["b_1.png", "d.png"]


def test_pictures_that_were_not_kept_are_not_shown(make_run: Any, golden_spec: Any) -> None:
    golden_spec.keep = lambda image_id: image_id == "a.png"
    assert worst_pictures(make_run(golden_spec)) == ["a.png"]


def test_eyes_lead_and_larger_losses_come_first(make_run: Any, photo_spec: Any) -> None:
    photo_spec.regions = (
        Region("coffee.png", "rim", "rim", (0, 0, 60, 60)),
        *photo_spec.regions,
    )
    crops = leading_crops(make_run(photo_spec))
    assert [crop.region.kind for crop in crops] == ["eye", "rim", "face", "nose"]
    assert crops[0].region.name == "left-eye"


def test_the_error_scale_is_shared_and_never_above_what_is_stored(
    make_run: Any, photo_spec: Any
) -> None:
    run = make_run(photo_spec)
    pictures = list(photo_spec.pixels)
    top = error_scale(run, pictures)
    highest = max(
        np.quantile(read_grey(run.map_path(codec, image_id)), 0.995) / 255
        for codec in photo_spec.codecs
        for image_id in pictures
    )
    assert top is not None
    assert highest <= top <= min(1.0, 1.11 * highest)
    assert error_scale(run, []) is None


def test_a_damaged_picture_is_named(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    path = run.map_path("vae", "cat.png")
    path.write_bytes(b"no picture")
    with pytest.raises(RunFolderError, match=r"Cannot read .*cat\.png.*Delete it"):
        read_grey(path)
