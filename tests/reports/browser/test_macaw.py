"""What a stranger does: find the macaw's eye, blink it, say which codec is worse, pass it on.

By the names that a reader or a screen reader is told alone, from the first screen of the page.
"""

from __future__ import annotations

import re
from typing import Any

WAIT_MS = 5_000


def numbers_of_the_eye(page: Any) -> dict[str, float]:
    """Return the PSNR of the region in view by codec, as the viewer's table says it."""
    table = page.get_by_role("table", name="Metrics of the picture and of the region in view")
    eye = table.get_by_role("rowgroup").filter(has_text="Region left-eye")
    eye.wait_for(timeout=WAIT_MS)
    row = eye.get_by_role("row", name=re.compile(r"^PSNR"))
    # The letters that mark A and B stand beside a codec's name.
    heads = [head.get_attribute("title") for head in table.get_by_role("columnheader").all()]
    cells = [float(cell.inner_text()) for cell in row.get_by_role("cell").all()]
    return dict(zip((head for head in heads if head), cells, strict=True))


def test_the_eye_is_found_blinked_and_judged(page_of: Any, kodak_run: Any) -> None:
    page = page_of(kodak_run)
    # 1: the headline names the place and the codec that lose most.
    page.get_by_role("link", name="Look at it").click()
    chip = page.get_by_role("button", name="left-eye", exact=True)
    chip.and_(page.locator("[aria-pressed=true]")).wait_for(timeout=WAIT_MS)
    status = page.get_by_role("status")
    status.filter(has_text="kodim23.png · x 214, y 231").wait_for(timeout=WAIT_MS)
    stage = page.get_by_role("application", name="Picture")
    shown, window = stage.bounding_box(), page.viewport_size
    assert shown["y"] >= 0
    assert shown["y"] + shown["height"] <= window["height"]
    # 2: the other codec in the reference's place, B being the one that the headline blames.
    page.get_by_role("combobox", name="A", exact=True).select_option("webp-q50")
    # 3: blink.
    page.get_by_role("button", name="Blink", exact=True).click()
    for tag in ("A webp-q50", "B jpeg-q10", "A webp-q50"):
        stage.get_by_text(tag).filter(visible=True).wait_for(timeout=WAIT_MS)
    # The numbers beside it say which is worse, and agree with what was scored.
    found = numbers_of_the_eye(page)
    scores = kodak_run.scores
    eye = scores[
        (scores["image_id"] == "kodim23.png")
        & (scores["region"] == "left-eye")
        & (scores["variant"] == "psnr/rgb8")
    ].set_index("codec")["value"]
    assert found == {codec: round(value, 2) for codec, value in eye.items()}
    assert min(found, key=lambda codec: found[codec]) == "jpeg-q10"
    page.wait_for_timeout(400)
    again = page_of(kodak_run, "#" + page.url.partition("#")[2])
    again.get_by_role("status").filter(has_text="x 214, y 231").wait_for(timeout=WAIT_MS)
    pressed = {
        name: again.get_by_role("button", name=name, exact=True).get_attribute("aria-pressed")
        for name in ("left-eye", "Blink")
    }
    assert pressed == {"left-eye": "true", "Blink": "true"}
    assert again.get_by_role("combobox", name="A", exact=True).input_value() == "webp-q50"
    assert again.get_by_role("combobox", name="B", exact=True).input_value() == "jpeg-q10"
    assert numbers_of_the_eye(again) == found


def test_the_eye_is_found_by_its_region_too(page_of: Any, kodak_run: Any) -> None:
    page = page_of(kodak_run)
    # The page opens at the picture whose region loses most.
    page.get_by_role("button", name="left-eye", exact=True).click()
    page.get_by_role("status").filter(has_text="x 214, y 231").wait_for(timeout=WAIT_MS)
    page.get_by_role("button", name="Blink", exact=True).click()
    assert set(numbers_of_the_eye(page)) == {"jpeg-q10", "webp-q50"}
