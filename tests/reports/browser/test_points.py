"""Points of a scatter that lead to their picture: under the pointer, and by keys alone."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from vaebench.reports.plots.points import points_of
from vaebench.reports.plots.rate import rate
from vaebench.reports.tables.run import whole_values


def points(run: Any) -> Any:
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    found = re.search(r'id="points-rate">(.*?)</script>', page)
    assert found
    return json.loads(found.group(1))


def test_a_point_lies_where_its_numbers_are_drawn(kodak_run: Any) -> None:
    (plot,) = rate(kodak_run)
    found = points_of(plot.figure)
    assert found is not None
    places = [list(place) for place in found.places]
    assert {"addresses": list(found.addresses), "places": places} == points(kodak_run)
    axis, size = plot.figure.axes[0], (plot.figure.bbox.width, plot.figure.bbox.height)
    left, bottom = axis.transAxes.transform((0, 0)) / size
    right, top = axis.transAxes.transform((1, 1)) / size
    quality = whole_values(kodak_run, "psnr/rgb8")
    bits = whole_values(kodak_run, "bpp/measured")
    (least, most), (lowest, highest) = axis.get_xlim(), axis.get_ylim()
    for x, y, number in found.places:
        image_id, codec = re.findall(r"picture=(.*)&a=.*&b=(.*)", found.addresses[number])[0]
        across = math.log(bits[codec][image_id] / least) / math.log(most / least)
        up = (quality[codec][image_id] - lowest) / (highest - lowest)
        assert abs(x / 100 - (left + across * (right - left))) < 1e-3
        assert abs(1 - y / 100 - (bottom + up * (top - bottom))) < 1e-3


def test_the_svg_itself_leads_to_the_page(kodak_run: Any) -> None:
    svg = (kodak_run.folder / "plots" / "rate.svg").read_text(encoding="utf-8")
    links = re.findall(r'<a xlink:href="\.\./report\.html#picture=([^&"]+)&amp;a=reference', svg)
    assert sorted(links) == sorted(2 * ["kodim08.png", "kodim15.png", "kodim23.png"])


def test_a_point_under_the_pointer_opens_its_picture(kodak_page: Any, kodak_run: Any) -> None:
    found = points(kodak_run)
    place = next(p for p in found["places"] if "kodim15" in found["addresses"][p[2]])
    page = kodak_page()
    layer = page.locator("[data-points]")
    size = layer.bounding_box()
    spot = {
        "x": place[0] / 100 * size["width"] + 3,
        "y": place[1] / 100 * size["height"] - 2,
    }
    layer.hover(position=spot)
    link = layer.get_by_role("link", name=re.compile("^kodim15.png · "))
    assert link.evaluate("link => getComputedStyle(link).opacity") == "1"
    layer.click(position=spot)
    page.wait_for_timeout(400)
    assert found["addresses"][place[2]][1:] in page.evaluate("location.hash")
    assert page.get_by_role("link", name="kodim15.png").first.get_attribute("aria-current")


def test_points_are_reached_by_keys_alone(kodak_page: Any) -> None:
    page = kodak_page()
    link = page.locator("[data-points] a.point")
    link.focus()
    names = []
    for _ in range(6):
        names.append(link.get_attribute("aria-label"))
        page.keyboard.press("ArrowRight")
    assert {name.split(", ")[-1] for name in names} == {f"point {n} of 6" for n in range(1, 7)}
    page.keyboard.press("ArrowLeft")
    assert link.get_attribute("aria-label") == names[-1]
    picture = names[-1].split(" · ")[0]
    page.keyboard.press("Enter")
    page.wait_for_timeout(400)
    assert f"picture={picture}&" in page.evaluate("location.hash") + "&"
