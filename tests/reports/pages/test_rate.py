from urllib.parse import unquote

import numpy as np
import pytest
from vaebench.bench.errors import RunFolderError
from vaebench.reports.pictures.rate import galleries
from vaebench.reports.write import write_rd_report

TABLES = ("bd", "best_at_rates", "curves", "rates", "equal_means")
OUTSIDE = ("//", "http:", "https:", "ftp:", "data:", "javascript:")
NASTY = "<img src=x onerror=alert(1)>"


def contents(folder):
    made = [folder / "rd.html", *folder.glob("tables/*"), *folder.glob("plots/*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in made}


def test_the_report_is_tables_plots_and_a_page_and_the_same_again(make_rd):
    folder = make_rd().folder
    assert write_rd_report(folder) == folder / "rd.html"
    first = contents(folder)
    assert {f"tables/{name}.{end}" for name in TABLES for end in ("csv", "md", "tex")} <= set(first)
    plots = {f"plots/{name}.{end}" for name in ("rd_curves", "bd_rates") for end in ("png", "svg")}
    assert plots <= set(first)
    (folder / "plots" / "old.svg").write_text("of an earlier report")
    (folder / "tables" / "old.csv").write_text("of an earlier report")
    write_rd_report(str(folder))
    assert contents(folder) == first


def test_the_page_needs_nothing_from_outside_and_runs_nothing(make_rd, read_page):
    folder = make_rd().folder
    page = read_page(write_rd_report(folder))
    assert "script" not in page.tags and "http-equiv" in page.source
    assert "default-src &#39;none&#39;" in page.source or "default-src 'none'" in page.source
    files = [name for name in page.references if not name.startswith("#")]
    assert files and not any(name.startswith(OUTSIDE) for name in files)
    assert all((folder / unquote(name)).is_file() for name in files)


def test_the_page_tells_the_numbers_and_what_was_refused(make_rd, read_page):
    found = make_rd()
    page = read_page(write_rd_report(found.folder))
    assert "Bits for the quality of jpeg" in page.text
    assert "−29.3 %" in page.text and "webp 29.75" in page.text
    assert "29.00 vs 26.00" in page.text and "at best 40.0 % more bytes at q=1" in page.text
    assert "1,000 resamples, seed 0" in page.text
    assert "vaebench rd --codec vae --codec jpeg" in page.text


def test_what_failed_or_is_missing_stands_at_the_top(make_rd, read_page):
    found = make_rd(
        failures=[
            {
                "reason": "the decoder broke",
                "codecs": ["vae"],
                "settings": ["step=1"],
                "pictures": ["kodim01.png"],
            }
        ],
        unavailable=[
            {"metric": "flip", "variant": "flip/x", "reason": "needs flip", "pictures": []}
        ],
        skipped=[{"image_id": "broken.png", "reason": "cut short"}],
        unused_regions=["gone.png/eye"],
    )
    page = read_page(write_rd_report(found.folder))
    for words in ("the decoder broke", "needs flip", "broken.png", "cut short", "gone.png/eye"):
        assert words in page.text


def test_names_from_outside_are_text(make_rd, read_page):
    found = make_rd(name=NASTY, command=NASTY, unused_regions=[NASTY])
    page = read_page(write_rd_report(found.folder))
    assert NASTY not in page.source and NASTY in page.text


def test_one_codec_alone_has_curves_and_no_deltas(make_rd, read_page):
    found = make_rd()
    alone = found.points[found.points["codec"] == "jpeg"]
    codecs = [codec for codec in found.record["codecs"] if codec["name"] == "jpeg"]
    gallery = {"pictures": [], "rows": []}
    found = make_rd(alone, codecs=codecs, gallery=gallery)
    page = read_page(write_rd_report(found.folder))
    assert "There is no other codec than the anchor." in page.text
    assert (found.folder / "plots" / "rd_curves.svg").is_file()


def test_without_any_value_the_page_still_says_why(make_rd, read_page):
    points = make_rd().points.assign(value=np.nan)
    found = make_rd(
        points,
        unavailable=[
            {"metric": "psnr", "variant": "psnr/rgb8", "reason": "no reason", "pictures": []}
        ],
    )
    page = read_page(write_rd_report(found.folder))
    assert "no reason" in page.text and "No plot: no metric has a value." in page.text


def test_a_gallery_shows_each_codec_at_the_autoencoders_bytes(make_rd):
    (gallery,) = galleries(make_rd())
    assert (gallery.autoencoder, gallery.setting) == ("vae", "step=4")
    assert [row.image_id for row in gallery.shown] == ["kodim01.png", "kodim02.png"]
    assert len(gallery.folded) == 1
    sides = gallery.shown[0].sides
    assert [side.name for side in sides] == ["reference", "vae", "jpeg", "webp"]
    assert sides[1].bytes_text == "1,000 bytes · 2.604 bit/px"
    assert sides[2].note == "40.0 % more bytes at q=1"
    assert sides[3].bytes_text == "1,010 bytes · 2.630 bit/px · +1.0 %"
    assert sides[3].scores == (("PSNR", "27.00"),)
    assert sides[3].window_scores == ("PSNR 25.00 dB",)
    (window,) = gallery.shown[0].windows
    # The image is as much wider than its window as the picture is than the crop.
    assert window.name == "left-eye, eye" and window.width >= 100 and window.left <= 0


def test_a_folder_without_a_sweep_is_answered_with_a_sentence(tmp_path):
    with pytest.raises(RunFolderError, match="is no finished sweep"):
        write_rd_report(tmp_path)
