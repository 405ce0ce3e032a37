"""Kinds of files that break readers: each is read or refused, within 2 GB and 20 s."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files import decode
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import read_pixels

Y, X = np.mgrid[0:24, 0:36]
RGB = np.stack([(X * 7) % 256, (Y * 10) % 256, (X + Y) * 4 % 256], -1).astype(np.uint8)
PICTURE = Image.fromarray(RGB)
GREY = PICTURE.convert("L")
LATER = PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


def flat_png(side: int, depth: int, colour: int, channels: int) -> bytes:
    """Return a black PNG of few bytes and many pixels; the last of each row is a little opaque."""
    packer, row = zlib.compressobj(1), bytes(side * channels * depth // 8) + b"\1"
    rows = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()
    return png_header(side, side, depth, colour) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def psd() -> bytes:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 24, 36, 8, 3)
    return head + bytes(12) + b"\0\0" + RGB.transpose(2, 0, 1).tobytes()


def oriented(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return saved(PICTURE, "PNG", exif=exif)


def interlaced() -> bytes:
    """Return an Adam7 PNG of the 8-bit picture."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    rows = b"".join(
        b"\0" + row.tobytes()
        for left, top, across, down in (*passes, (0, 1, 1, 2))
        for row in RGB[top::down, left::across]
    )
    header = struct.pack(">IIBBBBB", 36, 24, 8, 2, 0, 0, 1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


DEEP = (RGB.astype(np.uint16) << 8) + 130
FRAMES = {"save_all": True, "append_images": [LATER, PICTURE]}
SIZE_16 = struct.pack("<HH", 16383, 16383)

READ: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "1x1.png": (lambda: saved(PICTURE.crop((0, 0, 1, 1)), "PNG"), ()),
    "7x5.png": (lambda: saved(PICTURE.crop((0, 0, 7, 5)), "PNG"), ()),
    "1x9.jpg": (lambda: saved(PICTURE.crop((0, 0, 1, 9)), "JPEG"), ()),
    "interlaced.png": (interlaced, ()),
    "grey.png": (lambda: saved(GREY, "PNG"), ("grey copied to red, green and blue",)),
    "bilevel.png": (
        lambda: saved(GREY.convert("1"), "PNG"),
        ("bilevel widened to 8 bits", "grey copied to red, green and blue"),
    ),
    "palette.png": (
        lambda: saved(PICTURE.quantize(16), "PNG", transparency=3),
        ("palette expanded", "alpha composited on #ffffff"),
    ),
    "grey-alpha.png": (
        lambda: saved(Image.merge("LA", (GREY, GREY)), "PNG"),
        ("grey copied to red, green and blue", "alpha composited on #ffffff"),
    ),
    "grey16.png": (
        lambda: saved(Image.fromarray(DEEP[..., 0]), "PNG"),
        ("16-bit scaled to 8", "grey copied to red, green and blue"),
    ),
    "rgb16.tif": (lambda: tiff(DEEP, photometric="rgb"), ("16-bit scaled to 8",)),
    "float.tif": (
        lambda: tiff((RGB[..., 0] / 255).astype(np.float32)),
        ("float samples in 0..1 scaled to 8 bits", "grey copied to red, green and blue"),
    ),
    "cmyk.jpg": (
        lambda: saved(PICTURE.convert("CMYK"), "JPEG"),
        ("CMYK without a usable profile converted to RGB",),
    ),
    "turned.png": (lambda: oriented(7), ("EXIF orientation 7 applied",)),
    "broken-profile.png": (
        lambda: saved(PICTURE, "PNG", icc_profile=bytes(500_000)),
        ("broken ICC profile ignored",),
    ),
    "animated.gif": (lambda: saved(PICTURE, "GIF", **FRAMES), ("palette expanded", "first of 3")),
    "animated.webp": (lambda: saved(PICTURE, "WEBP", **FRAMES), ("first of 3 frames",)),
    "animated.png": (lambda: saved(PICTURE, "PNG", **FRAMES), ("first of 3 frames",)),
    "two.mpo": (lambda: saved(PICTURE, "MPO", **FRAMES), ("first of 3 frames",)),
    "bitmap.bmp": (lambda: saved(PICTURE, "BMP"), ()),
    "plain.ppm": (lambda: saved(PICTURE, "PPM"), ()),
    "trailing.jpg": (lambda: saved(PICTURE, "JPEG") + b"\xff\xd8garbage" * 99, ()),
    "bits.png": (lambda: wrong_checksum(), ("the checksum of its pixels is wrong",)),
}
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "icon.ico": (lambda: saved(PICTURE.resize((32, 32)), "ICO"), "its format is ICO, which is not"),
    "photo.psd": (psd, "its format is PSD, which is not read: convert it to PNG"),
    "empty.png": (lambda: b"", "the file is empty"),
    "text.png": (lambda: b"This is a text.\n", "it is no picture"),
    "vector.png": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is no picture"),
    "page.png": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is no picture"),
    "archive.jpg": (lambda: b"PK\x03\x04" + bytes(99), "it is no picture"),
    "header.png": (
        lambda: png_header(60_000, 60_000) + chunk(b"IDAT", b""),
        "more pixels than the limit",
    ),
    "header.gif": (lambda: b"GIF89a" + b"\xff" * 4 + bytes(3), "Cannot read"),
    "header.bmp": (
        lambda: b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 60_000, 60_000, 1, 24) + bytes(24),
        "more pixels than the limit",
    ),
    "header.ppm": (lambda: b"P6 60000 60000 255\n", "more pixels than the limit"),
    "header.webp": (
        lambda: b"RIFF\x26\0\0\0WEBPVP8 \x1a\0\0\0\x10\0\0\x9d\x01\x2a" + SIZE_16 + bytes(16),
        "Cannot read",
    ),
    "flat.png": (lambda: flat_png(9000, 8, 2, 3), "more pixels than the limit"),
    "crc.png": (
        lambda: png_header(9, 9)[:-1] + b"?",
        "its format is PNG, but its header is damaged",
    ),
    "zero.gif": (lambda: b"GIF89a" + bytes(7) + b",\0\0\0\0\0\0\0\0\0\x02\0;", "Cannot read"),
    "cut.png": (lambda: saved(PICTURE, "PNG")[:-60], "damaged or cut short"),
    "cut.jpg": (lambda: saved(PICTURE, "JPEG")[:-60] + b"\xff\xd9", "damaged or cut short"),
    "no-end.jpg": (lambda: saved(PICTURE, "JPEG")[:-2], "it has no end marker"),
    "zero-tail.jpg": (lambda: saved(PICTURE, "JPEG")[:-99] + bytes(99), "it has no end marker"),
    "cut.webp": (lambda: saved(PICTURE, "WEBP")[:-60], "damaged or cut short"),
    "cut.avif": (lambda: saved(PICTURE, "AVIF")[:-60], "Cannot read cut.avif"),
    "cut.gif": (lambda: saved(PICTURE, "GIF")[:-60], "damaged or cut short"),
    "cut.tif": (lambda: saved(PICTURE, "TIFF")[:-60], "Cannot read cut.tif"),
    "wide-floats.tif": (lambda: tiff(RGB[..., 0] * np.float32(9)), "float samples run from"),
}


