"""Colours told by anything but an ICC profile, against matrices and curves written out here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from vaebench.bench.errors import ImageError
from vaebench.bench.images.pixels import read_pixels

# Red, green, blue and white as x, y: IEC 61966-2-1, CSS Color 4, Adobe RGB (1998), ISO 22028-2.
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.3290)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)
# Linear ROMM RGB under D50 to linear sRGB under D65 (Bradford), as Bruce Lindbloom's pages give it.
ROMM_TO_SRGB = np.array(
    [
        [2.0341926, -0.7274198, -0.3067655],
        [-0.2288108, 1.2317292, -0.0029216],
        [-0.0085649, -0.1532726, 1.1618390],
    ]
)


def to_xyz(points: tuple[float, ...]) -> np.ndarray:
    columns = np.array([[x, y, 1 - x - y] for x, y in zip(points[::2], points[1::2], strict=True)])
    scale = np.linalg.solve(columns[:3].T, columns[3] / columns[3, 1])
    return columns[:3].T * scale


def encode(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def shown(stored: np.ndarray, points: tuple[float, ...], gamma: float | None) -> np.ndarray:
    """The sRGB levels of 8-bit levels; a gamma of None is sRGB's curve."""
    light = decode(stored / 255) if gamma is None else (stored / 255) ** gamma
    return encode(light @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(points)).T) * 255


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(11).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(pixels: np.ndarray, *extra: tuple[bytes, bytes]) -> bytes:
    """A plain PNG of uint8 or uint16 [H, W, 3] or [H, W], with further chunks behind its header."""
    height, width = pixels.shape[:2]
    depth = 8 * pixels.itemsize
    rows = pixels.astype(f">u{pixels.itemsize}").view(np.uint8).reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, depth, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    parts = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in parts)


def gama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def chrm(points: tuple[float, ...]) -> tuple[bytes, bytes]:
    values = (*points[6:], *points[:6])
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values))


def read(path: Path, data: bytes) -> tuple[np.ndarray, str]:
    path.write_bytes(data)
    pixels = read_pixels(path)
    return pixels.rgb, "; ".join(pixels.notes)


def near(rgb: np.ndarray, expected: np.ndarray) -> None:
    """Nowhere more than the rounding to 8 bits apart, and a hundredth for single precision."""
    assert np.abs(rgb - expected).max() <= 0.51


@pytest.mark.parametrize("folder", ["colour", "colour_photo"])
def test_one_picture_told_in_many_ways_is_the_same_or_refused(shared: Path, folder: str) -> None:
    files = sorted((shared / "cases" / folder).glob("*.*"))
    name = "truth.png" if folder == "colour" else "photo_srgb.png"
    truth = np.asarray(Image.open(shared / "cases" / folder / name).convert("RGB"), float)
    refused: list[str] = []
    for path in files:
        try:
            rgb = read_pixels(path).rgb
        except ImageError as error:
            refused.append(path.name)
            transfer = next(word for word in ("PQ", "HLG", "linear") if word in str(error))
            assert transfer.lower() in path.name
            continue
        error = float(np.mean((rgb - truth) ** 2))
        assert error < 255**2 / 10**4.5, path.name
    expected = {
        "colour": [
            "avif_hlg_10.avif",
            "avif_linear_12.avif",
            "avif_pq_10.avif",
            "png_cicp_hlg.png",
            "png_cicp_pq.png",
            "png_gama_linear8.png",
        ],
        "colour_photo": ["photo_pq.png"],
    }
    assert refused == expected[folder]


