"""The page in a browser: safe with any name, alone on a disk, readable, narrow, dark, on paper."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.records import Region, SkippedImage
from vaebench.bench.store.run import load_run
from vaebench.reports.pages.made import Made
from vaebench.reports.pages.run import write_html

NASTY_PICTURE = "<img src=x onerror=alert(1)>.png"
NASTY_REGION = """left "eye" 'of' </script><script>alert(2)</script>"""
NASTY_CODEC = "<b onmouseover=alert(3)>bold"


def policy(page: Any) -> dict[str, str]:
    content = page.locator("meta[http-equiv]").get_attribute("content")
    return dict(part.strip().partition(" ")[::2] for part in content.split(";"))


def check_accessible(page: Any) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="needs axe-core; pip install axe-playwright-python",
    )
    found = axe.Axe().run(page).response["violations"]
    grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    where = [(rule["id"], [node["target"] for node in rule["nodes"]][:5]) for rule in grave]
    assert where == []


def test_any_name_stays_text(page_of: Any, make_run: Any, photo_spec: Any) -> None:
    photo_spec.pixels = {NASTY_PICTURE: photo_spec.pixels["cat.png"]}
    photo_spec.codecs = (NASTY_CODEC, "jpeg & co")
    photo_spec.regions = (Region(NASTY_PICTURE, NASTY_REGION, "<i>", (57, 35, 126, 98)),)
    photo_spec.skipped = (SkippedImage(NASTY_REGION, "set", "x", f"broken {NASTY_PICTURE}"),)
    run = make_run(photo_spec)
    write_html(run, Made())
    page = page_of(run, "#scores.region=regions")
    table = page.locator('[data-table="scores"]')
    assert table.get_by_role("link", name=NASTY_PICTURE, exact=True).count() == 2
    assert NASTY_REGION in table.locator("tbody").inner_text()
    assert f"broken {NASTY_PICTURE}" in page.locator("aside").inner_text()
    assert table.get_by_label("Codec").locator("option").all_inner_texts()[1] == NASTY_CODEC
    table.get_by_role("link", name=NASTY_PICTURE, exact=True).first.click()
    assert page.get_by_role("button", name=NASTY_REGION, exact=True).count() >= 1
    assert page.locator("[onerror], [onmouseover]").count() == 0
    assert page.locator("main b[onmouseover], img[src='x']").count() == 0


def test_the_policy_allows_the_page_s_own_scripts_alone(kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page()
    rules = policy(page)
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    assert "unsafe" not in rules["style-src-elem"]
    own = page.locator("script:not([type])").count()
    assert rules["script-src"].count("sha256-") == own >= 3
    source = (kodak_run.folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<[^>]+\son\w+=", source)
    for word in ("http://", "https://", "@import"):
        assert word not in re.sub(r"<script.*?</script>", "", source, flags=re.DOTALL)


def test_an_injected_script_never_runs(browser: Any, kodak_run: Any) -> None:
    source = (kodak_run.folder / "report.html").read_text(encoding="utf-8")
    broken = kodak_run.folder / "broken.html"
    attack = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    broken.write_text(source.replace("<main>", f"<main>{attack}", 1), encoding="utf-8")
    page = browser.new_page()
    page.goto(broken.as_uri())
    assert page.evaluate("window.ran ?? 'no'") == "no"
    assert page.locator('[data-table="scores"] tbody tr').count() == 6
    page.close()
    broken.unlink()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(page_of: Any, kodak_run: Any, dark: bool) -> None:
    page = page_of(kodak_run, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    check_accessible(page)


def test_a_narrow_screen_shows_all(page_of: Any, kodak_run: Any) -> None:
    page = page_of(kodak_run, width=380)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    wide = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter(element =>
            element.getBoundingClientRect().right > innerWidth + 1
            && !element.closest(".scroll, .offscreen, #viewer"))
            .map(each => each.outerHTML.slice(0, 90))"""
    )
    assert wide == []


def test_the_page_prints(page_of: Any, kodak_run: Any) -> None:
    pypdf = pytest.importorskip("pypdf", reason="needs pypdf; pip install pypdf")
    page = page_of(kodak_run)
    target = kodak_run.folder / "report.pdf"
    page.pdf(path=target)
    text = "".join(sheet.extract_text() for sheet in pypdf.PdfReader(target).pages)
    target.unlink()
    words = " ".join(text.split())
    for wanted in ("Summary", "jpeg-q10", "Worst pictures", "Provenance", "vaebench run …"):
        assert wanted in words
    assert "Markdown" not in words


def test_a_single_file_needs_nothing_beside_it(
    page_of: Any, kodak_run: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(kodak_run.folder, copy)
    write_html(load_run(copy), Made(), single_file=True)
    alone = tmp_path / "alone" / "sent.html"
    alone.parent.mkdir()
    shutil.move(copy / "report.html", alone)
    asked: list[str] = []
    page = page_of(alone, "#scores.picture=kodim23")
    page.on("request", lambda request: asked.append(request.url))
    assert page.locator('[data-table="scores"] tbody tr').count() == 2
    page.evaluate("document.querySelectorAll('img').forEach(each => { each.loading = 'eager'; })")
    page.wait_for_function(
        "[...document.querySelectorAll('img[src]')].every(img => img.complete && img.naturalWidth)"
    )
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == []
    assert page.locator("main a[href]:not([href^='#'])").count() == 0


def test_lists_show_thumbnails_and_late(kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page()
    shown = page.locator("main section:not(#viewer) img").evaluate_all(
        "images => images.map(each => [each.getAttribute('src'), each.loading])"
    )
    assert {loading for _, loading in shown} == {"lazy"}
    assert {source.split("/")[0] for source, _ in shown} == {"thumbnails", "plots"}
    sizes = [path.stat().st_size for path in (kodak_run.folder / "thumbnails").iterdir()]
    full = kodak_run.reference_path("kodim23.png").stat().st_size
    assert max(sizes) < full / 5


def test_a_strip_leads_to_its_region_and_sections_keep_their_links(
    page_of: Any, kodak_run: Any
) -> None:
    page = page_of(kodak_run, "#worst")
    assert abs(page.locator("#worst").bounding_box()["y"]) < 60
    page.get_by_role("link", name="jpeg-q10, left-eye", exact=True).first.click()
    page.wait_for_timeout(400)
    hash_now = page.evaluate("location.hash")
    assert {"picture=kodim23.png", "b=jpeg-q10", "region=left-eye"} <= set(hash_now[1:].split("&"))
    assert (
        page.get_by_role("button", name="left-eye", exact=True).get_attribute("aria-pressed")
        == "true"
    )
    box = page.locator("#viewer").bounding_box()
    assert -200 < box["y"] < 900