def wrong_checksum() -> bytes:
    data = bytearray(saved(PICTURE, "PNG", compress_level=0))
    # The last byte before IDAT's CRC and IEND is of the pixels' checksum.
    data[-17] ^= 1
    return bytes(data)


@pytest.mark.parametrize("name", READ)
def test_what_is_odd_is_read_and_what_was_done_is_noted(tmp_path: Path, name: str) -> None:
    make, notes = READ[name]
    (tmp_path / name).write_bytes(make())
    (image,) = find_images([str(tmp_path)]).images
    assert len(image.notes) == len(notes)
    for note, expected in zip(image.notes, notes, strict=True):
        assert note.startswith(expected)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_whole_picture_is_listed_with_its_reason(tmp_path: Path, name: str) -> None:
    make, reason = REFUSED[name]
    (tmp_path / name).write_bytes(make())
    found = find_images([str(tmp_path)])
    assert found.images == ()
    (skipped,) = found.skipped
    assert reason in skipped.reason
    assert skipped.reason.startswith(f"Cannot read {name}: ")
    assert "\n" not in skipped.reason


@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_undone(tmp_path: Path, value: int) -> None:
    (tmp_path / "a.png").write_bytes(oriented(value))
    expected = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.swapaxes(0, 1),
        6: np.rot90(RGB, -1),
        7: np.rot90(RGB, 2).swapaxes(0, 1),
        8: np.rot90(RGB),
    }[value]
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.png").rgb, expected)


