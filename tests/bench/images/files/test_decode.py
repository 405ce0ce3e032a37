"""Every way a file stores its samples, and every way it is broken."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files.decode import read_samples
from vaebench.bench.images.files.limits import (
    MAX_PIXELS,
    jpeg2000_precisions,
)
from vaebench.bench.images.files.marks import READ, picture_suffixes

RANDOM = np.random.default_rng(3)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(path: Path, samples: np.ndarray, colour_type: int, extra: bytes = b"") -> None:
    """Write uint16 [H, W, C] as a 16-bit PNG whose rows use filters 0, 1, 2, 3, 4 in turn."""
    height, width, channels = samples.shape
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    bytes_per_pixel = 2 * channels
    packed = b""
    above = np.zeros_like(rows[0])
    for index, row in enumerate(rows):
        left = np.concatenate([np.zeros(bytes_per_pixel, int), row[:-bytes_per_pixel]])
        corner = np.concatenate([np.zeros(bytes_per_pixel, int), above[:-bytes_per_pixel]])
        guess = left + above - corner
        distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
        paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
        predicted = [0 * row, left, above, (left + above) // 2, paeth][index % 5]
        packed += bytes([index % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(packed))
        + chunk(b"IEND", b"")
    )


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 65536, shape, dtype=np.uint16)


@pytest.mark.parametrize(
    ("colour_type", "channels", "space"),
    [(0, 1, "gray"), (2, 3, "rgb"), (4, 2, "gray"), (6, 4, "rgb")],
)
def test_16_bit_png_keeps_every_bit(
    tmp_path: Path, colour_type: int, channels: int, space: str
) -> None:
    stored = noise(11, 7, channels)
    write_png(tmp_path / "deep.png", stored, colour_type)
    samples = read_samples(tmp_path / "deep.png")
    colours = 1 if space == "gray" else 3
    assert samples.space == space
    assert samples.notes == ("16-bit scaled to 8",)
    np.testing.assert_array_equal(samples.colour, stored[..., :colours])
    if channels in (2, 4):
        np.testing.assert_array_equal(samples.alpha, stored[..., -1])
    else:
        assert samples.alpha is None


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3)])
def test_16_bit_transparent_colour_is_matched_at_16_bits(
    tmp_path: Path, colour_type: int, channels: int
) -> None:
    stored = noise(6, 5, channels)
    key = stored[2, 3]
    # Equal in its high byte only: at 8 bits it could not be told from the transparent colour.
    stored[4, 1] = key ^ 1
    transparent = chunk(b"tRNS", key.astype(">u2").tobytes())
    write_png(tmp_path / "keyed.png", stored, colour_type, transparent)
    alpha = read_samples(tmp_path / "keyed.png").alpha
    assert alpha is not None
    assert alpha[2, 3] == 0
    assert np.count_nonzero(alpha == 65535) == alpha.size - 1


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("channels", "settings"),
    [
        (3, {"photometric": "rgb"}),
        (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        (4, {"photometric": "separated"}),
    ],
)
def test_16_bit_tiff_keeps_every_bit(
    tmp_path: Path, byteorder: str, compression: str | None, channels: int, settings: dict
) -> None:
    stored = noise(9, 8, channels)
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, stored, byteorder=byteorder, compression=compression, **settings)
    samples = read_samples(path)
    colours = 4 if samples.space == "cmyk" else 3
    np.testing.assert_array_equal(samples.colour, stored[..., :colours])
    if settings.get("extrasamples") == ["unassalpha"]:
        np.testing.assert_array_equal(samples.alpha, stored[..., 3])


def test_premultiplied_16_bit_tiff_is_divided_by_alpha_at_16_bits(tmp_path: Path) -> None:
    colour, alpha = noise(8, 8, 3), np.maximum(noise(8, 8, 1), 4096)
    stored = np.rint(colour * (alpha / 65535)).astype(np.uint16)
    path = tmp_path / "premultiplied.tif"
    stored = np.concatenate([stored, alpha], axis=-1)
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])
    samples = read_samples(path)
    np.testing.assert_array_equal(samples.alpha, alpha[..., 0])
    # Half a level of rounding before the division, over an alpha of at least 1/16.
    assert np.abs(samples.colour.astype(int) - colour).max() <= 8.5


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_planes_are_refused_rather_than_cut(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "planes.tif"
    tifffile.imwrite(
        path, noise(3, 8, 9), photometric="rgb", planarconfig="separate", compression=compression
    )
    with pytest.raises(ImageError, match="more than 8 bits a sample"):
        read_samples(path)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_signed_16_bit_tiff_is_scaled_by_its_own_maximum(tmp_path: Path, byteorder: str) -> None:
    path = tmp_path / "signed.tif"
    tifffile.imwrite(path, np.array([[0, 1, 32767]], np.int16), byteorder=byteorder)
    np.testing.assert_array_equal(read_samples(path).colour[0, :, 0], [0, 2, 65535])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 32768, 65535]), ([0.0, 128.0, 255.0], [0, 32896, 65535])],
)
def test_floats_up_to_1_and_up_to_255(
    tmp_path: Path, values: list[float], expected: list[int]
) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.array([values], np.float32))
    np.testing.assert_array_equal(read_samples(tmp_path / "float.tif").colour[0, :, 0], expected)


@pytest.mark.parametrize("values", [[-0.5, 1.0], [0.0, 1000.0], [0.0, np.nan], [0.0, np.inf]])
def test_floats_of_unknown_range_are_refused(tmp_path: Path, values: list[float]) -> None:
    tifffile.imwrite(tmp_path / "float.tif", np.array([values], np.float32))
    with pytest.raises(ImageError, match="float samples run from"):
        read_samples(tmp_path / "float.tif")


def test_integers_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "wide.tif")
    with pytest.raises(ImageError, match="run from 0 to 70000, expected 0 to 65535"):
        read_samples(tmp_path / "wide.tif")


def test_deep_colour_in_jpeg_2000_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / "a.j2k")
    data = bytearray((tmp_path / "a.j2k").read_bytes())
    assert jpeg2000_precisions(bytes(data)) == (8, 8, 8)
    assert read_samples(tmp_path / "a.j2k").colour.shape == (16, 16, 3)
    precision_of_first_component = data.find(b"\xff\x4f\xff\x51") + 4 + 38
    data[precision_of_first_component] = 11
    (tmp_path / "deep.j2k").write_bytes(data)
    with pytest.raises(ImageError, match="would be cut to 8"):
        read_samples(tmp_path / "deep.j2k")


def test_what_is_too_large_is_refused_from_its_header(tmp_path: Path) -> None:
    for side in (11_000, 60_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        path = tmp_path / f"{side}.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", b"")
            + chunk(b"IEND", b"")
        )
        assert side**2 > MAX_PIXELS
        with pytest.raises(ImageError, match="more pixels than the limit, 64 megapixels"):
            read_samples(path)


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.webp", "cut.tif", "cut.gif"])
def test_a_file_cut_short_is_refused_never_padded(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match=f"Cannot read {name}: it is"):
        read_samples(path)


def test_reasons_for_no_file_an_empty_one_and_text(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture")
    for name, reason in [
        ("gone.png", "there is no such file"),
        ("empty.png", "the file is empty"),
        ("text.png", "it is no picture"),
    ]:
        with pytest.raises(ImageError, match=reason):
            read_samples(tmp_path / name)


def test_suffixes_are_those_of_pictures_read_or_not() -> None:
    assert {".png", ".jpg", ".mpo", ".webp", ".avif", ".tif", ".gif"} <= picture_suffixes()
    assert {".tga", ".psd", ".ico", ".jxl", ".heic"} <= picture_suffixes()
    # Ghostscript would run on the first; the others are stubs and video.
    assert not {".eps", ".pdf", ".h5", ".wmf", ".mpg", ".json", ".txt"} & picture_suffixes()


PADDED = {"pillow/broken_data_stream.png"}
"""Listed as usable, but its pixels end in row 126 of 128: Pillow refuses it, and a second try
shows the frame that the first left half empty."""


def format_not_read(entry: dict, data: bytes) -> str | None:
    """Return the format by whose name a picture is refused; None for one that is read."""
    if data[12:16] == b"CgBI":
        return "PNG rewritten for iOS (CgBI)"
    return None if entry.get("format") in (None, "MPO", *READ) else entry["format"]


def test_every_odd_file_is_decoded_or_refused_as_listed(shared: Path) -> None:
    folder = shared / "images" / "odd"
    listed = json.loads((folder / "index.json").read_text())
    verdicts: dict[str, str] = {}
    by_name: dict[str, str] = {}
    for name in listed:
        try:
            samples = read_samples(folder / name)
            verdicts[name] = "use" if samples.colour.size else "empty"
        except ImageError as error:
            assert str(error).startswith(f"Cannot read {Path(name).name}: ")
            verdicts[name] = "refuse"
            if "which is not read" in str(error):
                by_name[name] = str(error).split("its format is ")[1].split(", which is not")[0]
    foreign = {
        name: kind
        for name, entry in listed.items()
        if (kind := format_not_read(entry, (folder / name).read_bytes()))
    }
    # The list names no format where Pillow could not open the file.
    unopened = {"pillow/decompression_bomb.ico": "ICO", "pillow/no_cursors.cur": "CUR"}
    assert by_name == foreign | unopened
    expected = {
        name: "refuse" if entry["verdict"] == "refuse" or name in {*PADDED, *foreign} else "use"
        for name, entry in listed.items()
    }
    assert verdicts == expected
    assert sum(listed[name]["verdict"] != "refuse" for name in foreign) == 15
