"""Formats beyond PNG and JPEG: samples of their own scale, slow decoders, missing parts."""

from __future__ import annotations

import gzip
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


def card(name: str, value: object) -> bytes:
    return f"{name:8}= {value:>20}".ljust(80).encode()


def fits(width: int, height: int) -> bytes:
    end = b"END".ljust(80)
    first = card("SIMPLE", "T") + card("BITPIX", 8) + card("NAXIS", 0) + end
    table = b"XTENSION= 'BINTABLE'".ljust(80) + card("BITPIX", 8) + card("NAXIS", 2)
    table += card("NAXIS1", 0) + card("NAXIS2", 0) + card("ZIMAGE", "T") + card("ZBITPIX", 8)
    table += b"ZCMPTYPE= 'GZIP_1  '".ljust(80) + card("ZNAXIS", 2)
    table += card("ZNAXIS1", width) + card("ZNAXIS2", height) + end
    pixels = gzip.compress(bytes(4 * 1000))
    return first.ljust(2880) + table.ljust(2880) + pixels.ljust(2880, b"\0")


def dds(width: int, height: int) -> bytes:
    head = b"DDS " + struct.pack("<7I", 124, 0x1007, height, width, 8, 0, 0) + bytes(44)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return head + struct.pack("<2I4sI", 32, 0x41, bytes(4), 32) + masks + bytes(20 + 64)


SLOW = {
    "a.qoi": lambda w, h: b"qoif" + struct.pack(">IIBB", w, h, 3, 0) + b"\x6a\x88" * w,
    "a.dds": dds,
    "a.fits": fits,
    "a.blp": lambda w, h: b"BLP2" + struct.pack("<i4BII", 1, 2, 0, 7, 0, w, h) + bytes(1300),
    "a.ppm": lambda w, h: b"P3 %d %d 255\n" % (w, h) + b"7 8 9 " * w,
    "a.pbm": lambda w, h: b"P1 %d %d\n" % (w, h) + b"1 0 " * w,
    "a.msp": lambda w, h: b"LinS" + struct.pack("<HH", w, h) + bytes(24),
    "a.bmp": lambda w, h: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 1078, 40, w, h, 1, 8, 1, 0, 0, 0, 256, 0)
    ).ljust(1078, b"\0"),
}


@pytest.mark.parametrize("name", SLOW)
def test_what_decodes_slowly_has_a_limit_of_its_own(tmp_path: Path, name: str) -> None:
    if name == "a.msp":
        # The words of its header have to cancel out.
        words = [0x694C, 0x536E, 8000, 7900]
        head = struct.pack("<4H", *words) + bytes(16)
        check = words[0] ^ words[1] ^ words[2] ^ words[3]
        data = head + struct.pack("<H", check) + bytes(6)
    else:
        data = SLOW[name](8000, 7900)
    (tmp_path / name).write_bytes(data)
    limit = f"is read up to {MAX_SLOW_PIXELS // 1_000_000}, because its decoder is slow. Convert"
    with pytest.raises(ImageError, match=f"it has 63.2 megapixels, .* {limit}"):
        read_samples(tmp_path / name)


def test_a_decoder_that_reads_each_pixel_has_its_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MOST_READS", 1000)
    side = 60
    path = tmp_path / "a.qoi"
    # QOI_OP_LUMA, two bytes and two reads a pixel.
    header = b"qoif" + struct.pack(">IIBB", side, side, 3, 0)
    path.write_bytes(header + b"\xa1\x88" * side**2 + bytes(7) + b"\1")
    green = read_samples(path).colour[0, :9, 1]
    np.testing.assert_array_equal(green, np.arange(1, 10))


def test_comments_of_a_plain_pnm_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    for count in (10, MOST_COMMENTS + 1):
        path.write_bytes(b"P3\n2 1\n255\n" + b"#\n" * count + b"1 2 3 4 5 6\n")
        if count == 10:
            assert read_samples(path).colour.tolist() == [[[1, 2, 3], [4, 5, 6]]]
        else:
            with pytest.raises(ImageError, match=f"more than {MOST_COMMENTS} comments"):
                read_samples(path)


def icon_png(rows: int) -> bytes:
    return png((32, 32, 8, 2), (b"\0" + b"\xc0" * 96) * rows)


def ico(picture: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(picture), 22) + picture


def icns(picture: bytes) -> bytes:
    part = b"icp5" + struct.pack(">I", len(picture) + 8) + picture
    return b"icns" + struct.pack(">I", len(part) + 8) + part


@pytest.mark.parametrize("wrap", [ico, icns])
def test_a_short_png_in_an_icon_is_refused(tmp_path: Path, wrap: type) -> None:
    path = tmp_path / "a.icon"
    path.write_bytes(wrap(icon_png(32)))
    assert (read_pixels(path).rgb == 0xC0).all()
    path.write_bytes(wrap(icon_png(20)))
    with pytest.raises(ImageError, match="its pixels end after 1940 of 3104 bytes"):
        read_pixels(path)


def test_a_pcx_without_its_palette_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcx"
    for mode in ("P", "L"):
        image = Image.fromarray(RGB).convert("L")
        image = image.quantize(64) if mode == "P" else image
        image.save(path)
        np.testing.assert_array_equal(read_pixels(path).rgb, np.asarray(image.convert("RGB")))
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ImageError, match="its palette is missing"):
            read_pixels(path)


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
        (colour_floats, "a TIFF"),
        (doubles, "a TIFF"),
        (big_endian_bigtiff, "a BigTIFF"),
        (jpeg_of_12_bits, "a JPEG"),
    ],
)
def test_sound_files_of_other_samples_are_not_called_no_picture(
    tmp_path: Path, write: type, kind: str
) -> None:
    write(tmp_path / "a.file")
    with pytest.raises(ImageError, match=f"it begins like {kind}, but .* convert it to PNG"):
        read_samples(tmp_path / "a.file")


def test_a_palette_picture_without_palette_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png((4, 4, 8, 3), bytes(20)))
    with pytest.raises(ImageError, match="something that it refers to is missing"):
        read_samples(path)
    with pytest.raises(ImageError) as caught:
        read_samples(path)
    assert "AssertionError" not in str(caught.value)
