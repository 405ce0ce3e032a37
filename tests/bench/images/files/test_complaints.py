"""What libtiff complains of is refused, and never reaches the terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files.complaints import libtiff_lines
from vaebench.bench.images.pixels import read_pixels

UNREADABLE = {
    "jpeg2000.tif": "JPEG 2000",
    "jpegxl.tif": "JPEG XL",
    "jpegxr.tif": "JPEG XR",
    "lerc.tif": "LERC",
    "png.tif": "PNG",
    "webp.tif": "WebP",
}


def test_a_compression_is_read_or_refused_by_its_name(
    shared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = sorted((shared / "cases" / "tiffc").glob("*.tif"))
    expected = read_pixels(files[0]).rgb
    for path in files:
        if path.name in UNREADABLE:
            name = UNREADABLE[path.name]
            with pytest.raises(ImageError) as caught:
                read_pixels(path)
            assert str(caught.value) == (
                f"Cannot read {path.name}: its compression ({name}) cannot be decoded here: "
                "convert it to PNG."
            )
        elif path.name != "jpeg.tif":
            np.testing.assert_array_equal(read_pixels(path).rgb, expected)
    assert capfd.readouterr() == ("", "")


def test_what_libtiff_fills_in_is_refused(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_pixels(shared / "cases" / "robust" / "fax_truth.tif")
    with pytest.raises(ImageError, match="Fax4Decode"):
        read_pixels(shared / "cases" / "robust" / "fax_flipped_bit.tif")
    assert capfd.readouterr() == ("", "")


def test_no_flipped_bit_of_a_fax_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(4)
    page = Image.fromarray(np.kron(random.random((12, 12)) > 0.5, np.ones((8, 8), bool)))
    path = tmp_path / "fax.tif"
    page.save(path, compression="group4")
    data = path.read_bytes()
    refused = 0
    for bit in random.choice(8 * 90, 60, replace=False):
        damaged = bytearray(data)
        damaged[8 + bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        try:
            read_pixels(path)
        except ImageError:
            refused += 1
    assert refused > 15
    assert capfd.readouterr() == ("", "")


def test_what_others_write_meanwhile_comes_after(capfd: pytest.CaptureFixture[str]) -> None:
    with libtiff_lines() as lines:
        os.write(2, b"Fax4Decode: Bad code word at line 3.\n")
        os.write(2, b"a progress bar 3/24\n")
        print("of Python's", file=sys.stderr)
        os.write(2, b"tempfile.tif: Read error.\n")
    assert lines == ["Fax4Decode: Bad code word at line 3", "tempfile.tif: Read error"]
    told = capfd.readouterr().err
    assert "a progress bar 3/24\n" in told
    assert "of Python's\n" in told
    assert "Decode" not in told
    os.write(2, b"open again\n")
    assert capfd.readouterr().err == "open again\n"


def test_a_tiff_is_read_where_no_terminal_is(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.new("RGB", (8, 8)).save(path, compression="tiff_lzw")
    code = (
        "import sys; from vaebench.bench.images.pixels import read_pixels; "
        "print(read_pixels(sys.argv[1]).rgb.shape)"
    )
    command = shlex.join([sys.executable, "-c", code, str(path)]) + " 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "(8, 8, 3)\n"


def test_signed_8_bits_are_as_signed_16(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases" / "robust"
    with pytest.raises(ImageError, match="its samples run from -107 to 127, expected 0 to 127"):
        read_pixels(folder / "signed_grey.tif")
    pixels = read_pixels(folder / "signed_0_127.tif")
    stored = tifffile.imread(folder / "signed_0_127.tif")
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(pixels.rgb[..., 0], np.rint(stored * (255 / 127)))
    assert "signed 8-bit" in pixels.notes[0]
    tifffile.imwrite(tmp_path / "a.tif", stored, compression="zlib", predictor=True)
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.tif").rgb, pixels.rgb)


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32, 64])
@pytest.mark.parametrize("sample_format", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(("photometric", "channels"), [(1, 1), (0, 1), (2, 3)])
def test_every_pair_of_bits_and_format_is_right_or_refused(
    tmp_path: Path,
    bits: int,
    sample_format: int,
    photometric: int,
    channels: int,
    make_tiff: Callable[..., bytes],
    grey_page: Callable[..., dict[int, Any]],
) -> None:
    """A flat picture of half of what its samples can hold: mid-grey or no picture at all."""
    width, height = 8, 4
    half = 1 << max(0, bits - (2 if sample_format == 2 else 1))
    row = "".join(f"{half:0{bits}b}" for _ in range(width * channels))
    packed = int(row, 2).to_bytes(width * channels * bits // 8, "big")
    if bits in (16, 32, 64):
        packed = np.frombuffer(packed, f">u{bits // 8}").astype(f"<u{bits // 8}").tobytes()
    if sample_format == 3 and bits in (16, 32, 64):
        packed = np.full(width * channels, 0.5, f"<f{bits // 8}").tobytes()
    tags = grey_page(width, height, tag_258=[bits] * channels, tag_262=[photometric])
    tags |= {277: [channels], 339: [sample_format] * channels, 273: packed * height}
    path = tmp_path / "a.tif"
    path.write_bytes(make_tiff(tags))
    try:
        level = int(read_pixels(path).rgb.mean())
    except ImageError as error:
        assert "PNG" in str(error) or "Scale them first" in str(error)
    else:
        full = 2 ** (bits - (sample_format == 2)) - 1
        share = 0.5 if sample_format == 3 else half / full
        assert abs(level - round(255 * (share if photometric else 1 - share))) <= 1
        assert sample_format in (1, 2, 3)
