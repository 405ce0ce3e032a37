from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from vaebench.bench.compare.comparison import compare
from vaebench.bench.compare.pictures import (
    PATCHES_SHOWN,
    SHOWN_EACH_WAY,
    signed_picture,
    worst_patches,
)
from vaebench.bench.compare.store import StoredComparison
from vaebench.bench.errors import RunFolderError
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.record import ErrorMap
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite

PICTURES = 14


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """Pictures of which JPEG does better on some, and worse on others, than WebP."""
    folder = tmp_path_factory.mktemp("pictures")
    images = folder / "photos"
    images.mkdir()
    regions: dict[str, list[dict[str, Any]]] = {}
    x = np.arange(150)[None, :]
    for index in range(PICTURES):
        noise = np.random.default_rng(index).normal(0, 1 + 4 * index, (80, 150, 3))
        waves = np.stack([np.sin(x / (2 + index) + channel) for channel in range(3)], -1)
        pixels = np.clip(128 + 60 * waves + noise, 0, 255).astype(np.uint8)
        name = f"{index:02}.png"
        Image.fromarray(pixels).save(images / name)
        regions[name] = [{"name": "mark", "kind": "text", "box": [10, 20, 40, 50]}]
    (images / "regions.json").write_text(json.dumps(regions))
    suite = Suite.create(
        images=[str(images)],
        regions=[str(images / "regions.json")],
        codecs=["jpeg:q=60", "webp:q=60"],
        metrics=["psnr"],
    )
    return evaluate(suite, folder / "stored", "a test", lambda phase, done, total: None)


@pytest.fixture(scope="module")
def compared(stored: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> StoredComparison:
    return compare([stored], tmp_path_factory.mktemp("compared") / "compared")


def test_the_worst_window_is_found_exactly() -> None:
    errors = np.zeros((200, 300), np.uint8)
    errors[100:164, 50:114] = 90
    errors[10:74, 200:264] = 40
    first, second = worst_patches(errors, 2)
    assert (first.box_px, first.error) == ((50, 100, 114, 164), 90.0)
    assert (second.box_px, second.error) == ((200, 10, 264, 74), 40.0)


@settings(max_examples=20, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 150), st.integers(1, 150))))
def test_patches_are_means_of_windows_that_do_not_overlap(errors: np.ndarray) -> None:
    patches = worst_patches(errors, 5)
    taken = np.zeros(errors.shape, int)
    for patch in patches:
        x0, y0, x1, y1 = patch.box_px
        window = errors[y0:y1, x0:x1]
        assert window.shape == (min(64, errors.shape[0]), min(64, errors.shape[1]))
        assert patch.error == pytest.approx(window.mean())
        taken[y0:y1, x0:x1] += 1
    assert taken.max() <= 1
    assert [patch.error for patch in patches] == sorted(
        (patch.error for patch in patches), reverse=True
    )
    assert patches[0].error == pytest.approx(brute_force(errors))


def brute_force(errors: np.ndarray) -> float:
    height, width = min(64, errors.shape[0]), min(64, errors.shape[1])
    return max(
        errors[y : y + height, x : x + width].mean()
        for y in range(errors.shape[0] - height + 1)
        for x in range(errors.shape[1] - width + 1)
    )


def test_patches_stop_at_what_cannot_be_shown() -> None:
    errors = np.full((64, 128), 10, np.uint8)
    assert len(worst_patches(errors, 5)) == 2
    assert worst_patches(errors, 5, least=10) == []


def test_signed_colours() -> None:
    colours = signed_picture(np.array([[0.0, 10, 20, -10, -5]]), top=10)
    assert colours[0, 0].tolist() == [255, 255, 255]
    assert colours[0, 1].tolist() == colours[0, 2].tolist() == [178, 24, 43]
    assert colours[0, 3].tolist() == [33, 102, 172]
    assert colours[0, 4].tolist() == [144, 178, 214]


def test_what_changed_most_stands_first(compared: StoredComparison) -> None:
    changed = compared.record["changed"]
    values = compared.per_image
    for is_whole in (True, False):
        own = [entry for entry in changed if (entry["region"] == "whole") == is_whole]
        part = values[values["region"] == ("whole" if is_whole else "text")]
        differences = part.set_index("image_id")["difference"]
        lost = differences[differences < 0].sort_values()
        gained = differences[differences > 0].sort_values(ascending=False)
        assert len(lost) and len(gained)
        expected = [*lost.index[:SHOWN_EACH_WAY], *gained.index[:SHOWN_EACH_WAY]]
        assert [entry["image_id"] for entry in own] == expected
        for entry in own:
            assert entry["difference"] == pytest.approx(differences[entry["image_id"]])
            assert entry["verdict"] == ("better" if entry["difference"] > 0 else "worse")
    assert {entry["region"] for entry in changed} == {"whole", "mark"}
    assert {entry["kind"] for entry in changed} == {"whole", "text"}


