"""The pictures a run keeps are what was given, read back by Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from vaebench.bench.store.pictures import encode_png, keep_picture
from vaebench.bench.store.run import picture_path


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    is_grey=st.booleans(),
    levels=st.sampled_from([1, 3, 256]),
    seed=st.integers(0, 2**31),
)
def test_pixels_come_back_whole(height, width, is_grey, levels, seed):
    shape = (height, width) if is_grey else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, levels, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        image.verify()
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert image.mode == ("L" if is_grey else "RGB")
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("turn", [lambda x: x[:, ::-1], lambda x: x.transpose(1, 0, 2)])
def test_pixels_may_lie_in_any_order(turn):
    pixels = turn(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3))
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_a_photograph_takes_no_more_than_a_tenth_over_pillow(kodak: Path):
    for number in (5, 8, 23):
        with Image.open(kodak / f"kodim{number:02d}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        assert len(encode_png(pixels)) < 1.1 * len(buffer.getvalue())


def test_a_picture_is_kept_where_the_report_looks(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    keep_picture(tmp_path, "codec", "more/a.jpg", pixels)
    with Image.open(picture_path(tmp_path, "reconstructions", "codec", "more/a.jpg")) as image:
        assert np.array_equal(np.asarray(image), pixels)
