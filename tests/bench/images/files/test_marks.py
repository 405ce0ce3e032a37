"""A picture is known by its first bytes, whatever its name; what cannot be read is told."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images.files import marks
from vaebench.bench.images.find import find_images
from vaebench.bench.images.pixels import read_pixels

HAS_HEIF = marks.opens_heif()


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    monkeypatch.setattr("vaebench.bench.images.files.limits.opens_heif", lambda: False)


@pytest.mark.usefixtures("no_heif")
def test_every_file_of_a_phone_is_found_and_told(shared: Path) -> None:
    found = find_images([str(shared / "cases" / "phone")])
    assert [image.image_id for image in found.images] == ["a.png", "b.png"]
    reasons = {skipped.image_id: skipped.reason for skipped in found.skipped}
    assert len(reasons) == 9
    mend = "which is not read: convert it to PNG"
    for name, reason in reasons.items():
        assert mend in reason
        assert ("JPEG XL" if name == "z.jxl" else "HEIC") in reason
    assert "its name says JPEG, but it is a HEIC" in reasons["fake.jpg"]
    assert "pip install 'vaebench[heif]'" in reasons["x.heif"]


HEADS = {
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "HEIC ": b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafheic",
    "HEIF": b"\0\0\0\x18ftypmif1\0\0\0\0mif1jpeg",
    "camera raw (CR3)": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "camera raw (RAF)": b"FUJIFILMCCD-RAW 0201FF129502",
    "camera raw (ORF)": b"IIRO\x08\0\0\0",
    "camera raw (RW2)": b"IIU\0\x18\0\0\0",
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG XR": b"II\xbc\1\x20\0\0\0",
    "OpenEXR": b"v/1\1\2\0\0\0",
    "Radiance HDR": b"#?RADIANCE\n",
    "PFM": b"PF\n2 2\n-1\n",
    "QOI": b"qoif\0\0\0\1",
    "PSD": b"8BPS\0\1",
}


@pytest.mark.usefixtures("no_heif")
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("name", ["no-suffix", "a.bak", "a.jpg", "a.png"])
def test_the_first_bytes_decide(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(HEADS[kind] + bytes(40))
    (skipped,) = find_images([str(tmp_path)]).skipped
    assert f"{kind.strip()}, which is not read: convert it to PNG" in skipped.reason


def test_pictures_without_a_suffix_are_pictures_and_text_is_none(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF"):
        Image.new("RGB", (24, 16)).save(tmp_path / f"{kind}-picture", kind)
    texts = ["notes", "BMI of all patients: 23", "P6 is a chip", "II. On TIFF", "MM*", "v/1"]
    for index, text in enumerate(texts):
        (tmp_path / f"{index}.text").write_text(text)
    (tmp_path / "folder-of-none").mkdir()
    found = find_images([str(tmp_path)])
    assert len(found.images) == 8
    assert found.skipped == ()


needs_heif = pytest.mark.skipif(not HAS_HEIF, reason="needs the extra heif")


@needs_heif
def test_a_phone_s_pictures_are_read_with_the_extra(shared: Path) -> None:
    found = find_images([str(shared / "cases" / "phone")])
    assert len(found.images) == 10
    assert [skipped.image_id for skipped in found.skipped] == ["z.jxl"]
    assert {(image.width_px, image.height_px) for image in found.images} == {(64, 48)}


def photo(width: int = 64, height: int = 48) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([3 * x, 5 * y, 2 * x + 2 * y], -1).clip(0, 255).astype(np.uint8)


def heic(pixels: np.ndarray, **settings: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "HEIF", quality=-1, chroma=444, **settings)
    return buffer.getvalue()


@needs_heif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stored = photo()
    path = tmp_path / "a.heic"
    path.write_bytes(heic(stored, exif=exif.tobytes()))
    turned = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(stored),
    }[orientation]
    rgb = read_pixels(path).rgb
    assert rgb.shape == turned.shape
    assert np.abs(rgb.astype(int) - turned).max() <= 3


@needs_heif
def test_a_heic_s_colours_are_told_by_nclx(tmp_path: Path) -> None:
    path, data = tmp_path / "a.heic", heic(photo())
    at = data.index(b"colrnclx") + 8
    plain = data[:at] + bytes([0, 1, 0, 13]) + data[at + 4 :]
    path.write_bytes(plain)
    assert read_pixels(path).notes == ()
    path.write_bytes(plain[:at] + bytes([0, 12]) + plain[at + 2 :])
    assert "Display P3 primaries, sRGB curve (told by nclx)" in read_pixels(path).notes[0]
    path.write_bytes(plain[:at] + bytes([0, 9, 0, 16]) + plain[at + 4 :])
    with pytest.raises(ImageError, match="PQ"):
        read_pixels(path)


@needs_heif
def test_a_heic_that_is_too_large_is_refused_from_its_header(tmp_path: Path) -> None:
    data = bytearray(heic(photo()))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = (20_000).to_bytes(4, "big") * 2
    (tmp_path / "a.heic").write_bytes(data)
    with pytest.raises(ImageError, match=r"64 megapixels|damaged"):
        read_pixels(tmp_path / "a.heic")


@needs_heif
def test_a_heic_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    data = heic(np.random.default_rng(2).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    for share in (0.3, 0.6, 0.9, 0.99):
        (tmp_path / "a.heic").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError, match="Cannot read a"):
            read_pixels(tmp_path / "a.heic")


def test_the_extra_is_loaded_for_a_heic_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    loaded = "pillow_heif" in sys.modules
    read_pixels(path)
    assert ("pillow_heif" in sys.modules) == loaded
