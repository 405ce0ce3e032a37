"""JPEGs that libjpeg would fill with grey, and those that are whole in spite of appearances."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files.decode import read_samples
from vaebench.bench.images.pixels import read_pixels

EOI = b"\xff\xd9"


def jpeg(height: int = 48, width: int = 64, mode: str = "RGB", **options: int) -> bytes:
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(height * width).normal(0, 20, (height, width, 3))
    waves = np.stack([128 + 90 * np.sin(x / 6 + c) * np.cos(y / 5) for c in range(3)], -1)
    image = Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


LAYOUTS = [
    {"quality": 80},
    {"quality": 80, "optimize": 1},
    {"quality": 80, "subsampling": 0},
    {"quality": 80, "progressive": 1},
    {"quality": 80, "restart_marker_blocks": 2},
    {"quality": 30, "progressive": 1, "restart_marker_rows": 1},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(share=st.floats(0.3, 1), closing=st.sampled_from([b"", EOI, EOI + bytes(99), bytes(99)]))
def test_cut_anywhere_it_is_refused_or_has_every_pixel(
    tmp_path_factory: pytest.TempPathFactory,
    mode: str,
    layout: dict[str, int],
    share: float,
    closing: bytes,
) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.jpg"
    data = jpeg(mode=mode, **layout)
    path.write_bytes(data)
    whole = read_pixels(path).rgb
    path.write_bytes(data[: int(len(data) * share)] + closing)
    try:
        read = read_pixels(path).rgb
    except ImageError:
        return
    np.testing.assert_array_equal(read, whole)


def test_cut_and_closed_pillow_pads_it_and_we_refuse_it(tmp_path: Path) -> None:
    data = jpeg()
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: len(data) * 2 // 3] + EOI)
    padded = np.asarray(Image.open(path))
    assert (padded[-8:, -8:] == 128).all(), "libjpeg no longer fills with grey"
    with pytest.raises(ImageError, match="its last scan ends before the picture does"):
        read_samples(path)


def test_a_progressive_picture_without_its_last_scans_is_refused(tmp_path: Path) -> None:
    data = jpeg(progressive=1)
    path = tmp_path / "coarse.jpg"
    path.write_bytes(data[: data.rindex(b"\xff\xc4")] + EOI)
    Image.open(path).load()
    with pytest.raises(ImageError, match="its last scans are missing"):
        read_samples(path)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 8), (33, 17)])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_whole_pictures_are_read(
    tmp_path: Path, mode: str, layout: dict[str, int], size: tuple[int, int]
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(*size, mode=mode, **layout))
    assert read_pixels(path).rgb.shape == (*size, 3)


def test_what_lies_behind_the_end_does_not_matter(tmp_path: Path) -> None:
    data = jpeg()
    plain, longer = tmp_path / "a.jpg", tmp_path / "b.jpg"
    plain.write_bytes(data)
    longer.write_bytes(data + np.random.default_rng(1).bytes(5000))
    np.testing.assert_array_equal(read_pixels(longer).rgb, read_pixels(plain).rgb)


def test_too_many_scans_are_refused(tmp_path: Path) -> None:
    data = jpeg(progressive=1)
    last = data[data.rindex(b"\xff\xda") : -2]
    path = tmp_path / "scans.jpg"
    path.write_bytes(data[:-2] + last * 200 + EOI)
    with pytest.raises(ImageError, match="more than 100 scans"):
        read_samples(path)


@pytest.mark.parametrize("layout", LAYOUTS[:5], ids=str)
def test_cut_in_its_last_bytes_it_is_refused(tmp_path: Path, layout: dict[str, int]) -> None:
    path = tmp_path / "a.jpg"
    missed = 0
    for seed in range(8):
        small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        smooth = Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)
        smooth.save(buffer, "JPEG", **layout)
        path.write_bytes(buffer.getvalue())
        whole = read_pixels(path).rgb
        for missing in range(3, 15):
            path.write_bytes(buffer.getvalue()[:-missing] + EOI)
            try:
                missed += not np.array_equal(read_pixels(path).rgb, whole)
            except ImageError as error:
                assert "its last scan" in str(error)
    assert missed == 0


def test_tables_for_arithmetic_code_turn_no_check_off(tmp_path: Path) -> None:
    data = jpeg()
    scan = data.index(b"\xff\xda")
    tables = b"\xff\xcc\x00\x04\x00\x10"
    path = tmp_path / "dac.jpg"
    path.write_bytes(data[:scan] + tables + data[scan:])
    assert read_samples(path).colour.shape == (48, 64, 3)
    path.write_bytes(data[:scan] + tables + data[scan : len(data) * 3 // 4] + EOI)
    with pytest.raises(ImageError, match="its last scan ends before the picture does"):
        read_samples(path)


def test_bytes_that_fill_up_before_a_marker_are_no_code(tmp_path: Path) -> None:
    data = jpeg()
    plain, filled = tmp_path / "a.jpg", tmp_path / "b.jpg"
    plain.write_bytes(data)
    filled.write_bytes(data[:-2] + b"\xff\xff" + EOI)
    np.testing.assert_array_equal(read_pixels(filled).rgb, read_pixels(plain).rgb)
