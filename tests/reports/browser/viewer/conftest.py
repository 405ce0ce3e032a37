"""A real small run with its viewer, and what a test does and sees on the stage."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.bench.suite import Suite
from vaebench.reports.render import SCRIPT_SOURCES, page_frame, render
from vaebench.reports.viewer.viewed import viewed_run
from vaebench.reports.viewer.viewer import SCRIPTS, STYLES, viewer_view, write_viewer_files

PICTURE = "kodim23.png"
NASTY_PICTURE = "<img src=x onerror=alert(1)>.png"
NASTY_REGION = "the \"quoted\" & 'single' <b>corner</b>"
JPEG, WEBP = "jpeg-q10", "webp-q50"
EYE = (203, 220, 225, 242)
SHARED = Path(os.environ.get("VAEBENCH_SHARED", Path(__file__).resolve().parents[5] / "shared"))

_OVERLAYS = ".viewer-tag, .viewer-box, .viewer-pixel, #viewer-line, #viewer-cross, #viewer-divider"


def write_page(run: StoredRun, *, single_file: bool = False) -> Path:
    """Write a page that holds the viewer alone."""
    sources = () if single_file else SCRIPT_SOURCES
    styles = ("report.css", *STYLES)
    frame = page_frame(run.folder, SCRIPTS, styles, single_file=single_file, beside=sources)
    view = viewer_view(viewed_run(run), single_file=single_file)
    path = run.folder / ("single.html" if single_file else "viewer.html")
    path.write_text(render("viewer_page.html.j2", {**frame, "viewer": view, "title": "viewer"}))
    if not single_file:
        write_viewer_files(viewed_run(run))
    return path


@pytest.fixture(scope="session")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """Kodak's macaws (a cat where they are absent) and a picture with a dangerous name.

    Two classical codecs; beside them stand-ins for latents, as their numbers do not matter here.
    """
    folder = tmp_path_factory.mktemp("viewer")
    pictures = folder / "pictures"
    pictures.mkdir()
    Image.fromarray(_macaws()).save(pictures / PICTURE)
    y, x = np.mgrid[0:24, 0:40]
    Image.fromarray(np.stack([x * 6, y * 10, x * 3 + y], -1).astype(np.uint8)).save(
        pictures / NASTY_PICTURE
    )
    regions = {
        PICTURE: [{"name": "left-eye", "kind": "eye", "box": EYE}],
        NASTY_PICTURE: [{"name": NASTY_REGION, "kind": "text", "box": [4, 4, 20, 16]}],
    }
    (folder / "regions.json").write_text(json.dumps(regions))
    suite = Suite.create(
        images=[str(pictures)],
        regions=[str(folder / "regions.json")],
        codecs=["jpeg:q=10", "webp:q=50"],
        metrics=["psnr", "flip"],
    )
    evaluate(suite, folder / "run", "vaebench run …", lambda phase, done, total: None)
    latents = folder / "run" / "latents" / JPEG / f"{PICTURE}.npy"
    latents.parent.mkdir(parents=True)
    np.save(latents, np.random.default_rng(3).normal(size=(6, 8, 12)).astype(np.float16))
    run = load_run(folder / "run")
    write_page(run)
    return run


def _macaws() -> np.ndarray:
    real = SHARED / "images" / "kodak" / PICTURE
    if real.is_file():
        return np.asarray(Image.open(real).convert("RGB"))
    from skimage import data

    cat = data.chelsea()
    return np.ascontiguousarray(cat[: cat.shape[0] // 2 * 2, : cat.shape[1] // 2 * 2])


class Look:
    """A page with the viewer, and the pixels on its stage."""

    def __init__(self, page: Any, run: StoredRun) -> None:
        self.page = page
        self.run = run
        self.stage = page.locator("#viewer-stage")

    @property
    def status(self) -> str:
        """What the status line says."""
        return self.page.get_by_role("status").text_content()

    def button(self, name: str) -> Any:
        """Return a button of exactly this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def slider(self, name: str) -> Any:
        """Return a slider of exactly this name."""
        return self.page.get_by_role("slider", name=name, exact=True)

    def wait_for(self, condition: str, given: Any = None) -> None:
        """Wait until a function of JavaScript returns something true."""
        self.page.wait_for_function(condition, arg=given)

    def ready(self) -> Look:
        """Wait until the pictures are drawn and their pixels can be read out."""
        self.wait_for(
            """() => {
              const images = [...document.querySelectorAll(".viewer-layer img[src]")];
              const text = document.getElementById("viewer-status").textContent;
              const isDrawn = images.length && images.every((image) => image.complete);
              return isDrawn && text.includes(" · zoom ") && !text.includes("–");
            }"""
        )
        return self

    def state(self) -> dict[str, str]:
        """Return the hash's keys and values once the view has come to rest."""
        self.page.wait_for_timeout(300)
        return self.page.evaluate("vaebenchState.all()")

    def pixels(self) -> np.ndarray:
        """Return the stage as uint8 [H, W, 3], without what lies over the pictures."""
        hide = "(all, how) => all.forEach((one) => { one.style.opacity = how; })"
        overlays = self.page.locator(_OVERLAYS)
        overlays.evaluate_all(hide, "0")
        # Neither a focus ring nor a rounded corner is part of the picture.
        self.page.evaluate(
            "document.activeElement.blur();"
            "document.getElementById('viewer-frame').style.borderRadius = 0"
        )
        box = self.stage.bounding_box()
        # The page may place the stage on a part of a pixel; it is painted on the nearest whole one.
        clip = {name: round(value) for name, value in box.items()}
        data = self.page.screenshot(clip=clip)
        overlays.evaluate_all(hide, "")
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def kept(self, codec: str | None = None, picture: str = PICTURE) -> np.ndarray:
        """Return a kept picture as uint8 [H, W, 3]; None is the reference."""
        run = self.run
        path = run.reconstruction_path(codec, picture) if codec else run.reference_path(picture)
        return _read(path, "RGB")

    def errors(self, codec: str, picture: str = PICTURE) -> np.ndarray:
        """Return a kept error map as uint8 [H, W]."""
        return _read(self.run.map_path(codec, picture), "L")

    def magnified(
        self, pixels: np.ndarray, centre: tuple[float, float], zoom: float, width: float = 1.0
    ) -> np.ndarray:
        """Return what the stage must show of a picture (its left part where `width` is less).

        Pixels outside of the picture are 0; see `inside`.
        """
        box = self.stage.bounding_box()
        across, down = round(box["width"] * width), round(box["height"])
        places: list[np.ndarray] = []
        for at, side, count in ((centre[1], down, 0), (centre[0], across, 1)):
            start = round(side / 2 - at * zoom)
            place = np.floor((np.arange(side) + 0.5 - start) / zoom).astype(int)
            places.append(np.where((place >= 0) & (place < pixels.shape[count]), place, -1))
        padded = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1, *pixels.shape[2:]), np.uint8)
        padded[:-1, :-1] = pixels
        return padded[np.ix_(*places)]