@pytest.mark.parametrize(
    ("chunks", "points", "gamma", "by"),
    [
        ([chrm(P3)], P3, None, "cHRM"),
        ([chrm(ADOBE), gama(45470)], ADOBE, 1 / 0.4547, "cHRM and gAMA"),
        ([gama(50000)], SRGB, 2.0, "gAMA"),
        ([(b"cICP", bytes([12, 4, 0, 1]))], P3, 2.2, "cICP"),
        ([(b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")], P3, None, "cICP"),
    ],
)
def test_png_chunks(
    tmp_path: Path,
    colours: np.ndarray,
    chunks: list[tuple[bytes, bytes]],
    points: tuple[float, ...],
    gamma: float | None,
    by: str,
) -> None:
    rgb, notes = read(tmp_path / "a.png", png(colours, *chunks))
    near(rgb, shown(colours, points, gamma))
    assert f"(told by {by}) converted to sRGB" in notes


@pytest.mark.parametrize(
    "chunks",
    [
        [gama(45455)],
        [gama(45455), chrm(SRGB)],
        [chrm(SRGB)],
        [(b"cICP", bytes([1, 13, 0, 1])), chrm(P3)],
        [(b"cICP", bytes([2, 2, 0, 1]))],
        [(b"sRGB", b"\0"), gama(100000), chrm(P3)],
        [gama(0)],
        [(b"cHRM", bytes(32))],
        [(b"cHRM", b"\xff" * 32), gama(45455)],
    ],
)
def test_what_is_srgb_or_means_nothing_stays(
    tmp_path: Path, colours: np.ndarray, chunks: list[tuple[bytes, bytes]]
) -> None:
    rgb, notes = read(tmp_path / "a.png", png(colours, *chunks))
    np.testing.assert_array_equal(rgb, colours)
    assert "converted" not in notes


def test_bt709_light_is_the_inverse_of_its_camera(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    value = grey / 255
    light = np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))
    rgb, _ = read(tmp_path / "a.png", png(grey, (b"cICP", bytes([1, 1, 0, 1]))))
    # BT.709 gives its numbers to three digits, H.273 the exact ones.
    assert np.abs(rgb[..., 0] - encode(light) * 255).max() <= 0.7


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([9, 16, 0, 1], r"PQ \(SMPTE ST 2084\), as cICP tells"),
        ([9, 18, 0, 1], "HLG"),
        ([1, 9, 0, 1], "logarithmic"),
        ([1, 8, 0, 1], "linear light, read at 8 bits"),
        ([1, 13, 0, 0], "narrow range"),
        ([1, 200, 0, 1], "unknown transfer function 200"),
        ([77, 13, 0, 1], "unknown primaries 77"),
    ],
)
@pytest.mark.parametrize("is_grey", [False, True])
def test_what_has_no_exact_way_is_refused_by_name(
    tmp_path: Path, colours: np.ndarray, body: list[int], reason: str, is_grey: bool
) -> None:
    pixels = colours[..., 0] if is_grey else colours
    with pytest.raises(ImageError, match=reason):
        read(tmp_path / "a.png", png(pixels, (b"cICP", bytes(body))))


