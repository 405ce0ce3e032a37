"""Masks of polygons and run lengths."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask
from vaebench.bench.images.region_shapes import (
    pack_mask,
    polygon_mask,
    runs_mask,
    runs_of_text,
    tight_box,
    unpack_mask,
)


@given(
    width=st.integers(1, 20),
    height=st.integers(1, 20),
    seed=st.integers(0, 999),
    full=st.booleans(),
)
def test_packing_keeps_every_pixel(width: int, height: int, seed: int, full: bool) -> None:
    mask = (np.random.default_rng(seed).random((height, width)) < 0.5) | full
    packed = pack_mask(mask)
    assert len(packed) == -(-width * height // 8)
    np.testing.assert_array_equal(unpack_mask(packed, width, height), mask)


def test_the_first_pixel_is_the_most_significant_bit() -> None:
    assert pack_mask(np.array([[True, False, False], [False, False, True]])) == b"\x84"


def test_tight_box() -> None:
    mask = np.zeros((9, 12), bool)
    assert tight_box(mask) is None
    mask[2, 3] = mask[6, 10] = True
    assert tight_box(mask) == (3, 2, 11, 7)


def test_a_rectangle_by_hand() -> None:
    corners = np.array([[2, 1], [6, 1], [6, 4], [2, 4]], float)
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal(polygon_mask(corners, 8, 6), expected)
    # Half a pixel further on, the centre of the next pixel is not yet inside.
    np.testing.assert_array_equal(polygon_mask(corners + 0.49, 8, 6), expected)


@given(st.lists(st.tuples(st.floats(-3, 33), st.floats(-3, 28)), min_size=3, max_size=9))
def test_polygons_agree_with_scikit_image(corners: list[tuple[float, float]]) -> None:
    """Reference: skimage.draw.polygon2mask (0.26), whose pixel centres are whole numbers."""
    points = np.array(corners)
    expected = polygon2mask((25, 30), points[:, ::-1] - 0.5)
    differ = polygon_mask(points, 30, 25) != expected
    # They may differ where an edge runs through a pixel's centre.
    if differ.any():
        rows, columns = np.nonzero(differ)
        centres = np.stack([columns, rows], axis=-1)[:, None] + 0.5
        start, end = points, np.roll(points, -1, axis=0)
        along = end - start
        squared = np.maximum((along**2).sum(axis=-1), 1e-30)
        share = np.clip(((centres - start) * along).sum(axis=-1) / squared, 0, 1)
        nearest = start + share[..., None] * along
        assert np.linalg.norm(centres - nearest, axis=-1).min(axis=1).max() < 1e-6


def test_run_lengths_go_down_the_columns() -> None:
    mask = runs_mask([1, 3, 2], 3, 2)
    assert mask is not None
    assert mask.tolist() == [[False, True, False], [True, True, False]]
    assert runs_mask([1, 3], 3, 2) is None
    assert runs_mask([8, -2], 3, 2) is None


def test_compressed_run_lengths() -> None:
    """Reference: pycocotools 2.0, mask.encode of this very mask."""
    mask = np.zeros((40, 50), bool)
    mask[5:35, 10:12] = True
    mask[8:20, 12:40] = True
    runs = runs_of_text("e<n0:03^O?00000000000000000000000000000000000000000000000000000X<")
    assert runs is not None
    np.testing.assert_array_equal(runs_mask(runs, 50, 40), mask)


def test_broken_off_run_lengths() -> None:
    assert runs_of_text("e") is None
    assert runs_of_text("e<n0 ") is None
    assert runs_of_text("") == []
