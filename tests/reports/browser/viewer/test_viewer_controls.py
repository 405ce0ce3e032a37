"""The viewer's read-out, links, keys, lists and tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vaebench.bench.store.run import StoredRun

JPEG, WEBP = "jpeg-q10", "webp-q50"
PICTURE = "kodim23.png"
NASTY_PICTURE = "<img src=x onerror=alert(1)>.png"
NASTY_REGION = "the \"quoted\" & 'single' <b>corner</b>"
AT = "picture=kodim23.png&a=reference&b=jpeg-q10&x=214&y=231&zoom=8"

Opens = Callable[..., Any]


@pytest.mark.parametrize("offset", [(-100, -60), (41, 99)])
def test_the_read_out_tells_the_values_of_the_files(look: Opens, offset: tuple[int, int]) -> None:
    view = look(AT)
    box = view.stage.bounding_box()
    view.page.mouse.move(
        box["x"] + box["width"] / 2 + offset[0], box["y"] + box["height"] / 2 + offset[1]
    )
    view.page.wait_for_timeout(60)
    x, y = (int(np.floor(at + move / 8)) for at, move in zip((214, 231), offset, strict=True))
    a, b = (view.kept(codec)[y, x].astype(int) for codec in (None, JPEG))
    apart = " ".join(f"{'−' if value < 0 else '+'}{abs(value)}" for value in b - a)
    error = float(f"{view.errors(JPEG)[y, x] / 255:.3g}")
    colours = [" ".join(map(str, value)) for value in (a, b)]
    assert view.status.split(" · ") == [
        PICTURE,
        f"x {x}, y {y}",
        f"A reference {colours[0]}",
        f"B {JPEG} {colours[1]}",
        f"B − A {apart}",
        f"FLIP {JPEG} {error:g}",
        "zoom 800 %",
    ]


def test_two_error_maps_are_read_out_as_their_metric(look: Opens) -> None:
    view = look(f"picture={PICTURE}&a=map%2Fjpeg-q10&b=map%2Fwebp-q50&x=50&y=40&zoom=4")
    one, two = (view.errors(codec)[40, 50] / 255 for codec in (JPEG, WEBP))
    words = view.status.split(" · ")
    assert words[2] == f"A {JPEG}, error map {float(f'{one:.3g}'):g}"
    assert words[3] == f"B {WEBP}, error map {float(f'{two:.3g}'):g}"
    told = float(words[4].removeprefix("B − A ").replace("−", "-"))
    assert told == pytest.approx(two - one, abs=1e-3)


def test_the_hash_restores_the_view_in_a_fresh_page(look: Opens, page_of: Opens) -> None:
    view = look(AT)
    view.page.get_by_role("combobox", name="A", exact=True).select_option(WEBP)
    view.page.get_by_role("combobox", name="B", exact=True).select_option("map/jpeg-q10")
    view.slider("Divider").fill("35")
    view.slider("Gain").fill("3")
    view.button("left-eye").click()
    view.page.keyboard.press("+")
    view.page.wait_for_timeout(700)
    address, seen = view.page.url, view.pixels()
    assert {"a=webp-q50", "b=map%2Fjpeg-q10", "divider=35", "gain=3"} <= set(
        address.partition("#")[2].split("&")
    )
    fresh = page_of(view.run.folder / "viewer.html", f"#{address.partition('#')[2]}")
    again = type(view)(fresh, view.run).ready()
    assert again.button("left-eye").get_attribute("aria-pressed") == "true"
    assert again.slider("Divider").input_value() == "35"
    assert (again.pixels() == seen).all()


def test_a_link_on_the_page_opens_the_viewer_there_and_back_leads_back(look: Opens) -> None:
    view = look(f"picture={PICTURE}&b={WEBP}&table=kept")
    view.page.evaluate(
        """(address) => {
          const link = document.createElement("a");
          link.href = address;
          link.textContent = "the eye";
          document.querySelector("main").append(link);
        }""",
        f"#picture={PICTURE}&region=left-eye&b={JPEG}",
    )
    link = view.page.get_by_role("link", name="the eye")
    link.click()
    state = view.state()
    assert (state["region"], state["b"], state["table"]) == ("left-eye", JPEG, "kept")
    assert "x 214, y 231" in view.status
    assert view.page.evaluate("document.getElementById('viewer').getBoundingClientRect().top") < 50
    view.page.wait_for_timeout(400)
    view.page.go_back()
    assert view.ready().state()["b"] == WEBP
    assert view.page.get_by_role("combobox", name="B", exact=True).input_value() == WEBP
    link.evaluate("link => link.remove()")


def test_a_link_to_a_section_stays_one(look: Opens) -> None:
    view = look(AT)
    before = view.page.evaluate("vaebenchState.all()")
    view.page.evaluate("location.hash = '#summary'")
    view.page.wait_for_timeout(400)
    assert view.page.url.endswith("#summary")
    assert view.page.evaluate("vaebenchState.all()") == before
    view.slider("Divider").fill("20")
    view.page.wait_for_timeout(400)
    assert "picture=kodim23.png" in view.page.url
    assert "divider=20" in view.page.url


def test_everything_by_keyboard(look: Opens) -> None:
    view = look(f"picture={PICTURE}")
    keyboard, reached = view.page.keyboard, list[str]()
    view.page.evaluate("document.activeElement.blur()")
    for _ in range(60):
        keyboard.press("Tab")
        if view.page.evaluate("document.activeElement === document.body"):
            break
        name = view.page.evaluate(
            """() => {
              const one = document.activeElement;
              const ring = getComputedStyle(one);
              const name = one.getAttribute("aria-label") || one.textContent.trim() || one.id;
              const isSeen = ring.outlineStyle !== "none" || one.id === "viewer-divider";
              return isSeen ? name : `no ring: ${name}`;
            }"""
        )
        reached.append(name)
        if name == "left-eye":
            keyboard.press("Enter")
        if name == "Divider":
            keyboard.press("ArrowLeft")
        if name == "Picture":
            for key in ("Shift+ArrowRight", "Shift+ArrowDown"):
                keyboard.press(key)
    assert not [name for name in reached if name.startswith("no ring")]
    for name in ("A", "B", "Swap", "Blink", "Side by side", "Overlay", "Fit", "100%", "Picture"):
        assert name in reached
    state = view.state()
    assert (state["region"], state["divider"]) == ("left-eye", "49")
    assert (float(state["x"]), float(state["y"])) == (215, 232)
    assert "x 215, y 232" in view.status


@pytest.mark.parametrize(
    ("key", "name"), [("b", "Blink"), ("s", "Side by side"), ("o", "Overlay"), ("d", "Divide")]
)
def test_a_key_chooses_how_to_compare(look: Opens, key: str, name: str) -> None:
    view = look(AT)
    view.page.evaluate("document.activeElement.blur()")
    view.page.keyboard.press(key)
    assert view.button(name).get_attribute("aria-pressed") == "true"
    pressed = view.page.locator("[data-mode][aria-pressed=true]")
    assert pressed.count() == 1


def test_letters_typed_into_a_field_are_no_keys(look: Opens) -> None:
    view = look(AT)
    search = view.page.get_by_role("searchbox", name="Find a picture")
    search.press_sequentially("bso")
    assert view.button("Divide").get_attribute("aria-pressed") == "true"
    assert view.page.get_by_role("list", name="Pictures, the worst first").inner_text() == ""
    search.fill("")


def test_names_from_users_stay_text(look: Opens) -> None:
    view = look(f"picture={PICTURE}")
    view.page.get_by_role("link", name=NASTY_PICTURE, exact=True).click()
    assert view.ready().state()["picture"] == NASTY_PICTURE
    assert view.status.startswith(NASTY_PICTURE)
    view.button(NASTY_REGION).click()
    assert view.state()["region"] == NASTY_REGION
    # One for each pane, patch, thumbnail and sheet: none that a name made.
    assert view.page.locator("img[src=x], #viewer b:text('corner')").count() == 0
    title = view.page.locator("#viewer-metrics th[scope=rowgroup]", has_text="corner")
    assert title.text_content() == f"Region {NASTY_REGION}"


def test_the_metrics_of_the_picture_and_of_the_region_in_view(
    look: Opens, viewed: StoredRun
) -> None:
    view = look(AT)
    view.page.wait_for_timeout(300)
    groups = view.page.locator("#viewer-metrics tbody")
    texts = {
        group.locator("th[scope=rowgroup]").text_content(): group.inner_text()
        for group in groups.all()
    }
    assert list(texts) == ["Whole picture", "Region left-eye", "Part on screen"]
    scores: Any = viewed.scores
    for title, region in (("Whole picture", "whole"), ("Region left-eye", "left-eye")):
        for codec in (JPEG, WEBP):
            rows = scores[
                (scores["image_id"] == PICTURE)
                & (scores["codec"] == codec)
                & (scores["region"] == region)
            ].set_index("metric")["value"]
            assert f"{rows['psnr']:.2f}" in texts[title]
            assert f"{rows['flip']:.4f}" in texts[title]
    x0, y0, x1, y1 = view.page.evaluate(
        "(() => { const [w, h] = ['clientWidth', 'clientHeight']"
        ".map((side) => document.getElementById('viewer-stage')[side] / 16);"
        " return [214 - w, 231 - h, 214 + w, 231 + h]; })()"
    )
    part = np.s_[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))]
    apart = view.kept()[part].astype(float) - view.kept(JPEG)[part]
    psnr = 10 * np.log10(255**2 / np.mean(apart**2))
    assert f"{psnr:.2f}" in texts["Part on screen"]
    assert f"{float(f'{view.errors(JPEG)[part].mean() / 255:.3g}'):g}" in texts["Part on screen"]


def test_a_worst_patch_is_flown_to(look: Opens) -> None:
    view = look(f"picture={PICTURE}&b={JPEG}")
    patch = view.page.get_by_role("button", name=re.compile(rf"^Worst patch 1 of {JPEG}: "))
    x, y = map(int, re.findall(r"[xy] (\d+)", patch.get_attribute("aria-label")))
    patch.click()
    state = view.state()
    assert (float(state["x"]), float(state["y"])) == (x + 32, y + 32)
    errors = view.errors(JPEG)
    mean = errors[y : y + 64, x : x + 64].mean() / 255
    assert f"FLIP {mean:.3g}" in patch.get_attribute("aria-label")
    assert "region" not in state
    # Each thumbnail shows its own part of the picture.
    shown = patch.locator("img").bounding_box()
    frame = patch.locator(".viewer-patch").bounding_box()
    assert (frame["x"] - shown["x"], frame["y"] - shown["y"]) == (x, y)


def test_latent_channels_are_beside_the_picture(look: Opens) -> None:
    view = look(f"picture={PICTURE}&b={JPEG}")
    sheet = view.page.get_by_role("img", name=re.compile("^jpeg-q10: 6 channels of 12 × 8"))
    sheet.scroll_into_view_if_needed()
    view.page.wait_for_function("image => image.naturalWidth > 0", arg=sheet.element_handle())
    view.page.get_by_role("combobox", name="B", exact=True).select_option(WEBP)
    assert sheet.count() == 0


def test_next_and_previous_pictures(look: Opens) -> None:
    view = look(f"picture={PICTURE}&b={JPEG}")
    current = view.page.locator("#viewer-pictures [aria-current=true]")
    view.page.evaluate("document.activeElement.blur()")
    order = view.page.locator("#viewer-pictures a").all_text_contents()
    key = "n" if order.index(PICTURE) == 0 else "p"
    view.page.keyboard.press(key)
    view.page.wait_for_timeout(100)
    assert current.text_content() == NASTY_PICTURE
    view.page.keyboard.press("p" if key == "n" else "n")
    view.page.wait_for_timeout(100)
    assert current.text_content() == PICTURE


def test_an_unknown_picture_is_said(look: Opens, viewed: StoredRun, page_of: Opens) -> None:
    page = page_of(viewed.folder / "viewer.html", "#picture=gone.png")
    page.get_by_text("gone.png is not among the pictures that were kept.").wait_for(timeout=5000)


def test_a_flight_ends_at_the_region(look: Opens) -> None:
    view = look(f"picture={PICTURE}&b={JPEG}", reduced_motion="no-preference")
    view.button("left-eye").click()
    view.page.wait_for_function("() => vaebenchState.get('x') === '214'")
    assert float(view.state()["y"]) == 231


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_window_needs_no_scrolling_sideways(look: Opens, dark: bool) -> None:
    view = look(AT, width=380, dark=dark)
    assert view.page.evaluate("document.documentElement.scrollWidth") == 380
    for name in ("Blink", "Side by side", "Overlay", "Fit", "100%", "left-eye"):
        box = view.button(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 380


def test_axe_finds_nothing_serious(look: Opens) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    found = axe.Axe().run(look(AT, dark=True).page).response["violations"]
    serious = [(entry["id"], [node["html"] for node in entry["nodes"]]) for entry in found]
    assert [entry for entry in serious if entry[0] != "page-has-heading-one"] == []
