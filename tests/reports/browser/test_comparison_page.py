"""The page of a comparison in a browser: its own viewer, tables, policy and accessibility."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.compare.comparison import compare
from vaebench.reports.pages.comparison import write_comparison_html
from vaebench.reports.pages.made import Made

REASON = "needs axe-core; pip install axe-playwright-python"


@pytest.fixture(scope="session")
def compared(kodak_run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison") / "compared"
    return write_comparison_html(compare([kodak_run], folder), Made())


def test_what_changed_is_looked_at_beside_its_baseline(page_of: Any, compared: Path) -> None:
    page = page_of(compared)
    page.get_by_role("link", name="Look at it").first.click()
    page.wait_for_timeout(400)
    assert "a=jpeg-q10&b=webp-q50" in page.evaluate("location.hash")
    assert page.get_by_role("combobox", name="A").input_value() == "jpeg-q10"
    assert page.get_by_role("combobox", name="B").input_value() == "webp-q50"
    page.locator("#viewer-pane-b img[src]").wait_for()
    means = page.locator('[data-table="means"]')
    means.get_by_role("button", name="Copy as CSV").click()
    means.get_by_text("rows copied").wait_for()
    rows = list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert rows[0][:2] == ["Codec", "psnr/rgb8"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_comparison_is_accessible_and_narrow(page_of: Any, compared: Path, dark: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=REASON)
    page = page_of(compared, dark=dark, width=380)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    found = axe.Axe().run(page).response["violations"]
    grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]][:5]) for rule in grave] == []
