"""Thousands of pictures: the page stays small, its table and its viewer usable."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.reports.pages.made import Made
from vaebench.reports.pages.run import write_html
from vaebench.reports.plots.rate import rate
from vaebench.reports.write import write_plots

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "many_pictures.py"
PICTURES, CODECS, KEPT = 5_000, 5, 100
MOST_BYTES = 400_000
MOST_ELEMENTS = 6_000


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """Five thousand pictures under five codecs, a hundred of them kept, and their report."""
    spec = importlib.util.spec_from_file_location("many_pictures", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("many") / "run"
    module.write_many(folder, PICTURES, CODECS, KEPT)
    run = load_run(folder)
    drawn, missing = write_plots(folder, {"rate": rate}, run)
    write_html(run, Made(drawn, missing))
    return run


def test_the_page_is_small_and_holds_no_list_of_pictures(many: StoredRun) -> None:
    page = (many.folder / "report.html").read_bytes()
    assert len(page) < MOST_BYTES
    named = set(re.findall(rb"ILSVRC2012_val_\d{8}", page))
    # The first of the hashes, of the worst, of the regions: never all.
    assert len(named) < PICTURES / 10
    scores = (many.folder / "tables" / "scores.js").read_bytes()
    assert scores.startswith(b'vaebenchViewer.receive("scores",{')
    assert len(scores) > MOST_BYTES


def test_all_rows_can_be_reached_sorted_and_filtered(page_of: Any, many: StoredRun) -> None:
    page = page_of(many, "#scores.codec=jpeg-q50")
    table = page.locator('[data-table="scores"]')
    table.get_by_text(f"Rows 1–25 of {PICTURES}").wait_for()
    table.get_by_role("button", name="Picture").click()
    assert table.locator("tbody tr").first.inner_text().startswith("ILSVRC2012_val_00000001.JPEG")
    table.get_by_role("button", name="Picture").click()
    assert table.locator("tbody tr").first.inner_text().startswith("ILSVRC2012_val_00005000.JPEG")
    table.get_by_role("searchbox", name="Picture").fill("4321")
    assert table.locator("tbody tr").count() == 1
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_ELEMENTS


def test_a_picture_is_chosen_by_name_and_stepped_from(page_of: Any, many: StoredRun) -> None:
    page = page_of(many)
    status = page.get_by_role("status")
    status.filter(has_text="zoom").wait_for()
    pictures = page.get_by_role("list", name="Pictures, the worst first").get_by_role("link")
    assert pictures.count() <= 48
    page.get_by_role("searchbox", name="Find a picture").fill("00000061")
    pictures.filter(has_text="00000061").click()
    status.filter(has_text="ILSVRC2012_val_00000061.JPEG").wait_for()
    page.get_by_role("button", name="face", exact=True).click()
    status.filter(has_text="x 16, y 14").wait_for()
    page.get_by_role("searchbox", name="Find a picture").fill("")
    page.locator("#viewer-stage").focus()
    page.keyboard.press("n")
    status.filter(has_not_text="00000061").wait_for()
    page.keyboard.press("p")
    status.filter(has_text="ILSVRC2012_val_00000061.JPEG").wait_for()
    current = page.locator("#viewer-pictures [aria-current]")
    assert current.text_content() == "ILSVRC2012_val_00000061.JPEG"


def test_scores_that_are_gone_are_said(browser: Any, kodak_run: StoredRun, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes((kodak_run.folder / "report.html").read_bytes())
    page = browser.new_page()
    page.goto(path.as_uri())
    page.get_by_text("tables/scores.js is gone; make the report again.").wait_for(timeout=5_000)
    page.get_by_text("The list of pictures is gone; make the report again.").wait_for(timeout=5_000)
    page.close()