def test_16_bit_linear_light_keeps_every_level(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    linear = np.rint(decode(levels / 255) * 65535).astype(np.uint16)
    for how in (gama(100000), (b"cICP", bytes([1, 8, 0, 1]))):
        rgb, notes = read(tmp_path / "a.png", png(linear[..., None].repeat(3, -1), how))
        np.testing.assert_array_equal(rgb[..., 0], levels)
        assert "linear light" in notes


def adobe_exif(space: int | None, index: str | None) -> Image.Exif:
    exif = Image.Exif()
    # Pillow saves none that has nothing but directories.
    exif[271] = "camera"
    if space is not None:
        exif.get_ifd(0x8769)[0xA001] = space
    if index is not None:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
@pytest.mark.parametrize(("space", "index"), [(65535, "R03"), (2, None)])
def test_adobe_rgb_of_a_camera(
    tmp_path: Path, colours: np.ndarray, suffix: str, space: int, index: str | None
) -> None:
    path = tmp_path / f"a.{suffix}"
    lossless = {"webp": {"lossless": True}, "jpg": {"quality": 100}}
    Image.fromarray(colours).save(path, **lossless.get(suffix, {}))
    stored = read_pixels(path).rgb
    Image.fromarray(colours).save(path, exif=adobe_exif(space, index), **lossless.get(suffix, {}))
    told = read_pixels(path)
    near(told.rgb, shown(stored, ADOBE, 563 / 256))
    assert any("Adobe RGB" in note for note in told.notes)


@pytest.mark.parametrize(
    "exif", [{0xA001: [2]}, {0xA001: [65535], 0xA005: [{1: "R03"}]}, {0xA005: [{1: "R03"}]}]
)
def test_adobe_rgb_in_the_exif_of_a_tiff(
    tmp_path: Path,
    colours: np.ndarray,
    exif: dict[int, Any],
    make_tiff: Callable[..., bytes],
    grey_page: Callable[..., dict[int, Any]],
) -> None:
    height, width = colours.shape[:2]
    tags = grey_page(width, height, tag_258=[8] * 3, tag_262=[2], tag_277=[3])
    rgb, notes = read(tmp_path / "a.tif", make_tiff(tags | {273: colours.tobytes(), 34665: [exif]}))
    near(rgb, shown(colours, ADOBE, 563 / 256))
    assert "Adobe RGB" in notes


def test_srgb_of_a_camera_stays_and_uncalibrated_colours_are_noted(
    tmp_path: Path, colours: np.ndarray
) -> None:
    path = tmp_path / "a.png"
    for space, index, noted in ((1, "R98", False), (1, None, False), (65535, None, True)):
        Image.fromarray(colours).save(path, exif=adobe_exif(space, index))
        pixels = read_pixels(path)
        np.testing.assert_array_equal(pixels.rgb, colours)
        assert ("uncalibrated" in "".join(pixels.notes)) == noted


@pytest.mark.parametrize("gamma", [None, 1.8])
@pytest.mark.parametrize("copies", [1, 3])
def test_tiff_tags(tmp_path: Path, colours: np.ndarray, gamma: float | None, copies: int) -> None:
    light = decode(np.arange(256) / 255) if gamma is None else (np.arange(256) / 255) ** gamma
    values = np.rint(light * 65535).astype(int).tolist() * copies

    def rational(numbers: tuple[float, ...]) -> tuple[int, ...]:
        return tuple(part for number in numbers for part in (round(number * 10000), 10000))

    tags = [
        (318, 5, 2, rational(P3[6:]), False),
        (319, 5, 6, rational(P3[:6]), False),
        (301, 3, len(values), tuple(values), False),
    ]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, colours, photometric="rgb", extratags=tags)
    # The table itself is rounded to 16 bits, a level of the shadows in thirty.
    assert np.abs(read_pixels(path).rgb - shown(colours, P3, gamma)).max() <= 0.6


def bmp(colours: np.ndarray, kind: bytes, ends: np.ndarray, gamma: float, profile: bytes) -> bytes:
    height, width = colours.shape[:2]
    rows = colours[::-1, :, ::-1].tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    head += bytes(16) + kind[::-1]
    head += struct.pack("<9i", *np.rint(ends.ravel() * 2**30).astype(int))
    head += struct.pack("<3I", *[round(gamma * 65536)] * 3)
    head += struct.pack("<4I", 4, 124 + len(rows), len(profile), 0)
    body = head + rows + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 124) + body


def test_bmp_header(tmp_path: Path, colours: np.ndarray) -> None:
    path = tmp_path / "a.bmp"
    points = np.array([[x, y, 1 - x - y] for x, y in zip(P3[:6:2], P3[1:6:2], strict=True)])
    for ends in (to_xyz(P3).T, points):
        rgb, notes = read(path, bmp(colours, bytes(4), ends, 1.8, b""))
        near(rgb, shown(colours, P3, round(1.8 * 65536) / 65536))
        assert "BMP header" in notes
    for kind in (b"sRGB", b"Win ", bytes(4)):
        rgb, _ = read(path, bmp(colours, kind, np.zeros((3, 3)), 0, b""))
        np.testing.assert_array_equal(rgb, colours)
    _, notes = read(path, bmp(colours, b"LINK", np.zeros((3, 3)), 0, b"a.icc"))
    assert "ICC profile in another file" in notes


def p3_profile(shared: Path) -> bytes:
    return Image.open(shared / "cases" / "formats" / "png_icc_p3.png").info["icc_profile"]