def test_adobe_cmyk_is_not_shown_inverted(tmp_path: Path) -> None:
    path = tmp_path / "adobe.jpg"
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    path.write_bytes(saved(white, "JPEG", quality=95))
    assert b"Adobe" in path.read_bytes()
    assert (read_pixels(path).rgb == 255).all()


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    found = find_images([str(tmp_path)])
    assert [image.image_id for image in found.images] == ["good.png"]
    assert {entry.image_id: entry.reason for entry in found.skipped} == {
        "loop.png": "Cannot read loop.png: it is a link to itself.",
        "nowhere.png": "Cannot read nowhere.png: it is a link to no file.",
        "pipe.png": ("Cannot read pipe.png: it is a pipe, socket or device, not a picture's file."),
        "zeros.png": (
            "Cannot read zeros.png: it is a pipe, socket or device, not a picture's file."
        ),
    }
    names = ["folder.png", "pipe.png", "/dev/zero", "good.png"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    found = find_images([str(tmp_path / "list.txt")])
    assert [image.image_id for image in found.images] == ["good.png"]
    assert len(found.skipped) == 3
    assert "it is a folder" in found.skipped[0].reason
    assert find_images([str(tmp_path / "pipe.png")]).images == ()


def test_names_that_files_cannot_be_kept_under_are_listed(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "good.png")
    strange = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(strange)).write_bytes(saved(PICTURE, "PNG"))
    PICTURE.save(tmp_path / ("x" * 250 + ".png"))
    found = find_images([str(tmp_path)])
    assert [image.image_id for image in found.images] == ["good.png"]
    reasons = [entry.reason for entry in found.skipped]
    assert reasons[0].startswith("Cannot use caf\\udce9.png: its name is no valid UTF-8")
    assert "its name has 254 bytes" in reasons[1]
    json.dumps([entry.image_id for entry in found.skipped], ensure_ascii=False).encode()


LIMITED = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))
from pathlib import Path
from vaebench.bench.errors import ImageError
from vaebench.bench.images.pixels import read_pixels
for name in sys.argv[1:]:
    try:
        print("read", read_pixels(Path(name)).rgb.shape)
    except ImageError as error:
        print(error)
"""


def run_limited(*paths: Path, seconds: float = 20, through: tuple[str, ...] = ()) -> list[str]:
    """Read pictures in a process of at most 2 GB of address space."""
    done = subprocess.run(
        [*through, sys.executable, "-c", LIMITED, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_picture_without_reading_rights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    PICTURE.save(path)
    path.chmod(0)
    through: tuple[str, ...] = ()
    if os.access(path, os.R_OK):
        # The administrator may read everything, unless that right is dropped.
        if shutil.which("setpriv") is None:
            pytest.skip("this user may read every file, and there is no setpriv")
        through = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    (line,) = run_limited(path, through=through)
    assert line == "Cannot read secret.png: reading it is not permitted."


def test_hostile_files_stay_within_2_gb_and_20_s(tmp_path: Path) -> None:
    for name, (make, _) in {**READ, **REFUSED}.items():
        (tmp_path / name).write_bytes(make())
    lines = run_limited(*(tmp_path / name for name in (*READ, *REFUSED)))
    assert len(lines) == len(READ) + len(REFUSED)
    assert all(line.startswith("read") for line in lines[: len(READ)])
    assert all(line.startswith("Cannot read") for line in lines[len(READ) :])
    assert not any("memory ran out" in line for line in lines)


def test_chains_without_end_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MOST_READS", 5000)
    plain = saved(Image.new("P", (1, 1)), "GIF")
    at = plain.index(b",")
    (tmp_path / "frames.gif").write_bytes(plain[:at] + plain[at:-1] * 5000 + b";")
    note = "first of several frames (the count is unreadable)"
    assert note in read_pixels(tmp_path / "frames.gif").notes
    (tmp_path / "texts.png").write_bytes(png_header(1, 1) + chunk(b"tEXt", b"a\0b") * 5000)
    with pytest.raises(ImageError, match="it takes more than 5000 reads"):
        read_pixels(tmp_path / "texts.png")


def test_a_circle_of_directories_is_left(tmp_path: Path) -> None:
    data = bytearray(tiff(RGB[..., 0]))
    first = struct.unpack_from("<I", data, 4)[0]
    tags = struct.unpack_from("<H", data, first)[0]
    start = len(data)
    struct.pack_into("<I", data, first + 2 + 12 * tags, start)
    # An empty directory whose next is itself.
    data += struct.pack("<HI", 0, start)
    (tmp_path / "circle.tif").write_bytes(data)
    assert run_limited(tmp_path / "circle.tif") == ["read (24, 36, 3)"]


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "colour", "channels"), [(16, 2, 3), (16, 6, 4), (8, 6, 4)])
def test_the_largest_pictures_stay_within_2_gb(
    tmp_path: Path, depth: int, colour: int, channels: int
) -> None:
    (tmp_path / "large.png").write_bytes(flat_png(7999, depth, colour, channels))
    assert run_limited(tmp_path / "large.png", seconds=300) == ["read (7999, 7999, 3)"]
