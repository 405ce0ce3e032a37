"""Thumbnails: small, made once, lossless where a reader judges pixels, gone when not used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import RunFolderError
from vaebench.reports.pictures.thumbnails import LONGEST_PX, Thumbnails


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path, "PNG")
    return path


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_a_window_keeps_its_own_pixels(tmp_path: Path) -> None:
    pixels = noise(300, 400, 3)
    name = Thumbnails(tmp_path).picture(save(tmp_path / "a.png", pixels), (30, 40, 90, 140))
    assert name is not None
    assert np.array_equal(Image.open(tmp_path / name), pixels[40:140, 30:90])


def test_a_whole_picture_is_made_small(tmp_path: Path) -> None:
    name = Thumbnails(tmp_path).picture(save(tmp_path / "a.png", noise(600, 900, 3)))
    assert name is not None
    assert Image.open(tmp_path / name).size == (LONGEST_PX, round(LONGEST_PX * 600 / 900))


def test_a_map_s_pixel_is_the_mean_of_those_it_was(tmp_path: Path) -> None:
    levels = noise(LONGEST_PX, LONGEST_PX)
    twice = np.kron(levels, np.ones((2, 2), np.uint8))
    name = Thumbnails(tmp_path).error_map(save(tmp_path / "a.png", twice))
    assert name is not None
    assert np.array_equal(np.asarray(Image.open(tmp_path / name).convert("L")), levels)


def test_a_thumbnail_is_made_once_and_anew_for_other_pixels(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", noise(50, 60, 3))
    first = Thumbnails(tmp_path).picture(source)
    assert first is not None
    made = (tmp_path / first).stat().st_mtime_ns
    assert Thumbnails(tmp_path).picture(source) == first
    assert (tmp_path / first).stat().st_mtime_ns == made
    save(source, noise(50, 60, 3, seed=1))
    later = Thumbnails(tmp_path)
    second = later.picture(source)
    assert second is not None
    assert second != first
    later.remove_stale()
    assert [path.name for path in (tmp_path / "thumbnails").iterdir()] == [Path(second).name]


def test_nothing_kept_is_no_thumbnail(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path)
    assert thumbnails.picture(None) is None
    assert thumbnails.error_map(None) is None
    thumbnails.remove_stale()


def test_a_damaged_picture_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(RunFolderError, match=r"Cannot read .*a\.png"):
        Thumbnails(tmp_path).picture(tmp_path / "a.png")