def _read(path: Path | None, mode: str) -> np.ndarray:
    assert path is not None
    return np.asarray(Image.open(path).convert(mode))


@pytest.fixture(scope="module")
def shared_page(browser: Any) -> Iterator[tuple[Any, list[str]]]:
    """One page for the tests that need no other window, and what went wrong in it.

    Nobody flies there: with reduced motion each view is reached at once.
    """
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="reduce", color_scheme="light"
    )
    page, wrong = context.new_page(), list[str]()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    page.on("console", lambda entry: wrong.append(entry.text) if entry.type == "error" else None)
    page.on("request", lambda request: wrong.extend(_outside(request.url)))
    yield page, wrong
    context.close()


def _outside(url: str) -> list[str]:
    return [] if url.startswith(("file:", "data:", "blob:")) else [url]


@pytest.fixture
def look(
    shared_page: tuple[Any, list[str]], page_of: Callable[..., Any], viewed: StoredRun
) -> Iterator[Callable[..., Look]]:
    """Open the viewer at a hash: `look("picture=kodim23.png&b=webp-q50")`.

    Without options it is the shared page, in a state that the hash alone decides.
    """
    page, wrong = shared_page
    path = viewed.folder / "viewer.html"

    def opened(fragment: str = f"picture={PICTURE}", **options: Any) -> Look:
        if options:
            return Look(page_of(path, f"#{fragment}", **options), viewed).ready()
        page.mouse.move(0, 0)
        if page.url.startswith("file:"):
            # Going to where one is already changes nothing.
            page.evaluate("location.hash = '#elsewhere'")
        page.goto(f"{path.as_uri()}#{fragment}", wait_until="domcontentloaded")
        view = Look(page, viewed)
        asked = dict(parse_qsl(fragment))
        view.wait_for(
            "(asked) => Object.keys(asked).every((key) => vaebenchState.get(key) === asked[key])",
            asked,
        )
        return view.ready()

    yield opened
    assert wrong == []
