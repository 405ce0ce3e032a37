"""Formats beyond PNG and JPEG: samples of their own scale, slow decoders, what is not read."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files import decode
from vaebench.bench.images.files.decode import read_samples
from vaebench.bench.images.files.limits import MAX_SLOW_PIXELS, MOST_COMMENTS
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import read_pixels

RANDOM = np.random.default_rng(8)
DEEP = RANDOM.integers(0, 65536, (9, 8), dtype=np.uint16)
RGB = RANDOM.integers(0, 256, (24, 36, 3), dtype=np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(header: tuple[int, int, int, int], rows: bytes, before: bytes = b"") -> bytes:
    size = struct.pack(">IIBBBBB", *header, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + chunk(b"IHDR", size) + before + pixels + chunk(b"IEND", b"")


def test_12_bit_grey_is_scaled_by_its_own_maximum(tmp_path: Path) -> None:
    path = tmp_path / "grey.tif"
    levels = DEEP >> 4
    levels[0, :2] = 0, 4095
    bits = np.unpackbits(levels.astype(">u2").view(np.uint8)).reshape(9, 8, 16)[..., 4:]
    # Twelve bytes a row are eight samples of twelve bits.
    Image.fromarray(np.packbits(bits.reshape(9, -1), axis=-1)).save(path)
    data = path.read_bytes()
    data = data.replace(struct.pack("<HHII", 256, 4, 1, 12), struct.pack("<HHII", 256, 4, 1, 8))
    data = data.replace(struct.pack("<HHIH", 258, 3, 1, 8), struct.pack("<HHIH", 258, 3, 1, 12))
    path.write_bytes(data)
    samples = read_samples(path)
    assert samples.notes == ("12-bit scaled to 8",)
    np.testing.assert_array_equal(samples.colour[..., 0], np.rint(levels * (65535 / 4095)))


def test_white_is_zero_is_turned_round(tmp_path: Path) -> None:
    path = tmp_path / "negative.tif"
    tifffile.imwrite(path, DEEP, photometric="miniswhite")
    np.testing.assert_array_equal(read_samples(path).colour[..., 0], 65535 - DEEP)
    floats = (DEEP / 65535).astype(np.float32)
    tifffile.imwrite(path, floats, photometric="miniswhite")
    np.testing.assert_array_equal(read_samples(path).colour[..., 0], 65535 - DEEP)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32])
def test_32_bit_integers_are_told_as_such(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "wide.tif"
    tifffile.imwrite(path, DEEP.astype(dtype))
    samples = read_samples(path)
    assert samples.notes == ("32-bit samples, taken as 0 to 65535, scaled to 8",)
    np.testing.assert_array_equal(samples.colour[..., 0], DEEP)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_is_that_of_the_stored_depth(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "key.png"
    levels = np.arange(64, dtype=np.uint8).reshape(8, 8) & (2**depth - 1)
    bits = np.unpackbits(levels[..., None], axis=-1)[..., -depth:].reshape(8, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    for key in range(min(2**depth, 16)):
        transparent = chunk(b"tRNS", struct.pack(">H", key))
        path.write_bytes(png((8, 8, depth, 0), rows, transparent))
        alpha = read_samples(path).alpha
        assert alpha is not None
        np.testing.assert_array_equal(alpha == 0, levels == key)


@pytest.mark.parametrize("maxval", [65535, 4095, 1000, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_binary_pnm_keeps_every_level(tmp_path: Path, maxval: int, channels: int) -> None:
    levels = RANDOM.integers(0, maxval + 1, (5, 7, channels))
    stored = levels.astype(">u2" if maxval > 255 else "u1").tobytes()
    path = tmp_path / "a.pnm"
    header = f"P{5 if channels == 1 else 6}\n# made\n7 5\n{maxval}\n".encode()
    path.write_bytes(header + stored)
    samples = read_samples(path)
    full = 65535 if maxval > 255 else 255
    np.testing.assert_allclose(samples.colour, levels * (full / maxval), atol=0.5)
    levels_note = {65535: "16-bit", 4095: "12-bit"}.get(maxval, f"levels of 0..{maxval}")
    assert samples.notes == (f"{levels_note} scaled to 8",)
    path.write_bytes(header + stored[:-1])
    with pytest.raises(ImageError, match="it is damaged or cut short"):
        read_samples(path)


def test_a_level_above_the_largest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 2 1 1000\n" + struct.pack(">HH", 1000, 1001))
    with pytest.raises(ImageError, match="a sample is 1001, above its header's largest, 1000"):
        read_samples(path)


SLOW = {
    "a.ppm": lambda w, h: b"P3 %d %d 255\n" % (w, h) + b"7 8 9 " * w,
    "a.pbm": lambda w, h: b"P1 %d %d\n" % (w, h) + b"1 0 " * w,
    "alpha.pnm": lambda w, h: b"PyRGBA %d %d 100\n" % (w, h) + bytes(4 * w),
    "a.bmp": lambda w, h: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, w, h, 1, 8, 1, 0, 0, 0, 256, 0)
    ).ljust(1078, b"\0"),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_decodes_slowly_has_a_limit_of_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SLOW[name](8000, 7900))
    limit = f"is read up to {MAX_SLOW_PIXELS // 1_000_000}, because its decoder is slow. Convert"
    with pytest.raises(ImageError, match=f"it has 63.2 megapixels, .* {limit}"):
        read_samples(tmp_path / name)


def test_a_decoder_that_reads_each_pixel_has_its_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MOST_READS", 1000)
    side = 60
    path = tmp_path / "a.bmp"
    # Runs of a single pixel: two bytes, and two reads, for each.
    header = struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    palette = b"".join(bytes((0, level, 0, 0)) for level in range(256))
    row = b"".join(bytes((1, level)) for level in range(side)) + b"\0\0"
    path.write_bytes(b"BM" + header + palette + row * side + b"\0\1")
    green = read_samples(path).colour[0, :9, 1]
    np.testing.assert_array_equal(green, np.arange(9))


def test_comments_of_a_plain_pnm_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    for count in (10, MOST_COMMENTS + 1):
        path.write_bytes(b"P3\n2 1\n255\n" + b"#\n" * count + b"1 2 3 4 5 6\n")
        if count == 10:
            assert read_samples(path).colour.tolist() == [[[1, 2, 3], [4, 5, 6]]]
        else:
            with pytest.raises(ImageError, match=f"more than {MOST_COMMENTS} comments"):
                read_samples(path)


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, kind)
    return buffer.getvalue()


NOT_READ = {
    "a.ico": (saved("ICO"), "ICO"),
    "a.icns": (saved("ICNS"), "ICNS"),
    "a.cur": (b"\0\0\2\0" + saved("ICO")[4:], "CUR"),
    "a.pcx": (saved("PCX"), "PCX"),
    "a.sgi": (saved("SGI"), "SGI"),
    "a.qoi": (b"qoif" + struct.pack(">IIBB", 8000, 8000, 3, 0) + b"\xfd" * 99, "QOI"),
    "a.dds": (saved("DDS"), "DDS"),
    "a.blp": (b"BLP2" + bytes(1300), "BLP"),
    "a.xpm": (b"/* XPM */\nstatic char *a[] = {", "XPM"),
    "a.fits": (b"SIMPLE  =" + bytes(2880), "FITS"),
    "a.msp": (b"LinS" + bytes(28), "MSP"),
    "a.psd": (b"8BPS" + bytes(28), "PSD"),
    "a.jxl": (b"\xff\x0a" + bytes(28), "JPEG XL"),
    "boxed.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(28), "JPEG XL"),
    "qoi.png": (b"qoif" + bytes(28), "QOI"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_other_formats_are_refused_by_name_and_not_opened(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, kind = NOT_READ[name]
    Image.init()
    if kind in Image.OPEN:
        monkeypatch.setitem(Image.OPEN, kind, (None, Image.OPEN[kind][1]))
    (tmp_path / name).write_bytes(data)
    (skipped,) = find_images([str(tmp_path)]).skipped
    told = "its name says PNG, but it is a" if name == "qoi.png" else "its format is"
    assert skipped.reason == (
        f"Cannot read {name}: {told} {kind}, which is not read: convert it to PNG."
    )


def test_a_jpeg_xl_is_refused_with_its_plugin_too(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    path = tmp_path / "a.jxl"
    path.write_bytes(saved("JXL"))
    with pytest.raises(ImageError, match="its format is JPEG XL, which is not read"):
        read_samples(path)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_broken_exif_is_left_out(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.file"
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(RGB).save(path, kind, exif=b"Exif\0\0garbage-" * 3, **options)
    read = read_pixels(path)
    np.testing.assert_array_equal(read.rgb, RGB)
    assert read.notes == ("broken EXIF ignored",)


def colour_floats(path: Path) -> None:
    tifffile.imwrite(path, RGB.astype(np.float32), photometric="rgb")


def doubles(path: Path) -> None:
    tifffile.imwrite(path, DEEP.astype(np.float64))


def big_endian_bigtiff(path: Path) -> None:
    tifffile.imwrite(path, RGB, photometric="rgb", bigtiff=True, byteorder=">")


def jpeg_of_12_bits(path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    data[data.index(b"\xff\xc0") + 4] = 12
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (colour_floats, "TIFF"),
        (doubles, "TIFF"),
        (big_endian_bigtiff, "TIFF"),
        (jpeg_of_12_bits, "JPEG"),
    ],
)
def test_sound_files_of_other_samples_are_not_called_no_picture(
    tmp_path: Path, write: type, kind: str
) -> None:
    write(tmp_path / "a.file")
    with pytest.raises(ImageError, match=f"its format is {kind}, but .* convert it to PNG"):
        read_samples(tmp_path / "a.file")


def test_a_palette_picture_without_palette_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png((4, 4, 8, 3), bytes(20)))
    with pytest.raises(ImageError, match="something that it refers to is missing"):
        read_samples(path)
    with pytest.raises(ImageError) as caught:
        read_samples(path)
    assert "AssertionError" not in str(caught.value)


@pytest.mark.parametrize(
    ("bits", "compression", "size", "detail"),
    [
        (24, 4, 40, r"Unsupported BMP compression \(4\)"),
        (24, 5, 40, r"Unsupported BMP compression \(5\)"),
        (64, 0, 40, r"Unsupported BMP pixel depth \(64\)"),
        (24, 0, 20, r"Unsupported BMP header type \(20\)"),
    ],
)
def test_a_variant_that_is_not_decoded_is_not_called_damaged(
    tmp_path: Path, bits: int, compression: int, size: int, detail: str
) -> None:
    path = tmp_path / "a.bmp"
    head = struct.pack("<IiiHHIIiiII", size, 8, 8, 1, bits, compression, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<III", 0, 0, 54) + head + bytes(8 * 8 * 8))
    match = f"this variant cannot be decoded here .{detail}.: convert it to PNG"
    with pytest.raises(ImageError, match=match):
        read_samples(path)