def test_profiles_where_few_look(tmp_path: Path, colours: np.ndarray, shared: Path) -> None:
    profile = p3_profile(shared)
    expected = shown(colours, P3, None)
    rgb, notes = read(tmp_path / "a.bmp", bmp(colours, b"MBED", np.zeros((3, 3)), 0, profile))
    assert np.abs(rgb - expected).max() < 1.5
    assert "converted to sRGB" in notes

    path = tmp_path / "a.gif"
    Image.fromarray(colours).quantize(64).save(path)
    plain = read_pixels(path).rgb
    data = path.read_bytes()
    size = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    blocks = [profile[at : at + 255] for at in range(0, len(profile), 255)]
    extension = b"!\xff\x0bICCRGBG1012" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"
    rgb, _ = read(path, data[:size] + extension + data[size:])
    assert np.abs(rgb - shown(plain, P3, None)).max() < 1.5

    path = tmp_path / "a.jpg"
    Image.fromarray(colours).save(path, quality=100)
    plain, data = read_pixels(path).rgb, path.read_bytes()
    resource = b"8BIM" + struct.pack(">H2sI", 0x040F, b"\0\0", len(profile)) + profile
    resource = b"Photoshop 3.0\0" + resource + b"\0" * (len(profile) % 2)
    marker = b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource
    rgb, _ = read(path, data[:2] + marker + data[2:])
    assert np.abs(rgb - shown(plain, P3, None)).max() < 1.5


def with_colr(data: bytes, body: bytes) -> bytes:
    """A JP2 file with another colour box."""
    at = data.find(b"colr")
    (size,) = struct.unpack_from(">I", data, at - 4)
    box = struct.pack(">I", 8 + len(body)) + b"colr" + body
    header = data.find(b"jp2h")
    (whole,) = struct.unpack_from(">I", data, header - 4)
    out = bytearray(data[: at - 4] + box + data[at - 4 + size :])
    struct.pack_into(">I", out, header - 4, whole - size + len(box))
    return bytes(out)


def test_jpeg_2000_colour_boxes(tmp_path: Path, colours: np.ndarray, shared: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "JPEG2000")
    data, path = file.getvalue(), tmp_path / "a.jp2"

    def enumerated(number: int) -> bytes:
        return with_colr(data, b"\1\0\0" + struct.pack(">I", number))

    rgb, _ = read(path, enumerated(16))
    np.testing.assert_array_equal(rgb, colours)
    rgb, _ = read(path, with_colr(data, b"\2\0\0" + p3_profile(shared)))
    assert np.abs(rgb - shown(colours, P3, None)).max() < 1.5
    value = colours / 255
    light = np.where(value < 1 / 32, value / 16, value**1.8)
    rgb, notes = read(path, enumerated(21))
    assert np.abs(rgb - encode(light @ ROMM_TO_SRGB.T) * 255).max() < 0.6
    assert "ROMM" in notes
    with pytest.raises(ImageError, match="CIE Lab"):
        read(path, enumerated(14))
    with pytest.raises(ImageError, match="PQ"):
        read(path, with_colr(data, b"\5\0\0" + struct.pack(">HHHB", 9, 16, 0, 128)))


def test_a_profile_that_calls_its_levels_pq_is_refused(tmp_path: Path, colours: np.ndarray) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (count,) = struct.unpack_from(">I", srgb, 128)
    table_end = 132 + 12 * count
    moved = bytearray(srgb[:table_end])
    for index in range(count):
        at = 132 + 12 * index + 4
        struct.pack_into(">I", moved, at, struct.unpack_from(">I", srgb, at)[0] + 12)
    tag = b"cicp" + bytes(4) + bytes([9, 16, 0, 1])
    moved += struct.pack(">4sII", b"cicp", len(srgb) + 12, len(tag))
    whole = bytearray(bytes(moved) + srgb[table_end:] + tag)
    struct.pack_into(">I", whole, 0, len(whole))
    struct.pack_into(">I", whole, 128, count + 1)
    body = b"a\0\0" + zlib.compress(bytes(whole))
    with pytest.raises(ImageError, match=r"PQ .* as its ICC profile tells"):
        read(tmp_path / "a.png", png(colours, (b"iCCP", body)))
