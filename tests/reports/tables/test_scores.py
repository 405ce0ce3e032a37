"""All scores in the page's compact form: every number once, in its place, as it is read."""

from __future__ import annotations

import json
import math
from typing import Any

from vaebench.reports.tables.columns import quality_columns, rate_columns
from vaebench.reports.tables.scores import score_table


def rows_of(table: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, str]]:
    """Unpack the table as the page's script does."""
    codecs = table["codecs"]
    columns = [text.split(" ") for text in table["values"]]
    names = [column["variant"] for column in table["columns"]]
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in range(len(columns[0])):
        place = 2 * (row // len(codecs))
        picture = table["pictures"][table["places"][place]]
        region = table["regions"][table["places"][place + 1]][0]
        values = [column[row] for column in columns]
        rows[picture, region, codecs[row % len(codecs)]] = dict(zip(names, values, strict=True))
    return rows


def test_every_score_is_in_its_row(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    table = score_table(run)
    rows = rows_of(json.loads(json.dumps(table)))
    columns = {column.variant: column for column in (*quality_columns(run), *rate_columns(run))}
    assert len(rows) == (3 + 3) * 3
    for _, score in run.scores.iterrows():
        text = rows[score["image_id"], score["region"], score["codec"]][score["variant"]]
        if math.isnan(score["value"]):
            assert text in (table["missing"], "–")
        else:
            assert text == columns[score["variant"]].number(score["value"])
    assert table["regions"][0] == ["whole", "whole"]
    assert ["left-eye", "eye"] in table["regions"]
    assert [column["better"] for column in table["columns"]][:2] == [1, 1]
    assert table["first"] == 0


def test_a_region_s_gap_is_to_its_own_picture(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    rows = rows_of(score_table(run))
    scores = run.scores.set_index(["image_id", "codec", "region", "variant"])["value"]
    for (picture, region, codec), values in rows.items():
        gap = values["psnr/rgb8 to whole"]
        if region == "whole":
            assert gap == "–"
            continue
        own = scores[picture, codec, region, "psnr/rgb8"]
        assert gap == f"{own - scores[picture, codec, 'whole', 'psnr/rgb8']:+.2f}"


def test_an_identical_picture_is_infinite_and_gives_no_gap(make_run: Any, photo_spec: Any) -> None:
    photo_spec.fixed = {("cat.png", "vae"): math.inf}
    rows = rows_of(score_table(make_run(photo_spec)))
    assert rows["cat.png", "whole", "vae"]["psnr/rgb8"] == "inf"
    assert rows["cat.png", "nose", "vae"]["psnr/rgb8 to whole"] == "?"


def test_thousands_of_pictures_cost_few_bytes_a_number(make_run: Any, photo_spec: Any) -> None:
    pixels = photo_spec.pixels["cat.png"][:8, :8]
    photo_spec.pixels = {f"picture-{number:04}.png": pixels for number in range(200)}
    photo_spec.regions, photo_spec.keep = (), lambda image_id: False
    table = score_table(make_run(photo_spec))
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    numbers = sum(len(column.split(" ")) for column in table["values"])
    assert numbers == 200 * 3 * len(table["columns"])
    assert len(text.encode()) < 8 * numbers
