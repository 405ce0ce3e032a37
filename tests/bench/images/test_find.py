"""Image sets: what each kind of source finds, and the names of what is found."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import ImageError
from vaebench.bench.images import find as images
from vaebench.bench.images.find import ImageSet, find_images


def picture(path: Path, width: int = 6, height: int = 4, grey: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (grey, grey, grey)).save(path)
    return path


def ids(found: ImageSet) -> list[str]:
    return [image.image_id for image in found.images]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in [
        "b.png",
        "a.jpg",
        "deep/er/c.PNG",
        ".hidden.png",
        ".cache/d.png",
        "b.eye.mask.png",
    ]:
        picture(root / name)
    for name in ["regions.json", "notes.txt", "SHA256SUMS", "page.pdf"]:
        (root / name).write_text("not a picture")
    (root / "folder.png").mkdir()
    return root


def test_a_folder_is_searched_for_pictures_alone(photos: Path) -> None:
    found = find_images([str(photos)])
    assert ids(found) == ["a.jpg", "b.png", "deep/er/c.PNG"]
    assert found.skipped == ()
    for image in found.images:
        path = photos / image.image_id
        assert image.image_set == "photos"
        assert image.path == str(path)
        assert image.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (image.width_px, image.height_px) == (6, 4)


def test_a_glob_names_pictures_below_its_fixed_part(photos: Path) -> None:
    assert ids(find_images([f"{photos}/**/*.PNG"])) == ["deep/er/c.PNG"]
    assert ids(find_images([f"{photos}/*.[jp]*g"])) == ["a.jpg", "b.png"]
    assert ids(find_images([f"{photos.parent}/ph*s/*.jpg"])) == ["photos/a.jpg"]


def test_a_list_file_names_paths_relative_to_itself(photos: Path, tmp_path: Path) -> None:
    outside = picture(tmp_path / "elsewhere" / "z.png")
    (photos / "two.txt").write_text(f"# chosen\n\ndeep/er/c.PNG\n  b.png \n{outside}\ngone.png\n")
    found = find_images([str(photos / "two.txt")])
    assert ids(found) == ["b.png", "deep/er/c.PNG", "z.png"]
    assert {image.image_set for image in found.images} == {"two"}
    assert [(entry.image_id, entry.reason) for entry in found.skipped] == [
        ("gone.png", "Cannot read gone.png: there is no such file.")
    ]


@pytest.mark.parametrize("source", ["**.nothing", "a/***", "~nobody-of-that-name/x.png"])
def test_impossible_patterns_and_homes_are_told_in_a_sentence(tmp_path: Path, source: str) -> None:
    asked = source if source.startswith("~") else f"{tmp_path}/{source}"
    with pytest.raises(ImageError, match=r"picture.* in"):
        find_images([asked])


def test_a_bad_line_of_a_list_is_listed_alone(tmp_path: Path) -> None:
    picture(tmp_path / "x.png")
    listed = tmp_path / "list.txt"
    listed.write_text("x.png\n~nobody-of-that-name/y.png\nfoo\0bar.png\n")
    found = find_images([str(listed)])
    assert ids(found) == ["x.png"]
    assert [entry.reason for entry in found.skipped] == [
        "Cannot use foo\\x00bar.png: its path holds a character that steers a terminal. Rename it.",
        "Cannot read y.png: there is no such file.",
    ]


def test_a_name_that_a_terminal_would_obey_is_refused_and_shown_escaped(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "x.png")
    picture(tmp_path / "set" / "\x1b[31m\n" / "y.png")
    found = find_images([str(tmp_path / "set")])
    assert ids(found) == ["x.png"]
    (entry,) = found.skipped
    assert entry.image_id == r"\x1b[31m\n/y.png"
    assert "steers a terminal" in entry.reason
    assert (entry.path + entry.reason).isprintable()


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_folder_where_a_run_keeps_a_file_is_refused(tmp_path: Path, suffix: str) -> None:
    picture(tmp_path / "x.png")
    picture(tmp_path / f"x.png{suffix}" / "y.png")
    found = find_images([str(tmp_path)])
    assert ids(found) == ["x.png"]
    (entry,) = found.skipped
    assert entry.reason == (
        f"Cannot use y.png: a run keeps a file x.png{suffix} of the picture x.png, where this "
        f"one's folder would be. Name the folder without {suffix}."
    )


def test_an_id_that_leaves_no_room_for_the_run_is_refused(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(14):
        deep /= "d" * 150
    picture(tmp_path / "ok.png")
    picture(deep / "x.png")
    found = find_images([str(tmp_path)])
    assert ids(found) == ["ok.png"]
    (entry,) = found.skipped
    assert entry.reason.startswith("Cannot use x.png: its path below the set has 2119 bytes")


def test_single_files_may_have_any_name(tmp_path: Path) -> None:
    path = picture(tmp_path / "photo[1].png")
    odd = path.rename(tmp_path / "photo[1].camera")
    assert ids(find_images([str(odd)])) == ["photo[1].camera"]


def test_the_working_folder_and_home_are_understood(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos / "deep")
    monkeypatch.setenv("HOME", str(photos))
    monkeypatch.setenv("USERPROFILE", str(photos))
    assert ids(find_images(["."])) == ["er/c.PNG"]
    assert ids(find_images(["~/a.jpg"])) == ["a.jpg"]
    assert ids(find_images(["../a.jpg"])) == ["a.jpg"]


def test_equal_ids_are_told_apart_by_their_sets(tmp_path: Path) -> None:
    for folder in ["one/val", "two/val", "test"]:
        picture(tmp_path / folder / "x.png")
        picture(tmp_path / folder / f"{folder[0]}.png")
    found = find_images([str(tmp_path / folder) for folder in ["one/val", "two/val", "test"]])
    assert ids(found) == [
        "o.png",
        "test/t.png",
        "test/x.png",
        "val-2/t.png",
        "val-2/x.png",
        "val/x.png",
    ]
    assert len({image.path for image in found.images}) == 6


def test_equal_names_of_single_files_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    paths = [picture(tmp_path / folder / "x.png") for folder in ["a", "b/c"]]
    assert ids(find_images([str(path) for path in paths])) == ["files/a/x.png", "files/b/c/x.png"]


def test_a_file_named_twice_is_taken_once(photos: Path) -> None:
    found = find_images([str(photos), str(photos / "b.png"), f"{photos}/deep/../b.png"])
    assert ids(found) == ["a.jpg", "b.png", "deep/er/c.PNG"]


def test_the_order_of_sources_does_not_matter(photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "aaa" / "0.png")
    sources = [str(photos), str(tmp_path / "aaa")]
    assert find_images(sources) == find_images(sources[::-1])
    assert ids(find_images(sources))[0] == "0.png"


def test_what_cannot_be_read_is_skipped_with_its_reason(photos: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "cut.png")
    (photos / "cut.png").write_bytes((photos / "cut.png").read_bytes()[:3000])
    (photos / "empty.webp").touch()
    found = find_images([str(photos)])
    assert ids(found) == ["a.jpg", "b.png", "deep/er/c.PNG"]
    assert [(entry.image_id, entry.image_set) for entry in found.skipped] == [
        ("cut.png", "photos"),
        ("empty.webp", "photos"),
    ]
    assert "damaged or cut short" in found.skipped[0].reason
    assert "the file is empty" in found.skipped[1].reason


def test_no_usable_picture_is_for_the_caller_to_judge(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("text")
    found = find_images([str(tmp_path)])
    assert found.images == ()
    assert len(found.skipped) == 1


def test_sources_that_match_nothing_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing yet\n")
    (tmp_path / "void").mkdir()
    for source in ["gone.png", "*.png", "empty.txt", "void"]:
        with pytest.raises(ImageError, match="No picture in "):
            find_images([str(tmp_path / source)])


def test_an_impossible_background_is_an_error_not_a_reason_to_skip(photos: Path) -> None:
    with pytest.raises(ImageError, match="Unknown background 'paper'"):
        find_images([str(photos)], background="paper")


def test_size_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    (image,) = find_images([str(tmp_path)]).images
    assert (image.width_px, image.height_px) == (10, 20)
    assert image.notes == ("EXIF orientation 6 applied", "grey copied to red, green and blue")


def test_progress_counts_to_the_end(photos: Path) -> None:
    calls: list[tuple[int, int]] = []
    find_images([str(photos)], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_kodak(kodak: Path) -> None:
    sums = dict(
        reversed(line.split()) for line in (kodak / "SHA256SUMS").read_text().splitlines() if line
    )
    found = find_images([str(kodak)])
    assert {image.image_id: image.sha256 for image in found.images} == {
        name.lstrip("*"): digest for name, digest in sums.items() if name.endswith(".png")
    }
    assert {(image.width_px, image.height_px) for image in found.images} == {(768, 512), (512, 768)}
    assert {image.notes for image in found.images} == {()}


def test_a_run_folder_inside_the_set_holds_no_pictures_of_it(photos: Path) -> None:
    """Its copies would be scored as pictures, and its own run could not go on."""
    for run in ("run", "deep/er/run"):
        picture(photos / run / "reconstructions" / "jpeg" / "b.png.png")
        (photos / run / "run.json").write_text('{\n "schema_version": 1,\n "run_id": "x"}')
    (photos / "deep" / "run.json").write_text('{"steps": 100}')
    assert ids(find_images([str(photos)])) == ["a.jpg", "b.png", "deep/er/c.PNG"]
    assert ids(find_images([f"{photos}/**/*.*"])) == ["a.jpg", "b.png", "deep/er/c.PNG"]
    # Named itself, it is a set as any other.
    assert len(find_images([str(photos / "run")]).images) == 1


def test_a_picture_that_is_changed_while_it_is_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash would be of other pixels than those that are scored."""
    path = picture(tmp_path / "a.png")
    read = images.read_pixels

    def read_and_change(*given: Any) -> Any:
        pixels = read(*given)
        picture(path, width=9)
        return pixels

    monkeypatch.setattr(images, "read_pixels", read_and_change)
    (skipped,) = find_images([str(tmp_path)]).skipped
    assert skipped.reason == "Cannot use a.png: it was changed while it was read."
