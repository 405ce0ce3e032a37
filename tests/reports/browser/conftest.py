"""A browser, pages in it that may ask nobody for anything, and the report of a real Kodak run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.bench.suite import Suite
from vaebench.reports.pages.made import Made
from vaebench.reports.pages.run import write_html
from vaebench.reports.plots.rate import rate
from vaebench.reports.write import write_plots

PICTURES = ("kodim08.png", "kodim15.png", "kodim23.png")
OWN_SCHEMES = ("file:", "data:", "blob:")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium; skips where it or the package playwright is absent."""
    reason = "needs the package playwright; pip install playwright"
    playwright_api = pytest.importorskip("playwright.sync_api", reason=reason)
    chromium = os.environ.get("VAEBENCH_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium; apt install chromium, or name it in VAEBENCH_CHROMIUM")
    with playwright_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture
def page_of(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open the page of a run, or a file, in a fresh context: `page_of(run, "#worst", width=380)`.

    Afterwards nothing may have been asked for outside the page's folder, reported as an error
    (a breach of the page's own policy is one) or shown as a dialog.
    """
    contexts: list[Any] = []
    wrong: list[str] = []

    def opened(
        subject: StoredRun | Path,
        fragment: str = "",
        *,
        dark: bool = False,
        width: int = 1280,
        **options: Any,
    ) -> Any:
        path = subject if isinstance(subject, Path) else subject.folder / "report.html"
        settings = {"color_scheme": "dark" if dark else "light", **options}
        page = _watched(browser, path.parent, width, settings, wrong)
        contexts.append(page.context)
        page.goto(path.resolve().as_uri() + fragment, wait_until="domcontentloaded")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def _kodak_page(browser: Any, kodak_run: StoredRun) -> Iterator[tuple[Any, list[str]]]:
    wrong: list[str] = []
    page = _watched(browser, kodak_run.folder, 1280, {"color_scheme": "light"}, wrong)
    page.goto((kodak_run.folder / "report.html").as_uri(), wait_until="domcontentloaded")
    yield page, wrong
    page.context.close()


@pytest.fixture
def kodak_page(
    _kodak_page: tuple[Any, list[str]], kodak_run: StoredRun
) -> Iterator[Callable[[str], Any]]:
    """Show the one page of `kodak_run` as an address says: `kodak_page("scores.codec=webp-q50")`.

    It is not loaded anew: only the state in the address changes.
    """
    page, wrong = _kodak_page
    address = (kodak_run.folder / "report.html").as_uri()

    def shown(state: str = "scores.page=1") -> Any:
        page.goto(f"{address}#{state}")
        return page

    yield shown
    assert wrong == []


def _watched(
    browser: Any, folder: Path, width: int, options: dict[str, Any], wrong: list[str]
) -> Any:
    """Return a page in a fresh context that notes in `wrong` whatever a page must not do."""
    given = {
        "viewport": {"width": width, "height": 900},
        "permissions": ["clipboard-read", "clipboard-write"],
        "reduced_motion": "reduce",
    }
    page = browser.new_context(**{**given, **options}).new_page()
    page.set_default_timeout(20_000)
    own = folder.resolve().as_uri()
    page.on("request", lambda request: wrong.extend(_outside(request.url, own)))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    page.on(
        "console",
        lambda entry: wrong.append(f"console: {entry.text}") if entry.type == "error" else None,
    )
    return page


def _outside(url: str, folder: str) -> list[str]:
    if not url.startswith(OWN_SCHEMES):
        return [f"asked {url}"]
    return [f"left the folder: {url}"] if url.startswith("file:") and folder not in url else []


@pytest.fixture(scope="session")
def kodak_run(kodak: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """Three Kodak pictures with their regions under two codecs, and their report."""
    folder = tmp_path_factory.mktemp("browser") / "kodak"
    suite = Suite.create(
        images=[str(kodak / name) for name in PICTURES],
        regions=[str(kodak / "regions.json")],
        codecs=["jpeg:q=10", "webp:q=50"],
        metrics=["psnr"],
    )
    evaluate(suite, folder, "vaebench run …", lambda phase, done, total: None)
    run = load_run(folder)
    drawn, missing = write_plots(folder, {"rate": rate}, run)
    write_html(run, Made(drawn, missing))
    return run
