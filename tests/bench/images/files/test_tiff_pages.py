"""The pages of a TIFF: no thumbnail is taken for the picture, and none are counted for ever."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files.tiff_pages import MOST_PAGES, check_pages
from vaebench.bench.images.pixels import read_pixels

Make = Callable[..., bytes]
GreyPage = Callable[..., dict[int, Any]]
THUMBNAIL = r"its first page is a thumbnail of 16x12 px: convert it to PNG"


@pytest.mark.parametrize("name", ["x.dng", "x.nef", "x.tif"])
def test_a_camera_s_raw_file_is_not_its_thumbnail(shared: Path, name: str) -> None:
    with pytest.raises(ImageError, match=THUMBNAIL):
        read_pixels(shared / "cases" / "raw" / name)


def test_a_thumbnail_before_its_picture(shared: Path) -> None:
    with pytest.raises(ImageError, match=THUMBNAIL):
        read_pixels(shared / "cases" / "formats" / "tif8_thumb_first.tif")


def test_each_way_to_be_a_thumbnail(tmp_path: Path, make_tiff: Make, grey_page: GreyPage) -> None:
    path = tmp_path / "a.tif"
    small, large = grey_page(16, 12), grey_page(64, 48)
    for pages in (
        [small | {254: [1]}, large],
        [small | {255: [2]}, large],
        [small | {330: [large]}],
        [small | {330: [small, large]}],
        [small, large],
        [small, grey_page(65, 48)],
    ):
        path.write_bytes(make_tiff(*pages))
        with pytest.raises(ImageError, match=THUMBNAIL):
            read_pixels(path)
    path.write_bytes(make_tiff(small | {254: [4]}, large))
    with pytest.raises(ImageError, match="transparency mask"):
        read_pixels(path)
    data = bytearray(make_tiff(small))
    data[8:10] = b"CR"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"raw file \(CR2\)"):
        read_pixels(path)


def test_a_picture_before_its_thumbnails_and_other_pages_is_read(
    tmp_path: Path, make_tiff: Make, grey_page: GreyPage
) -> None:
    path = tmp_path / "a.tif"
    small, large = grey_page(16, 12), grey_page(64, 48, 77)
    for pages, size in (
        ([large, small | {254: [1]}], (48, 64)),
        ([large | {330: [small | {254: [1]}]}], (48, 64)),
        ([small | {254: [2]}, grey_page(16, 12)], (12, 16)),
        # A scanned letter and an enlarged one are two pages.
        ([small, grey_page(23, 17)], (12, 16)),
        ([small, grey_page(64, 64)], (12, 16)),
        ([small, small, large], (12, 16)),
    ):
        path.write_bytes(make_tiff(*pages))
        pixels = read_pixels(path)
        assert pixels.rgb.shape[:2] == size
        assert (f"first of {len(pages)} frames" in pixels.notes) == (len(pages) > 1)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_are_counted_in_every_layout(tmp_path: Path, big: bool, order: Any) -> None:
    path = tmp_path / "a.tif"
    pages = np.zeros((3, 8, 8), np.uint8)
    tifffile.imwrite(
        path, pages, bigtiff=big, byteorder=order, metadata=None, photometric="minisblack"
    )
    assert check_pages(path) == 3


def many_pages(count: int) -> bytes:
    """As many pages of 8 x 8 px that all have the same pixels."""
    tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 64)]
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    size = 2 + len(entries) + 4
    pages = b"".join(
        struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", 72 + size * (index + 1) if index + 1 < count else 0)
        for index in range(count)
    )
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + pages


def test_pages_take_linear_time_and_too_many_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    start = time.process_time()
    path.write_bytes(many_pages(MOST_PAGES))
    assert f"first of {MOST_PAGES} frames" in read_pixels(path).notes
    path.write_bytes(many_pages(100_000))
    with pytest.raises(ImageError, match="more than 10000 pages"):
        read_pixels(path)
    # Pillow's own count of 10,000 took 10 s.
    assert time.process_time() - start < 5


def test_pages_that_go_round_or_lead_nowhere_are_noted(tmp_path: Path) -> None:
    data = many_pages(2)
    path = tmp_path / "a.tif"
    for link in (72, 10**9):
        path.write_bytes(data[:-4] + struct.pack("<I", link))
        pixels = read_pixels(path)
        assert pixels.rgb.shape == (8, 8, 3)
        assert "first of several frames (the count is unreadable)" in pixels.notes


def test_kept_thumbnails_of_jpeg_stay_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[271] = "camera"
    Image.new("RGB", (64, 48)).save(path, exif=exif)
    assert read_pixels(path).rgb.shape == (48, 64, 3)
