"""How fast a report opens, zooms and changes its picture, and what making it takes.

    python tests/benchmarks/report_speed.py runs/kodak
    python tests/benchmarks/many_pictures.py many --kept 5000
    python tests/benchmarks/report_speed.py many

Makes the report of a copy of the run folder twice (without and with what the first has left), then
opens it in headless Chromium. Needs the package playwright; `--chromium` names the browser where
it is not /usr/bin/chromium. Prints a Markdown table; a time is the median of ROUNDS.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROUNDS = 5
MADE = ("viewer", "thumbnails", "plots", "tables", "report.html")
"""What a report is made of, below the run folder."""

INTERACTIVE = """new MutationObserver((_, observer) => {
  if (!document.querySelector('[data-table="scores"] tbody tr')) return;
  observer.disconnect();
  document.querySelector('[data-table="scores"] button.sort').click();
  requestAnimationFrame(() => setTimeout(() => { window.sortedAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });"""
"""Notes the page's own clock once a click on a heading has sorted the table of all scores, and that
has been drawn; it is in the page, so that no time of this script counts."""

DRAWN = """() => [...document.querySelectorAll(".viewer-layer img[src]")]
  .every((image) => image.complete && image.naturalWidth)
  && document.getElementById("viewer-status").textContent.includes(" · zoom ")"""

NEXT = """() => new Promise((resolve) => {
  const named = () => document.querySelector("#viewer-pictures [aria-current]").title;
  const [before, began] = [named(), performance.now()];
  const isDrawn = (id) => ["a", "b"].every((side) => {
    const image = document.querySelector(`#viewer-pane-${side} img`);
    return image.alt.endsWith(` of ${id}`) && image.complete && image.naturalWidth;
  });
  function look() {
    if (named() !== before && isDrawn(named())) return resolve(performance.now() - began);
    requestAnimationFrame(look);
  }
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "n", bubbles: true }));
  look();
})"""
"""How long it takes from asking for the next picture until A and B of it are drawn, in ms."""

FRAMES = """(seconds) => new Promise((resolve) => {
  const stage = document.getElementById("viewer-stage");
  const box = stage.getBoundingClientRect();
  const [clientX, clientY] = [box.left + box.width / 3, box.top + box.height / 3];
  const frames = [];
  function step(now) {
    frames.push(now);
    if (now - frames[0] > 1000 * seconds) {
      const times = frames.slice(1).map((at, place) => at - frames[place]).sort((a, b) => a - b);
      return resolve([1000 * times.length / (now - frames[0]),
        1000 / times[Math.floor(0.95 * times.length)]]);
    }
    // In and out again: a wheel's notch a frame.
    const deltaY = Math.floor((now - frames[0]) / 1000) % 2 ? 40 : -40;
    stage.dispatchEvent(new WheelEvent("wheel", {
      deltaY, clientX, clientY, bubbles: true, cancelable: true }));
    requestAnimationFrame(step);
  }
  requestAnimationFrame(step);
})"""
ZOOM_S = 4


def report_times(run: Path) -> tuple[float, float]:
    """Return how long `vaebench report` takes in seconds: at first, and with its files there."""
    for name in MADE:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    times_s: list[float] = []
    for _ in range(2):
        began = perf_counter()
        subprocess.run([Path(sys.executable).with_name("vaebench"), "report", run], check=True)
        times_s.append(perf_counter() - began)
    return times_s[0], times_s[1]


def size_of(run: Path) -> dict[str, str]:
    """Return the page's bytes, and the files and bytes of all that a report is made of."""
    files = [path for name in MADE for path in (run / name).rglob("*") if path.is_file()]
    page_bytes = (run / "report.html").stat().st_size
    total_bytes = page_bytes + sum(path.stat().st_size for path in files)
    return {
        "report.html": f"{page_bytes / 1000:.0f} kB",
        "the report's files": f"{len(files) + 1}, {total_bytes / 1e6:.1f} MB",
    }


def opened(browser: Browser, run: Path, script: str = "") -> Page:
    """Open the report of a run, with a script that runs before its own; return at once."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.add_init_script(script)
    page.goto((run / "report.html").resolve().as_uri(), wait_until="commit")
    return page


def opening_ms(browser: Browser, run: Path) -> float:
    """Return the time from opening the page until its table of all scores has been sorted."""
    page = opened(browser, run, INTERACTIVE)
    page.wait_for_function("() => window.sortedAt")
    elapsed = float(page.evaluate("sortedAt"))
    page.close()
    return elapsed


def looked_at(browser: Browser, run: Path) -> dict[str, str]:
    """Return how the viewer does: the next picture, frames a second while zooming."""
    page = opened(browser, run)
    if not page.locator("#viewer").count():
        return {}
    page.wait_for_function(DRAWN)
    page.locator("#viewer").scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)
    changes_ms = [page.evaluate(NEXT) for _ in range(ROUNDS)]
    zooms = [page.evaluate(FRAMES, ZOOM_S) for _ in range(ROUNDS)]
    nodes = page.evaluate("document.querySelectorAll('*').length")
    page.close()
    mean, slow = (median(found[place] for found in zooms) for place in range(2))
    return {
        "next picture": f"{median(changes_ms):.0f} ms",
        "zooming": f"{mean:.0f} frames a second (19 of 20 frames at {slow:.0f} or more)",
        "elements of the page": str(nodes),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as below, sync_playwright() as playwright:
        run = Path(below) / given.run.resolve().name
        shutil.copytree(given.run, run)
        first_s, again_s = report_times(run)
        browser = playwright.chromium.launch(
            executable_path=given.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        opening = median(opening_ms(browser, run) for _ in range(ROUNDS))
        found = {
            "vaebench report": f"{first_s:.1f} s, again {again_s:.1f} s",
            **size_of(run),
            "opens to a sorted table": f"{opening:.0f} ms",
            **looked_at(browser, run),
        }
        browser.close()
    print(f"| {given.run.name} | |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
