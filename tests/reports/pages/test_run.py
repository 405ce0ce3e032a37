"""The whole report: reproducible, self-contained, safe with any name, whatever was kept."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.bench.records import Region, SkippedImage
from vaebench.bench.store.run import load_run
from vaebench.reports import write_report
from vaebench.reports.pages.made import Made
from vaebench.reports.pages.run import write_html
from vaebench.reports.pictures.strips import region_strips
from vaebench.reports.pictures.thumbnails import Thumbnails

NASTY = '<script>alert("1")</script> & "50%" #1 ä'


def contents(folder: Path) -> dict[str, bytes]:
    rooms = ("tables", "plots", "thumbnails", "viewer")
    made = [path for room in rooms for path in folder.glob(f"{room}/**/*") if path.is_file()]
    made.append(folder / "report.html")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in made}


def test_the_report_is_whole_and_the_same_every_time(
    make_run: Any, photo_spec: Any, read_page: Any
) -> None:
    run = make_run(photo_spec)
    path = write_report(run.folder)
    assert path == run.folder / "report.html"
    first = contents(run.folder)
    assert {f"tables/summary.{ending}" for ending in ("csv", "md", "tex")} <= set(first)
    names = ("strips", "regions", "error_maps", "distributions", "rate", "latents-vae")
    assert {f"plots/{n}.{e}" for n in names for e in ("png", "svg")} <= set(first)
    gone = ("plots/latents-gone.svg", "tables/gone.csv", "thumbnails/gone.webp")
    stale = [run.folder / name for name in gone]
    for file in stale:
        file.write_text("from an earlier report")
    own = run.folder / "tables" / "notes.txt"
    own.write_text("mine")
    write_report(str(run.folder))
    assert own.read_text() == "mine"
    own.unlink()
    assert contents(run.folder) == first
    page = read_page(path)
    assert "eye" in page.text
    assert page.text.count("unavailable") >= 3
    assert "No AlexNet trunk was found. Pass --weights DIR" in page.text


def test_the_sentence_and_the_strips_show_the_eye(
    make_run: Any, photo_spec: Any, read_page: Any
) -> None:
    run = make_run(photo_spec)
    page = read_page(write_html(run, Made()))
    scores = run.scores.set_index(["image_id", "codec", "region", "variant"])["value"]
    eye = scores["cat.png", "vae", "left-eye", "psnr/rgb8"]
    whole = scores["cat.png", "vae", "whole", "psnr/rgb8"]
    assert f"{eye:.2f} dB there, {whole:.2f} dB over the whole picture" in page.text
    word = "above" if eye > whole else "below"
    assert f"{abs(eye - whole):.2f} dB {word} the whole picture with vae" in page.text
    for codec in photo_spec.codecs:
        address = f"#picture=cat.png&region=left-eye&a=reference&b={codec}"
        assert page.references.count(address) >= 2


def test_any_name_is_shown_as_text(make_run: Any, photo_spec: Any, read_page: Any) -> None:
    image_id = 'o\'b "q" #1 50% <b>.png'
    photo_spec.codecs = (NASTY.replace("/", "∕"), "jpeg & co")
    photo_spec.name = NASTY
    photo_spec.pixels = {image_id: photo_spec.pixels["cat.png"]}
    photo_spec.regions = (Region(image_id, NASTY, f"{NASTY}-kind", (57, 35, 126, 98)),)
    photo_spec.skipped = (SkippedImage(f"{NASTY}.png", "set", "x", f"broken {NASTY}"),)
    run = make_run(photo_spec)
    path = write_report(run.folder)
    page = read_page(path)
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert f"broken {NASTY}" in page.text
    assert f"{image_id} · {NASTY}" in page.text
    assert "b" in page.tags  # the report's own, so that the next line can fail
    assert page.tags.count("h1") == 1


def test_nothing_kept_leaves_numbers_and_says_why(
    make_run: Any, photo_spec: Any, read_page: Any
) -> None:
    photo_spec.keep = lambda image_id: False
    run = make_run(photo_spec)
    page = read_page(write_report(run.folder))
    assert "No region strips: no picture with a region was kept; run with --keep all." in page.text
    assert "no latents were kept" in page.text
    assert not [name for name in page.references if name.startswith("thumbnails")]
    assert "viewer" not in page.ids
    assert not (run.folder / "viewer").exists()
    assert (run.folder / "plots" / "regions.svg").is_file()
    assert not (run.folder / "plots" / "strips.svg").exists()


def test_partly_kept_pictures_are_marked(make_run: Any, photo_spec: Any, read_page: Any) -> None:
    run = make_run(photo_spec)
    run.reconstruction_path("jpeg-q30", "cat.png").unlink()
    run.map_path("webp-q30", "cat.png").unlink()
    page = read_page(write_html(run, Made()))
    assert page.text.count("not kept") >= 2


def test_identical_pictures_are_told_beside_the_mean(
    make_run: Any, golden_spec: Any, read_page: Any
) -> None:
    run = make_run(golden_spec)
    page = read_page(write_report(run.folder))
    assert "inf 1 of 4 identical; the rest 30.00" in page.text
    assert "nan" not in page.text.lower().split()


def test_a_run_that_goes_on_shows_what_is_done(
    make_run: Any, photo_spec: Any, read_page: Any
) -> None:
    photo_spec.finished = False
    run = make_run(photo_spec)
    parts = sorted((run.folder / "parts").iterdir())
    parts[0].unlink()
    page = read_page(write_html(load_run(run.folder), Made()))
    assert "This run is not finished" in page.text
    assert "2 pictures, the worst first" in page.text


def test_a_run_without_a_picture_or_score_is_a_report_all_the_same(
    make_run: Any, photo_spec: Any, read_page: Any
) -> None:
    photo_spec.pixels = {}
    photo_spec.regions = ()
    photo_spec.skipped = (SkippedImage("a.png", "set", "a.png", "it is empty"),)
    page = read_page(write_report(make_run(photo_spec).folder))
    assert "1 file could not be used" in page.text
    assert "it is empty" in page.text


def test_a_long_list_of_remarks_is_cut_and_says_so(
    make_run: Any, photo_spec: Any, read_page: Any
) -> None:
    names = [f"broken-{place:04}.png" for place in range(250)]
    photo_spec.skipped = tuple(SkippedImage(name, "set", name, "it is empty") for name in names)
    page = read_page(write_html(make_run(photo_spec), Made()))
    assert "250 files could not be used" in page.text
    assert "and 50 more, which are in run.json" in page.text
    assert page.text.count("broken-") == 200


def test_scores_are_beside_the_page_or_inside_of_it(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    beside = run.folder / "tables" / "scores.js"
    path = write_html(run, Made())
    assert beside.is_file()
    assert 'id="part-scores"' not in path.read_text(encoding="utf-8")
    write_html(run, Made(), single_file=True)
    assert 'id="part-scores"' in path.read_text(encoding="utf-8")
    assert not beside.exists()


def test_strips_do_not_grow_with_regions_times_codecs(make_run: Any, photo_spec: Any) -> None:
    boxes = [(4 * place, 20, 4 * place + 60, 80) for place in range(30)]
    photo_spec.regions = tuple(
        Region("cat.png", f"part-{place}", "part", box) for place, box in enumerate(boxes)
    )
    few = make_run(photo_spec)
    assert len(region_strips(few, None, Thumbnails(few.folder))) == 24
    many = replace(few, record=replace(few.record, codecs=few.record.codecs * 4))
    assert len(region_strips(many, None, Thumbnails(many.folder))) == 6


def test_a_folder_that_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"is no run folder"):
        write_report(tmp_path)


def test_importing_reports_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, vaebench.reports as r; a = 'pandas' in sys.modules; r.TABLES; r.PLOTS;"
        "print(a, 'torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
