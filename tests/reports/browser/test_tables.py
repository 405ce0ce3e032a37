"""Tables of the page in a browser: sorted, filtered, paged, copied, all of it in the address."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from vaebench.reports.tables.columns import primary_column
from vaebench.reports.tables.run import codec_names, ranking, whole_values


def scores(page: Any) -> Any:
    return page.locator('[data-table="scores"]')


def cells(page: Any, column: int) -> list[str]:
    rows = scores(page).locator("tbody tr")
    return [
        row.split("\t")[column]
        for row in rows.evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent).join('\\t'))"
        )
    ]


def address(page: Any) -> str:
    # The page writes its address at most three times a second.
    page.wait_for_timeout(400)
    return str(page.evaluate("decodeURIComponent(location.hash)"))


def test_the_worst_picture_comes_first(kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page()
    column = primary_column(kodak_run)
    values = whole_values(kodak_run, column.variant)
    worst = min((of_codec.min(), codec) for codec, of_codec in values.items())[1]
    assert cells(page, 0)[0] == ranking(values[worst], column)[0]
    assert cells(page, 2)[0] == worst
    numbers = [float(text) for text in cells(page, 3)]
    assert numbers == sorted(numbers)
    assert len(numbers) == 6
    head = scores(page).locator("th[aria-sort]")
    assert head.get_attribute("aria-sort") == "ascending"
    assert "PSNR" in head.inner_text()


def test_the_best_codec_of_each_picture_is_marked(kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page("scores.picture=kodim23")
    values = whole_values(kodak_run, "psnr/rgb8")
    best = max(codec_names(kodak_run), key=lambda codec: values[codec]["kodim23.png"])
    marked = scores(page).locator("tbody tr", has=page.locator("td.best"))
    assert marked.count() == 1
    assert best in marked.inner_text()


def test_headings_sort_by_click_and_by_key(kodak_page: Any) -> None:
    page = kodak_page()
    page.get_by_role("button", name="Picture", exact=True).click()
    assert cells(page, 0) == sorted(cells(page, 0))
    heading = scores(page).get_by_role("button", name=re.compile("^PSNR ↑"))
    heading.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    numbers = [float(text) for text in cells(page, 3)]
    assert numbers == sorted(numbers, reverse=True)
    assert heading.evaluate("button => button === document.activeElement")
    assert scores(page).locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert "scores.sort=psnr/rgb8:descending" in address(page)


def test_filters_choose_picture_region_and_codec(kodak_page: Any) -> None:
    page = kodak_page()
    scores(page).get_by_role("searchbox", name="Picture").fill("KODIM23")
    scores(page).get_by_label("Codec").select_option("jpeg-q10")
    assert set(zip(cells(page, 0), cells(page, 2), strict=True)) == {("kodim23.png", "jpeg-q10")}
    scores(page).get_by_label("Region").select_option("left-eye")
    assert cells(page, 1) == ["left-eyeeye"]
    scores(page).get_by_role("searchbox", name="Picture").fill("no such picture")
    assert cells(page, 0) == []
    assert "No row fits" in scores(page).inner_text()


def test_the_gap_of_a_region_is_that_to_its_picture(kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page("scores.picture=kodim23&scores.region=name%3Aleft-eye")
    table = kodak_run.scores.set_index(["image_id", "codec", "region", "variant"])["value"]
    for codec, value, gap in zip(cells(page, 2), cells(page, 3), cells(page, 4), strict=True):
        eye = table["kodim23.png", codec, "left-eye", "psnr/rgb8"]
        whole = table["kodim23.png", codec, "whole", "psnr/rgb8"]
        assert float(value) == pytest.approx(eye, abs=0.006)
        assert float(gap.replace("−", "-")) == pytest.approx(eye - whole, abs=0.006)


def test_an_address_restores_the_view(page_of: Any, kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page()
    scores(page).get_by_label("Region").select_option("any")
    scores(page).get_by_role("button", name="Codec").click()
    scores(page).get_by_role("button", name="Next").click()
    seen = [cells(page, column) for column in range(4)]
    assert "Rows 26–" in scores(page).inner_text()
    again = page_of(kodak_run, "#" + address(page).removeprefix("#"))
    assert [cells(again, column) for column in range(4)] == seen
    assert again.evaluate("scrollY") > 0
    scores(again).get_by_role("button", name="Previous").click()
    assert cells(again, 0) != seen[0]


def test_a_row_leads_to_its_picture_and_region(kodak_page: Any) -> None:
    page = kodak_page("scores.region=name%3Aleft-eye&scores.codec=jpeg-q10")
    scores(page).get_by_role("link", name="kodim23.png").click()
    found = address(page)
    assert {"picture=kodim23.png", "a=reference", "b=jpeg-q10", "region=left-eye"} <= set(
        found.removeprefix("#").split("&")
    )
    assert "scores.codec=jpeg-q10" in found


def test_a_table_is_copied_in_three_ways(kodak_page: Any, kodak_run: Any) -> None:
    page = kodak_page("scores.picture=kodim23")

    def copied(kind: str) -> str:
        scores(page).get_by_role("button", name=f"Copy as {kind}").click()
        scores(page).get_by_text("2 rows copied").wait_for()
        return str(page.evaluate("navigator.clipboard.readText()"))

    rows = list(csv.DictReader(io.StringIO(copied("CSV"))))
    values = whole_values(kodak_run, "psnr/rgb8")
    for row in rows:
        value = values[row["codec"]]["kodim23.png"]
        assert float(row["psnr/rgb8"]) == pytest.approx(value, abs=0.006)
    lines = copied("Markdown").splitlines()
    assert [line.count("|") for line in lines] == [lines[0].count("|")] * 4
    assert lines[2].startswith("| kodim23.png | whole |")
    latex = copied("LaTeX")
    assert latex.count(r"\\") == 3
    assert r"stored\_bits\_ratio/rgb8" in latex


def test_a_table_of_the_page_itself_sorts_and_copies(kodak_page: Any) -> None:
    page = kodak_page()
    summary = page.locator('[data-table="summary"]')
    summary.get_by_role("button", name="PSNR").click()
    means = summary.locator("tbody td:nth-child(2)").all_inner_texts()
    assert [float(mean) for mean in means] == sorted(map(float, means))
    summary.get_by_role("button", name="Copy as CSV").click()
    summary.get_by_text("2 rows copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    assert next(csv.reader(io.StringIO(text)))[:2] == ["Codec", "psnr/rgb8"]
