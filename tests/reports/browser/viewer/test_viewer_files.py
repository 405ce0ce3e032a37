"""The parts of the viewer: beside the page, inside a single file, inside a notebook."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from vaebench.bench.errors import RunFolderError
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.reports.render import SCRIPT_SOURCES, page_frame, render
from vaebench.reports.viewer import viewer
from vaebench.reports.viewer.notebook import inline_viewer
from vaebench.reports.viewer.parts import latents_caption, latents_sheet, pixel_uri, thumbnail
from vaebench.reports.viewer.viewed import kept_pictures, viewed_run

PICTURE = "kodim23.png"
NASTY_PICTURE = "<img src=x onerror=alert(1)>.png"

Opens = Callable[..., Any]


def part(path: Path) -> Any:
    """Return the value that a script hands over."""
    text = path.read_text(encoding="utf-8").removeprefix("vaebenchViewer.receive(")
    return json.loads("[" + text.removesuffix(");\n") + "]")[1]


def write_page(run: StoredRun, *, single_file: bool) -> Path:
    frame = page_frame(
        run.folder,
        viewer.SCRIPTS,
        ("report.css", *viewer.STYLES),
        single_file=single_file,
        beside=() if single_file else SCRIPT_SOURCES,
    )
    view = viewer.viewer_view(viewed_run(run), single_file=single_file)
    path = run.folder / "page.html"
    path.write_text(render("viewer_page.html.j2", {**frame, "viewer": view, "title": "v"}))
    return path


@settings(max_examples=15, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_a_pixel_part_is_lossless(pixels: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.png"
        Image.fromarray(pixels).save(path)
        head, _, body = pixel_uri(path).partition(",")
    assert head == "data:image/webp;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))) == pixels).all()


def test_a_map_part_is_the_file_itself(viewed: StoredRun) -> None:
    path = viewed.map_path("jpeg-q10", PICTURE)
    assert path is not None
    assert base64.b64decode(pixel_uri(path).partition(",")[2]) == path.read_bytes()


def test_a_picture_too_long_for_webp_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    Image.new("RGB", (16384, 1)).save(path)
    assert base64.b64decode(pixel_uri(path).partition(",")[2]) == path.read_bytes()


def test_thumbnails_are_small_even_of_a_wide_strip(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 20)).save(tmp_path / "strip.png")
    with Image.open(io.BytesIO(thumbnail(tmp_path / "strip.png"))) as small:
        assert small.size == (448, 112)


def test_a_sheet_holds_every_channel_stretched_to_its_range(tmp_path: Path) -> None:
    channels = np.zeros((3, 2, 4), np.float32)
    channels[1] = np.linspace(-1, 1, 8).reshape(2, 4)
    channels[2, 0, 0], channels[2, 1, 1] = np.nan, 5
    np.save(tmp_path / "z.npy", channels)
    assert latents_caption(tmp_path / "z.npy") == "3 channels of 4 × 2, each stretched to its range"
    sheet = np.asarray(Image.open(io.BytesIO(latents_sheet(tmp_path / "z.npy"))))
    assert sheet.shape == (2, 3 * 4 + 2 * 2)
    assert (sheet[:, :4] == 0).all()
    assert sheet[:, 6:10].tolist() == [[0, 36, 73, 109], [146, 182, 219, 255]]
    assert sheet[:, 12:].tolist() == [[0, 0, 0, 0], [0, 255, 0, 0]]


@pytest.mark.parametrize("content", [b"", b"no array"])
def test_damaged_latents_are_left_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "z.npy").write_bytes(content)
    assert latents_caption(tmp_path / "z.npy") is None


def test_facts_name_the_files_that_were_kept(viewed: StoredRun) -> None:
    key = viewed_run(viewed).keys[NASTY_PICTURE]
    facts = part(viewed.folder / "viewer" / key / "facts.js")
    assert list(facts["sources"]) == ["reference", "codec-0", "errors-0", "codec-1", "errors-1"]
    assert "<" not in json.dumps(facts["sources"])
    assert facts["hasPixels"]
    assert [area["box"] for area in facts["areas"]] == [None, [4, 4, 20, 16]]
    assert facts["patches"]["0"][0]["box"] == [0, 0, 40, 24]


def test_parts_are_made_once_and_stale_ones_go(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    viewer.write_viewer_files(viewed_run(run))
    folder = run.folder / "viewer"
    pixels = sorted(folder.glob("*/codec-*.js")) + sorted(folder.glob("*/thumbnail.jpg"))
    before = {path: path.stat().st_mtime_ns for path in pixels}
    assert len(before) == 3 * 4
    run.reconstruction_path("vae", "cat.png").unlink()
    stale, foreign = folder / "99" / "facts.js", folder / "notes.txt"
    stale.parent.mkdir()
    stale.write_text("")
    foreign.write_text("mine")
    viewer.write_viewer_files(viewed_run(load_run(run.folder)))
    gone = folder / viewed_run(run).keys["cat.png"] / "codec-0.js"
    assert not gone.exists()
    assert not stale.parent.exists()
    assert foreign.exists()
    kept = {path: path.stat().st_mtime_ns for path in before if path != gone}
    assert kept.items() <= before.items()


def test_only_the_worst_pictures_have_pixels_where_they_would_be_too_many(
    make_run: Any, photo_spec: Any, monkeypatch: pytest.MonkeyPatch, page_of: Opens
) -> None:
    monkeypatch.setattr(viewer, "PIXELS_BYTES", 1)
    run = make_run(photo_spec)
    viewer.write_viewer_files(viewed_run(run))
    order = kept_pictures(run)
    facts = [
        part(run.folder / "viewer" / viewed_run(run).keys[name] / "facts.js") for name in order
    ]
    assert [fact["hasPixels"] for fact in facts] == [True, False, False]
    assert facts[0]["patches"]
    assert not facts[1]["patches"]
    page = page_of(write_page(run, single_file=False), f"#picture={order[1]}&b=webp-q30")
    page.get_by_text("values were written for the worst pictures only").wait_for()
    page.wait_for_function("() => document.querySelector('#viewer-pane-b img').naturalWidth > 0")
    view = viewer.viewer_view(viewed_run(run), single_file=True)
    assert view is not None
    assert (view["count"], view["absent"]) == (1, 2)


def test_of_thousands_the_worst_alone_have_pixels(
    make_run: Any, photo_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "PIXELS_PICTURES", 2)
    run = make_run(photo_spec)
    viewer.write_viewer_files(viewed_run(run))
    keys = [viewed_run(run).keys[name] for name in kept_pictures(run)]
    counts = [len(list((run.folder / "viewer" / key).glob("codec-*.js"))) for key in keys]
    assert counts == [3, 3, 0]
    assert [item[1] for item in part(run.folder / "viewer" / "pictures.js")] == kept_pictures(run)


def test_what_a_power_cut_emptied_is_made_again(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    viewer.write_viewer_files(viewed_run(run))
    emptied = run.folder / "viewer" / viewed_run(run).keys["cat.png"] / "codec-0.js"
    before = emptied.read_bytes()
    emptied.write_bytes(b"")
    viewer.write_viewer_files(viewed_run(run))
    assert emptied.read_bytes() == before
    assert not list((run.folder / "viewer").rglob("*.tmp"))


def test_a_run_without_pictures_has_no_viewer(make_run: Any, photo_spec: Any) -> None:
    photo_spec.keep = lambda image_id: False
    run = make_run(photo_spec)
    assert viewer.viewer_view(viewed_run(run), single_file=False) is None
    viewer.write_viewer_files(viewed_run(run))
    assert not (run.folder / "viewer").exists()
    with pytest.raises(RunFolderError, match="nothing of it was kept"):
        inline_viewer(run, "cat")


def test_the_leading_regions_picture_comes_first(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    assert kept_pictures(run)[0] == "cat.png"
    assert set(kept_pictures(run)) == set(photo_spec.pixels)


def test_a_single_file_asks_for_nothing(viewed: StoredRun, page_of: Opens, look: Opens) -> None:
    path = write_page(viewed, single_file=True)
    alone = path.with_name("elsewhere")
    alone.mkdir(exist_ok=True)
    path = path.rename(alone / "page.html")
    page = page_of(path, f"#picture={PICTURE}&b=jpeg-q10&x=214&y=231&zoom=8")
    view = type(look(f"picture={PICTURE}&b=jpeg-q10&x=214&y=231&zoom=8"))(page, viewed).ready()
    a, b = (view.magnified(view.kept(codec), (214, 231), 8) for codec in (None, "jpeg-q10"))
    seen = view.pixels()
    half = seen.shape[1] // 2
    assert (seen[:, : half - 1] == a[:, : half - 1]).all()
    assert (seen[:, half + 1 :] == b[:, half + 1 :]).all()


def test_pictures_are_listed_page_by_page(make_run: Any, spec_type: Any, page_of: Opens) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    names = [f"{place:03}.png" for place in range(60)]
    run = make_run(spec_type(dict.fromkeys(names, pixels), codecs=("vae",)))
    viewer.write_viewer_files(viewed_run(run))
    page = page_of(write_page(run, single_file=False))
    listed = page.get_by_role("list", name="Pictures, the worst first").get_by_role("link")
    page.get_by_text("1–48 of 60").wait_for()
    assert listed.count() == 48
    page.get_by_role("button", name="Later").click()
    page.get_by_text("49–60 of 60").wait_for()
    assert listed.count() == 12
    page.get_by_role("searchbox").fill("05")
    assert listed.count() == 11


def test_a_notebook_shows_one_picture(viewed: StoredRun, page_of: Opens, tmp_path: Path) -> None:
    shown = inline_viewer(viewed, "kodim23")
    markup = shown._repr_html_()
    assert markup.startswith("<iframe ")
    assert NASTY_PICTURE not in html.unescape(markup)
    # A notebook's own styles reach no button inside of the frame.
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><style>button {{ display: none }}</style>{markup}")
    page = page_of(notebook)
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="left-eye").click()
    colour = " ".join(map(str, np.asarray(Image.open(viewed.reference_path(PICTURE)))[231, 214]))
    frame.get_by_text(f"x 214, y 231 · A reference {colour}").wait_for()
    assert frame.get_by_role("searchbox").count() == 0


def test_a_notebook_is_told_what_a_name_may_be(make_run: Any, spec_type: Any) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    run = make_run(spec_type({"a/x.png": pixels, "b/x.png": pixels, "y.png": pixels}))
    with pytest.raises(RunFolderError, match=r"may be a/x\.png or b/x\.png"):
        inline_viewer(run, "x")
    with pytest.raises(RunFolderError, match="Unknown picture 'yy'"):
        inline_viewer(run, "yy")
    assert inline_viewer(run, "a/x").title == "a/x.png, tiny"
