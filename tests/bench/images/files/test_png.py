"""PNGs that Pillow pads in silence, those it gives up on though they are whole, and our own."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files.decode import read_samples
from vaebench.bench.images.files.png import MOST_CHUNKS, SIGNATURE, check_png, encode_png
from vaebench.bench.images.pixels import read_pixels

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def rows_of(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def png(idat: bytes, colour_type: int = 2, before: bytes = b"", interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", 9, 12, 8, colour_type, 0, 0, interlace)
    return b"".join(
        [
            SIGNATURE,
            before,
            chunk(b"IHDR", header),
            chunk(b"IDAT", idat),
            chunk(b"IEND", b""),
        ]
    )


def test_a_whole_picture_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(zlib.compress(rows_of(PIXELS))))
    assert check_png(path).rewritten is None
    assert check_png(path).notes == ()


@pytest.mark.parametrize("rows", [1, 11])
def test_a_stream_that_ends_properly_but_early_is_refused(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "short.png"
    path.write_bytes(png(zlib.compress(rows_of(PIXELS[:rows]))))
    assert np.asarray(Image.open(path)).shape == (12, 9, 3), "Pillow now refuses it by itself"
    with pytest.raises(ImageError, match=f"pixels end after {28 * rows} of 336 bytes"):
        read_samples(path)


def test_an_interlaced_picture_without_its_last_pass_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pass.png"
    # Passes 1 to 6 of 9 x 12 px: 2x2, 1x2, 3x1, 2x3, 5x3 and 4x6 pixels, with a filter byte a row.
    early = sum(rows * (1 + 3 * columns) for columns, rows in [(2, 2), (1, 2), (3, 1), (2, 3)])
    early += 3 * (1 + 3 * 5) + 6 * (1 + 3 * 4)
    whole = early + 6 * (1 + 3 * 9)
    path.write_bytes(png(zlib.compress(bytes(early)), interlace=1))
    with pytest.raises(ImageError, match=f"pixels end after {early} of {whole} bytes"):
        read_samples(path)
    path.write_bytes(png(zlib.compress(bytes(whole)), interlace=1))
    assert read_samples(path).colour.shape == (12, 9, 3)


def test_a_wrong_checksum_is_noted_and_every_pixel_read(tmp_path: Path) -> None:
    path = tmp_path / "bits.png"
    stream = zlib.compress(rows_of(PIXELS), 0)
    path.write_bytes(png(stream[:-1] + bytes([stream[-1] ^ 1])))
    read = read_pixels(path)
    np.testing.assert_array_equal(read.rgb, PIXELS)
    assert read.notes == ("the checksum of its pixels is wrong or missing: some may be damaged",)


def test_what_is_cut_behind_its_pixels_is_whole_and_before_that_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    data = png(zlib.compress(rows_of(PIXELS)))
    path.write_bytes(data[:-12])
    read = read_pixels(path)
    np.testing.assert_array_equal(read.rgb, PIXELS)
    assert read.notes == ("cut short behind its pixels",)
    for missing in range(17, 30):
        path.write_bytes(data[:-missing])
        with pytest.raises(ImageError, match=r"Cannot read cut\.png: it is damaged or cut short"):
            read_samples(path)


def test_a_png_rewritten_for_ios_is_refused_by_name(tmp_path: Path) -> None:
    raw = zlib.compressobj(wbits=-15)
    idat = raw.compress(rows_of(PIXELS[..., ::-1])) + raw.flush()
    path = tmp_path / "ios.png"
    path.write_bytes(png(idat, before=chunk(b"CgBI", b"\x50\x00\x20\x06")))
    with pytest.raises(ImageError, match=r"its format is PNG rewritten for iOS \(CgBI\), which is"):
        read_samples(path)


def test_a_damaged_animation_leaves_the_still_picture(tmp_path: Path) -> None:
    path = tmp_path / "animated.png"
    Image.fromarray(PIXELS).save(path, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert read_pixels(path).notes == ("first of 2 frames",)
    data = path.read_bytes()
    for _ in range(2):
        at = data.index(b"fcTL") - 4
        data = data[:at] + data[at + 12 + 26 :]
    path.write_bytes(data)
    with pytest.raises(SyntaxError):
        Image.open(path).load()
    read = read_pixels(path)
    np.testing.assert_array_equal(read.rgb, PIXELS)
    assert read.notes == ("damaged animation left out",)


def test_orientation_behind_the_pixels_survives_the_rewriting(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = zlib.compress(rows_of(PIXELS))[:-1] + b"?"
    data = png(stream).removesuffix(chunk(b"IEND", b""))
    path = tmp_path / "late.png"
    path.write_bytes(data + chunk(b"eXIf", exif.tobytes()[6:]) + chunk(b"IEND", b""))
    assert read_samples(path).orientation == 6


def test_what_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(zlib.compress(bytes(50_000_000))))
    with pytest.raises(ImageError, match="unpack to far more than 336 bytes"):
        read_samples(path)
    path.write_bytes(png(b"")[:33] + chunk(b"IDAT", b"") * (MOST_CHUNKS + 1))
    with pytest.raises(ImageError, match="more than 100000 chunks"):
        read_samples(path)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_bombs_in_text_and_profile_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "bomb.png"
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(20_000_000)))
    data = png(zlib.compress(rows_of(PIXELS)))
    path.write_bytes(data[:33] + bomb + data[33:])
    with pytest.raises(ImageError, match=r"unpacks? to more than (5|16) MB: save it without"):
        read_samples(path)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    is_grey=st.booleans(),
    levels=st.sampled_from([1, 3, 256]),
    seed=st.integers(0, 2**31),
)
def test_written_pixels_come_back_whole(
    height: int, width: int, is_grey: bool, levels: int, seed: int
) -> None:
    shape = (height, width) if is_grey else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, levels, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        image.verify()
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert image.mode == ("L" if is_grey else "RGB")
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("turn", [lambda x: x[:, ::-1], lambda x: x.transpose(1, 0, 2)])
def test_written_pixels_may_lie_in_any_order(
    turn: Callable[[np.ndarray], np.ndarray],
) -> None:
    pixels = turn(np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3))
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_a_written_photograph_takes_no_more_than_a_tenth_over_pillow(kodak: Path) -> None:
    for number in (5, 8, 23):
        with Image.open(kodak / f"kodim{number:02d}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        assert len(encode_png(pixels)) < 1.1 * len(buffer.getvalue())


def with_chunk(data: bytes, extra: bytes) -> bytes:
    return data[:33] + extra + data[33:]


@pytest.mark.parametrize("name", [b"IDAT", b"IHDR", b"tEXt", b"gAMA"])
def test_a_wrong_chunk_checksum_is_noted(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "a.png"
    data = with_chunk(png(zlib.compress(rows_of(PIXELS))), chunk(b"tEXt", b"a\0b"))
    data = bytearray(with_chunk(data, chunk(b"gAMA", struct.pack(">I", 45455))))
    at = data.index(name)
    (length,) = struct.unpack_from(">I", data, at - 4)
    data[at + 4 + length] ^= 0xFF
    path.write_bytes(data)
    read = read_samples(path)
    np.testing.assert_array_equal(read.colour, PIXELS)
    what = (
        "pixels is wrong or missing: some" if name == b"IDAT" else f"{name.decode()} is wrong: it"
    )
    assert read.notes == (f"the checksum of its {what} may be damaged",)


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "plain iTXt", "tEXt"])
def test_long_texts_are_left_out(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    text = b"a workflow, " * 250_000
    body = {
        "zTXt": b"workflow\0\0" + zlib.compress(text),
        "iTXt": b"workflow\0\1\0en\0\0" + zlib.compress(text),
        "plain iTXt": b"workflow\0\0\0en\0\0" + text * 3,
        "tEXt": b"workflow\0" + text * 3,
    }[kind]
    data = png(zlib.compress(rows_of(PIXELS)))
    path.write_bytes(with_chunk(data, chunk(kind[-4:].encode(), body)))
    read = read_samples(path)
    np.testing.assert_array_equal(read.colour, PIXELS)
    assert read.notes == ("text of more than 1 MB left out",)


def test_a_long_profile_is_used(tmp_path: Path, shared: Path) -> None:
    profile = Image.open(shared / "cases" / "formats" / "png_icc_p3.png").info["icc_profile"]
    path = tmp_path / "a.png"
    data = with_chunk(png(zlib.compress(rows_of(PIXELS))), chunk(b"sRGB", b"\0"))
    shown = []
    for padding in (0, 2_000_000):
        body = b"P3\0\0" + zlib.compress(profile + bytes(padding))
        path.write_bytes(with_chunk(data, chunk(b"iCCP", body)))
        pixels = read_pixels(path)
        shown.append(pixels.rgb)
        assert "Display P3 profile converted to sRGB" in pixels.notes
    np.testing.assert_array_equal(*shown)


def test_whole_pictures_with_long_metadata_are_read(shared: Path) -> None:
    folder = shared / "cases" / "more"
    truth = np.asarray(Image.open(folder / "truth.png").convert("RGB"))
    for name in ("big_icc.png", "comfy_ztxt.png", "comfy_itxt.png"):
        np.testing.assert_array_equal(read_pixels(folder / name).rgb, truth)
