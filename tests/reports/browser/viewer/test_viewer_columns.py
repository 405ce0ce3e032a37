"""The viewer's table of metrics: every codec readable, or a hint that there are more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.store.run import StoredRun
from vaebench.reports.pages.made import Made
from vaebench.reports.pages.run import write_html

THREE = ("demo-f8c4-bfloat16", "demo-f8c16-bfloat16", "jpeg-q75")
EIGHT = tuple(f"jpeg-quality-{place}0" for place in range(1, 9))
SETTLED_MS = 600
"""The table is filled anew when the picture's pixels have come, and when the view has rested."""

Opens = Callable[..., Any]


def table_of(page: Any) -> Any:
    """Return the table once it is filled."""
    table = page.get_by_role("table", name="Metrics of the picture and of the region in view")
    table.get_by_role("rowgroup").filter(has_text="Whole picture").wait_for()
    return table


def report(make_run: Any, spec: Any, codecs: tuple[str, ...]) -> StoredRun:
    """Make the report of a run of one picture under these codecs."""
    spec.codecs = codecs
    spec.pixels = {"cat.png": spec.pixels["cat.png"]}
    spec.regions = spec.regions[:1]
    run = make_run(spec)
    write_html(run, Made())
    return run


def span(cell: Any) -> tuple[float, float]:
    """Return where a cell begins and ends from left to right, in CSS pixels."""
    rect = "one => { const { left, right } = one.getBoundingClientRect(); return [left, right]; }"
    left, right = cell.evaluate(rect)
    return left, right


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_three_codecs_are_whole_at_1280(
    page_of: Opens, make_run: Any, photo_spec: Any, dark: bool
) -> None:
    run = report(make_run, photo_spec, THREE)
    page = page_of(run, f"#picture=cat.png&a={THREE[0]}&b={THREE[1]}&region=left-eye", dark=dark)
    table = table_of(page)
    page.wait_for_timeout(SETTLED_MS)
    left, right = span(page.locator(".viewer-scroll"))
    for name in THREE:
        head = table.locator(f'th[title="{name}"]')
        assert left <= span(head)[0]
        assert span(head)[1] <= right
        # Neither cut nor covered: the name's own lines show all of it.
        text = head.locator("span")
        assert text.inner_text() == name
        assert text.evaluate("one => one.scrollHeight <= one.clientHeight")
    assert page.locator("#viewer-more").is_hidden()


@pytest.mark.parametrize("width", [1280, 390])
def test_more_codecs_are_scrolled_to_and_said(
    page_of: Opens, make_run: Any, photo_spec: Any, width: int
) -> None:
    run = report(make_run, photo_spec, EIGHT)
    page = page_of(run, f"#picture=cat.png&b={EIGHT[0]}", width=width)
    table = table_of(page)
    page.get_by_text("Scroll the table sideways for all 8 codecs").wait_for()
    page.wait_for_timeout(SETTLED_MS)
    scroll = page.locator(".viewer-scroll")
    assert scroll.get_attribute("tabindex") == "0"
    last = table.locator(f'th[title="{EIGHT[-1]}"]')
    right = span(scroll)[1]
    assert span(last)[0] > right
    # What is chosen is brought into view, beside the labels that stay.
    page.get_by_role("combobox", name="B", exact=True).select_option(EIGHT[-1])
    page.wait_for_function("() => document.querySelector('.viewer-scroll').scrollLeft > 0")
    page.wait_for_timeout(SETTLED_MS)
    label = table.get_by_role("rowheader", name="PSNR, dB ↑").first
    assert span(label)[1] <= span(last)[0] + 1
    assert span(last)[1] <= right + 1
    title = table.get_by_text("Whole picture")
    assert abs(span(title)[0] - span(scroll)[0]) < 12
    # A reader's own scrolling is left alone.
    scroll.evaluate("one => { one.scrollLeft = 0; }")
    page.get_by_role("button", name="Blink", exact=True).click()
    page.wait_for_timeout(SETTLED_MS)
    assert scroll.evaluate("one => one.scrollLeft") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_kodak_s_codecs_are_whole(page_of: Opens, kodak_run: StoredRun) -> None:
    page = page_of(Path(kodak_run.folder / "report.html"), "#picture=kodim23.png&region=left-eye")
    table = table_of(page)
    page.wait_for_timeout(SETTLED_MS)
    right = span(page.locator(".viewer-scroll"))[1]
    assert all(span(head)[1] <= right for head in table.locator("thead th").all())
