"""What the stage shows: measured on its pixels."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

JPEG, WEBP = "jpeg-q10", "webp-q50"
PICTURE = "kodim23.png"
AT = "picture=kodim23.png&a=reference&b=jpeg-q10&x=214&y=231&zoom=8"
CENTRE = (214.0, 231.0)

Opens = Callable[..., Any]


def same(seen: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of pixels that are equal in all bands."""
    return float((seen == expected).reshape(*seen.shape[:2], -1).all(-1).mean())


@pytest.mark.parametrize("divider", [0, 30, 100])
def test_the_divider_parts_a_from_b_with_crisp_pixels(look: Opens, divider: int) -> None:
    view = look(AT)
    view.slider("Divider").fill(str(divider))
    seen = view.pixels()
    line = round(seen.shape[1] * divider / 100)
    a = view.magnified(view.kept(), CENTRE, 8)
    b = view.magnified(view.kept(JPEG), CENTRE, 8)
    # A pixel on either side of the line may be mixed of both.
    if divider:
        assert same(seen[:, : line - 1], a[:, : line - 1]) == 1
    if divider < 100:
        assert same(seen[:, line + 1 :], b[:, line + 1 :]) == 1
        assert same(a[:, line + 1 :], b[:, line + 1 :]) < 0.5


def test_dragging_the_line_moves_the_divider(look: Opens) -> None:
    view = look(AT)
    box = view.stage.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 120
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + box["width"] / 4, y, steps=4)
    view.page.mouse.up()
    assert view.slider("Divider").input_value() == "25"
    assert view.state()["x"] == "214"


def test_blinking_alternates_between_a_and_b(look: Opens) -> None:
    view = look(AT)
    a = view.magnified(view.kept(), CENTRE, 8)
    b = view.magnified(view.kept(JPEG), CENTRE, 8)
    view.button("Blink").click()
    view.slider("Blink rate").fill("4")
    shown: list[str] = []
    for _ in range(12):
        seen = view.pixels()
        shown.append("a" if same(seen, a) == 1 else "b" if same(seen, b) == 1 else "neither")
        view.page.wait_for_timeout(90)
    assert set(shown) == {"a", "b"}
    changes = sum(one != other for one, other in itertools.pairwise(shown))
    assert changes >= 2
    view.page.keyboard.press("b")
    assert view.button("Blink").get_attribute("aria-pressed") == "false"


def test_side_by_side_panes_move_as_one(look: Opens) -> None:
    view = look(f"{AT}&mode=side")
    box = view.stage.bounding_box()
    x, y = box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    view.page.mouse.move(x - 80, y + 40, steps=4)
    view.page.mouse.up()
    seen, centre = view.pixels(), (214 + 80 / 8, 231 - 40 / 8)
    half = seen.shape[1] // 2
    assert same(seen[:, :half], view.magnified(view.kept(), centre, 8, width=0.5)[:, :half]) > 0.99
    b = view.magnified(view.kept(JPEG), centre, 8, width=0.5)
    assert same(seen[:, -half:], b[:, -half:]) > 0.99


def test_side_by_side_is_stacked_where_that_is_larger(look: Opens) -> None:
    view = look(f"picture={PICTURE}&mode=side", width=380)
    boxes = [view.page.locator(f"#viewer-pane-{side}").bounding_box() for side in ("a", "b")]
    assert boxes[0]["x"] == boxes[1]["x"]
    assert boxes[1]["y"] == pytest.approx(boxes[0]["y"] + boxes[0]["height"], abs=1)


def colours_of(view: Any) -> tuple[np.ndarray, float]:
    """Return the scale's colours uint8 [256, 3] and how many steps a grey level is."""
    errors = view.page.evaluate(
        "JSON.parse(document.getElementById('viewer-data').textContent).errors"
    )
    colours = np.frombuffer(bytes.fromhex(errors["colours"]), np.uint8).reshape(256, 3)
    return colours, errors["max"] / errors["top"]


def places(errors: np.ndarray, steps: float) -> np.ndarray:
    return np.minimum(255, np.floor(errors * steps + 0.5)).astype(int)


def test_an_error_map_is_shown_in_the_colours_of_its_scale(look: Opens) -> None:
    view = look(f"picture={PICTURE}&a=map%2Fjpeg-q10&x=214&y=231&zoom=8&divider=100")
    colours, steps = colours_of(view)
    errors = view.magnified(view.errors(JPEG), CENTRE, 8)
    seen = view.pixels()[:, :-2].astype(int)
    assert np.abs(seen - colours[places(errors, steps)][:, :-2]).max() <= 2