def test_crops_are_those_of_the_kept_pictures(
    compared: StoredComparison, stored: StoredRun
) -> None:
    for entry in compared.record["changed"]:
        name, box = entry["image_id"], entry["box_px"]
        x0, y0, x1, y1 = box or (0, 0, 150, 80)
        assert (box is None) == (entry["region"] == "whole")
        sources = {
            "reference": stored.reference_path(name),
            "baseline": stored.reconstruction_path("jpeg-q60", name),
            "codec": stored.reconstruction_path("webp-q60", name),
            "baseline_map": stored.map_path("jpeg-q60", name),
            "codec_map": stored.map_path("webp-q60", name),
        }
        for kind, path in sources.items():
            assert path is not None
            shown = pixels_of(compared.folder / entry["pictures"][kind])
            assert np.array_equal(shown, pixels_of(path)[y0:y1, x0:x1])


def test_the_signed_difference_is_codec_minus_baseline(compared: StoredComparison) -> None:
    scale = compared.record["map"]
    assert (scale["metric"], scale["max"]) == ("mae", 1.0)
    top = scale["signed_max"] * 255
    tops: list[float] = []
    for entry in compared.record["changed"]:
        read = {
            kind: pixels_of(compared.folder / path).astype(float)
            for kind, path in entry["pictures"].items()
        }
        difference = read["codec_map"] - read["baseline_map"]
        assert np.array_equal(read["signed_difference"], signed_picture(difference, top))
        tops.append(float(np.quantile(np.abs(difference), 0.995)))
    assert max(tops) == pytest.approx(top)


def test_patches_of_every_codec_and_the_baseline(
    compared: StoredComparison, stored: StoredRun
) -> None:
    patches = compared.record["patches"]
    for codec in ("jpeg-q60", "webp-q60"):
        own = [patch for patch in patches if patch["codec"] == codec]
        errors: dict[str, np.ndarray] = {}
        for name in (f"{index:02}.png" for index in range(PICTURES)):
            path = stored.map_path(codec, name)
            assert path is not None
            errors[name] = pixels_of(path)
        everywhere = [patch.error for map_ in errors.values() for patch in worst_patches(map_, 99)]
        worst = sorted(everywhere, reverse=True)[:PATCHES_SHOWN]
        assert len(everywhere) > PATCHES_SHOWN // 2
        assert [255 * patch["value"] for patch in own] == pytest.approx(worst)
        for patch in own:
            x0, y0, x1, y1 = patch["box_px"]
            window = errors[patch["image_id"]][y0:y1, x0:x1]
            assert patch["value"] == pytest.approx(window.mean() / 255)
            assert np.array_equal(pixels_of(compared.folder / patch["pictures"]["map"]), window)


def test_every_picture_is_named_by_its_content_and_used(compared: StoredComparison) -> None:
    used = {
        path
        for entry in (*compared.record["changed"], *compared.record["patches"])
        for path in entry["pictures"].values()
    }
    kept = {f"pictures/{path.name}" for path in (compared.folder / "pictures").iterdir()}
    assert used == kept


def test_what_was_not_kept_is_none(stored: StoredRun, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(stored.folder, folder)
    for room in ("maps", "reconstructions"):
        shutil.rmtree(folder / room)
    bare = compare([replace(stored, folder=folder)], tmp_path / "compared")
    pictures = [entry["pictures"] for entry in bare.record["changed"]]
    assert pictures
    assert {path for entry in pictures for path in entry.values()} == {None}
    assert bare.record["patches"] == []


def test_maps_of_another_metric_are_not_set_beside(stored: StoredRun, tmp_path: Path) -> None:
    other_map = ErrorMap("flip", "flip/ldr-67ppd-rgb8", "", 1.0)
    changed = {"run_id": "another", "name": "another", "error_map": other_map}
    other = replace(stored, record=replace(stored.record, **changed))
    both = compare([stored, other], tmp_path / "both")
    entries = [entry for entry in both.record["changed"] if entry["codec"] == "another/webp-q60"]
    assert entries
    for entry in entries:
        assert entry["pictures"]["codec"] is not None
        assert entry["pictures"]["codec_map"] is None
        assert entry["pictures"]["signed_difference"] is None
    assert {patch["codec"] for patch in both.record["patches"]} == {
        "stored/jpeg-q60",
        "stored/webp-q60",
    }
    listed = [entry for entry in both.record["mismatches"] if entry["what"] == "error map"]
    assert {entry["where"] for entry in listed} == {"another/jpeg-q60", "another/webp-q60"}


@pytest.mark.parametrize("room", ["reconstructions", "maps"])
def test_a_kept_picture_of_another_size_is_told(
    stored: StoredRun, tmp_path: Path, room: str
) -> None:
    folder = tmp_path / "small"
    shutil.copytree(stored.folder, folder)
    for path in (folder / room / "webp-q60").glob("*.png"):
        with Image.open(path) as picture:
            smaller = picture.crop((0, 0, picture.width - 8, picture.height - 8))
        smaller.save(path)
    with pytest.raises(RunFolderError, match=rf"Cannot use .*{room}.webp-q60.*another size"):
        compare([replace(stored, folder=folder)], tmp_path / "compared")


def test_a_damaged_map_is_told(stored: StoredRun, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(stored.folder, folder)
    for path in (folder / "maps" / "webp-q60").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(RunFolderError, match=r"Cannot read .*maps.webp-q60"):
        compare([replace(stored, folder=folder)], tmp_path / "compared")
