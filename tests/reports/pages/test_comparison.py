"""The whole report of a comparison: reproducible, self-contained, safe with any name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.reports.pages.comparison import write_comparison_html
from vaebench.reports.pages.made import Made
from vaebench.reports.pictures.comparison import error_top
from vaebench.reports.write import write_comparison_report

NASTY_CODEC = "<b>bold & co</b>"
NASTY_PICTURE = "<img src=x onerror=alert(1)>.png"


def contents(folder: Path) -> dict[str, bytes]:
    made = [folder / "comparison.html", *folder.glob("tables/*"), *folder.glob("plots/*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in made}


def test_a_real_run_gives_a_whole_page_and_the_same_again(
    make_run: Any, photo_spec: Any, compare_runs: Any, read_page: Any
) -> None:
    photo_spec.codecs = ("vae", "jpeg-q30")
    comparison = compare_runs([make_run(photo_spec)], command="vaebench compare run")
    path = write_comparison_report(comparison.folder)
    assert path == comparison.folder / "comparison.html"
    first = contents(comparison.folder)
    tables = {f"tables/{n}.{e}" for n in ("comparison", "per_image") for e in ("csv", "md", "tex")}
    plots = {
        f"plots/{name}.{ending}"
        for name in ("differences-jpeg-q30", "wins", "regions", "scatter")
        for ending in ("png", "svg")
    }
    assert tables | plots <= set(first)
    (comparison.folder / "plots" / "differences-gone.svg").write_text("from an earlier report")
    write_comparison_report(str(comparison.folder))
    assert contents(comparison.folder) == first

    page = read_page(path)
    row = comparison.table.iloc[0]
    assert f"{row['mean_diff']:+.2f} dB PSNR".replace("-", "−") in page.text
    assert f"over {row['n_images']} pictures" in page.text
    assert "No AlexNet trunk was found. Pass --weights DIR" in page.text
    kept = [entry["pictures"]["codec_map"] for entry in comparison.record["changed"]]
    assert kept
    assert set(kept) <= set(page.references)
    assert {entry["pictures"]["map"] for entry in comparison.record["patches"]} <= set(
        page.references
    )


def test_another_protocol_stands_apart_under_a_notice(
    make_run: Any, photo_spec: Any, other_run: Any, compare_runs: Any, read_page: Any, tmp_path: Any
) -> None:
    run = make_run(photo_spec)
    quoted = tmp_path / "quoted.toml"
    quoted.write_text(
        '[[quoted]]\nname = "a paper"\nvariant = "psnr/rgb8"\nvalue = 24.5\n'
        'protocol = "256 px by crop"\nsource = "its table 3"\n'
    )
    small = other_run(run, "small", size=64, fit="crop")
    comparison = compare_runs([run, small], allow_mismatch=True, quoted=quoted)
    page = read_page(write_comparison_html(comparison, Made()))
    assert "Some codecs stand apart" in page.text
    assert "64 px by crop" in page.text
    assert "small/vae" not in set(comparison.table["codec"])
    header, quoted_row = page.text.index("Means over whole"), page.text.index("a paper quoted")
    assert header < page.text.index("small/vae apart", header) < quoted_row
    assert "24.5 dB quoted 256 px by crop its table 3" in page.text


def test_any_name_is_shown_as_text(
    make_comparison: Any, make_row: Any, make_values: Any, make_changed: Any, read_page: Any
) -> None:
    rows = [make_row(codec=NASTY_CODEC, n_images=2)]
    frame = make_values("psnr/rgb8", [(30.0, 31.0), (30.0, 32.0)], codec=NASTY_CODEC)
    image = {"sha256": "ab" * 32, "image_id": NASTY_PICTURE, "width_px": 12, "height_px": 8}
    names = {"codec": NASTY_CODEC, "image_id": NASTY_PICTURE}
    changed = [make_changed(**names), make_changed(**names, region="<i>", kind="<u>")]
    patch = {"codec": NASTY_CODEC, "image_id": NASTY_PICTURE, "box_px": [0, 0, 12, 8], "value": 0.5}
    mismatch = {"what": "picture", "where": NASTY_PICTURE, "reason": "only in </aside><script>"}
    quoted = {
        "name": "<s>",
        "variant": "psnr/rgb8",
        "unit": "dB",
        "value": 24.5,
        "protocol": "<script>",
        "source": '" onload="',
    }
    comparison = make_comparison(
        rows,
        [frame],
        name="<title>",
        images=[image],
        changed=changed,
        patches=[{**patch, "pictures": {"reference": None, "codec": None, "map": None}}],
        mismatches=[mismatch],
        quoted=[quoted],
        map={"metric": "flip", "variant": "flip/<x>", "max": 1.0, "signed_max": 0.3},
    )
    path = write_comparison_report(comparison.folder)
    page = read_page(path)
    assert "</aside><script" not in page.source
    assert "<img src=x" not in page.source
    assert page.tags.count("h1") == 1
    assert not {"u", "s"} & set(page.tags)
    # The viewer has its own; a name's would have no class.
    assert page.tags.count("i") == page.source.count('<i class="viewer-')
    assert f"{NASTY_CODEC} is better than" in page.text
    assert page.text.count(NASTY_PICTURE) >= 4
    assert "only in </aside><script>" in page.text


def test_pictures_that_were_not_kept_say_so(
    make_comparison: Any, make_row: Any, make_changed: Any, read_page: Any
) -> None:
    entry = make_changed()
    entry["pictures"]["baseline_map"] = None
    image = {"sha256": "ab" * 32, "image_id": "p0.png", "width_px": 12, "height_px": 8}
    scale = {"metric": "flip", "variant": "flip/x", "max": 1.0, "signed_max": 0.3}
    comparison = make_comparison([make_row()], changed=[entry], images=[image], map=scale)
    (comparison.folder / entry["pictures"]["codec"]).unlink()
    page = read_page(write_comparison_html(comparison, Made()))
    assert page.text.count("not kept") == 2
    assert "Nothing changed for the worse." in page.text
    # The grey level of codec_map (95), rounded up to two digits of 255 for 1.
    assert error_top(comparison) == pytest.approx(0.38)


def test_without_error_maps_the_page_says_why(
    make_comparison: Any, make_row: Any, read_page: Any
) -> None:
    comparison = make_comparison([make_row()])
    page = read_page(write_comparison_html(comparison, Made()))
    assert "No patches: no error maps were kept" in page.text
    assert error_top(comparison) is None


def test_nothing_compared_is_a_page_all_the_same(make_comparison: Any, read_page: Any) -> None:
    apart = {
        "codec": "small",
        "variant": "psnr/rgb8",
        "unit": "dB",
        "mean": 31.0,
        "n_images": 1,
        "protocol": "64 px",
    }
    mismatch = {"what": "protocol", "where": "small", "reason": "64 px by crop"}
    comparison = make_comparison([], apart=[apart], mismatches=[mismatch], metrics=[])
    page = read_page(write_comparison_report(comparison.folder))
    assert "Nothing could be compared with before" in page.text
    assert "31.00 1 picture" in page.text


def test_a_folder_that_is_no_comparison_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is no comparison folder"):
        write_comparison_report(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_sentence(
    make_comparison: Any, make_row: Any
) -> None:
    comparison = make_comparison([make_row()])
    (comparison.folder / "tables").write_text("a file where the folder should be")
    with pytest.raises(RunFolderError, match="Cannot write the report into"):
        write_comparison_report(comparison.folder)


def test_the_report_loads_no_torch() -> None:
    code = "import sys, vaebench.reports.write; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
