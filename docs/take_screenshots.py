"""Take the report's screenshots for the docs: `python docs/take_screenshots.py RUN`.

RUN is a run folder with its report.html. Needs the package playwright and Chromium (`--chromium`
names it where it is not /usr/bin/chromium). Prints how long the page takes until it can be used.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCS = Path(__file__).resolve().parent
OPENINGS = 5
VIEWS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 1240}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 1240}},
    "narrow": {
        "color_scheme": "light",
        "viewport": {"width": 380, "height": 1300},
        "device_scale_factor": 2,
    },
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write report-light.png, report-dark.png and report-narrow.png."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description="Take the report's screenshots for the docs.")
    parser.add_argument("run", type=Path, help="a run folder with its report.html")
    parser.add_argument("--hash", default="", help="what is in view, as the page's address says")
    parser.add_argument("--out", type=Path, default=DOCS, help="where the screenshots go")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser")
    given = parser.parse_args(arguments)
    address = (given.run / "report.html").resolve().as_uri() + given.hash
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, view in VIEWS.items():
            take(browser, address, view, given.out / f"report-{name}.png")
        times_ms = [opening_ms(browser, address) for _ in range(OPENINGS)]
        browser.close()
    print(f"opens to a sorted table in {statistics.median(times_ms):.0f} ms (median of {OPENINGS})")


def take(browser: Browser, address: str, view: Mapping[str, object], path: Path) -> None:
    """Write what a screen shows of the page first."""
    page = browser.new_page(reduced_motion="reduce", **view)  # pyright: ignore[reportArgumentType]
    page.goto(address, wait_until="networkidle")
    # A view in the address is scrolled to; the picture shall begin with the page's head.
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1_000)
    page.screenshot(path=path)
    page.close()


def opening_ms(browser: Browser, address: str) -> float:
    """Return the time from opening the page until a click on a heading has sorted a table, in ms.

    It is the page's own clock, so that the browser's start and this script do not count.
    """
    page = browser.new_page()
    page.goto(address, wait_until="commit")
    button = page.locator("[data-table] button.sort").first
    button.click()
    page.locator("th[aria-sort]").first.wait_for()
    elapsed = float(page.evaluate("performance.now()"))
    page.close()
    return elapsed


if __name__ == "__main__":
    main()