@pytest.mark.parametrize("gain", [1, 8])
def test_the_overlay_lays_the_errors_of_b_over_a(look: Opens, gain: int) -> None:
    view = look(f"{AT}&mode=overlay")
    view.slider("Gain").fill(str(gain))
    colours, steps = colours_of(view)
    place = places(view.magnified(view.errors(JPEG), CENTRE, 8), steps * gain)
    opacity = place[..., None] / 255
    expected = colours[place] * opacity + view.magnified(view.kept(), CENTRE, 8) * (1 - opacity)
    assert np.abs(view.pixels() - expected).max() <= 3


def test_a_region_is_flown_to_and_outlined(look: Opens) -> None:
    view = look()
    view.button("left-eye").click()
    state = view.state()
    assert state["region"] == "left-eye"
    assert (float(state["x"]), float(state["y"])) == CENTRE
    zoom = float(state["zoom"])
    assert zoom > 4
    box, mark = view.stage.bounding_box(), view.page.locator("#viewer-pane-a .viewer-box")
    outline = mark.bounding_box()
    assert outline["width"] == pytest.approx(22 * zoom, abs=2)
    middle = outline["x"] + outline["width"] / 2 - box["x"]
    assert middle == pytest.approx(box["width"] / 2, abs=2)
    view.slider("Divider").fill("100")
    seen, expected = view.pixels(), view.magnified(view.kept(), CENTRE, zoom)
    assert same(seen[:, :-2], expected[:, :-2]) > 0.97


def test_the_wheel_zooms_about_the_pointer(look: Opens) -> None:
    view = look()
    box = view.stage.bounding_box()
    view.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
    before = view.status.split(" · ")
    for _ in range(12):
        view.page.mouse.wheel(0, -120)
    view.page.wait_for_timeout(200)
    after = view.status.split(" · ")
    # The view stands on whole device pixels: the pointer may be that much off.
    x, y, was_x, was_y = (int(place) for place in re.findall(r"[xy] (\d+)", after[1] + before[1]))
    assert max(abs(x - was_x), abs(y - was_y)) <= 1
    assert float(after[-1].removeprefix("zoom ").removesuffix(" %")) > 400
    for _ in range(40):
        view.page.mouse.wheel(0, -120)
    assert float(view.state()["zoom"]) == 32
    for _ in range(40):
        view.page.mouse.wheel(0, 120)
    assert "zoom" not in view.state()


def test_dragging_pans_by_as_many_pixels_as_the_pointer_passes(look: Opens) -> None:
    view = look(f"{AT}&divider=100")
    box = view.stage.bounding_box()
    view.page.mouse.move(box["x"] + 200, box["y"] + 200)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 120, box["y"] + 240, steps=5)
    view.page.mouse.up()
    state = view.state()
    assert (float(state["x"]), float(state["y"])) == (214 + 10, 231 - 5)


def test_a_pinch_zooms_and_a_finger_pans(look: Opens) -> None:
    view = look(AT, has_touch=True)
    box = view.stage.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = view.page.context.new_cdp_session(view.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": finger} for finger, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    send("touchStart", (x - 40, y), (x + 40, y))
    for reach in range(40, 81, 8):
        send("touchMove", (x - reach, y), (x + reach, y))
    send("touchEnd")
    state = view.state()
    assert float(state["zoom"]) == pytest.approx(16, rel=0.02)
    assert float(state["x"]) == pytest.approx(214, abs=0.5)
    send("touchStart", (x + 100, y + 60))
    send("touchMove", (x + 100, y + 140))
    send("touchEnd")
    assert float(view.state()["y"]) == pytest.approx(231 - 5, abs=0.6)


def test_fit_shows_a_small_picture_in_equal_pixels(look: Opens) -> None:
    nasty = "<img src=x onerror=alert(1)>.png"
    view = look(f"picture={quote(nasty)}&b={JPEG}&divider=100")
    small = view.kept(picture=nasty)
    zoom = int(
        min(
            side / count
            for side, count in zip(view.pixels().shape[:2], small.shape[:2], strict=True)
        )
    )
    assert zoom > 4
    expected = view.magnified(small, (small.shape[1] / 2, small.shape[0] / 2), zoom)
    inside = expected.any(-1)
    assert (view.pixels()[inside] == expected[inside]).all()


def test_fit_and_a_hundred_per_cent(look: Opens) -> None:
    view = look(AT)
    view.button("Fit").click()
    assert "zoom" not in view.state()
    box = view.stage.bounding_box()
    shown = view.page.locator("#viewer-pane-a img").bounding_box()
    height, width = view.kept().shape[:2]
    fit = min(box["width"] / width, box["height"] / height)
    # Enlarged, it is enlarged by a whole number.
    assert shown["width"] / width == pytest.approx(np.floor(fit) if fit >= 1 else fit)
    view.button("100%").click()
    assert view.state()["zoom"] == "1"
    assert view.page.locator("#viewer-pane-a img").bounding_box()["width"] == width
