"""The lines that tell of a finished sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from vaebench.bench.cli.listing import _of_no_picture, list_images, list_rd
from vaebench.bench.rate.store import StoredRd


def sweep(bd: list[dict[str, Any]], **record: Any) -> StoredRd:
    columns = pd.Index(["codec", "metric", "bd_rate_percent", "note"])
    told: dict[str, Any] = {
        "anchor": "jpeg",
        "unavailable": [],
        "failures": [],
        "skipped": [],
        **record,
    }
    nothing = pd.DataFrame()
    table = pd.DataFrame(bd, columns=columns)
    return StoredRd(Path("sweep"), told, nothing, table, nothing, nothing, nothing)


def test_a_codec_has_a_line_of_bd_rates_and_refusals_their_reasons() -> None:
    bd = [
        {"codec": "avif", "metric": "psnr/rgb8", "bd_rate_percent": -41.23, "note": ""},
        {"codec": "avif", "metric": "flip/67ppd", "bd_rate_percent": float("nan"), "note": "apart"},
        {"codec": "webp", "metric": "psnr/rgb8", "bd_rate_percent": 3.0, "note": ""},
    ]
    assert list(list_rd(sweep(bd))) == [
        "BD-rate of avif against jpeg: psnr -41.2 %, flip refused",
        "BD-rate of webp against jpeg: psnr +3.0 %",
        "  refused: avif, flip/67ppd: apart",
    ]


def test_what_is_unavailable_or_failed_is_told_with_its_reason() -> None:
    unavailable = [
        {"variant": "lpips/alex-0.1", "pictures": [], "reason": "no weights"},
        {"variant": "ms-ssim/rgb", "pictures": ["a", "b"], "reason": "too small"},
    ]
    failures = [
        {"codecs": ["avif", "webp"], "pictures": ["a", "b", "c", "d", "e"], "reason": "full"},
        {"codecs": ["jpeg"], "pictures": ["a"], "reason": "odd"},
    ]
    skipped = [{"image_id": "cut.png", "reason": "truncated"}]
    found = sweep([], unavailable=unavailable, failures=failures, skipped=skipped)
    assert list(list_rd(found)) == [
        "Unavailable: lpips/alex-0.1: no weights",
        "Unavailable: ms-ssim/rgb (2 pictures): too small",
        "Failed: avif, webp on a, b, c and 2 more: full",
        "Failed: jpeg on a: odd",
        "Skipped: cut.png: truncated",
    ]


def test_regions_that_match_no_picture_are_told(tmp_path: Path) -> None:
    Image.new("RGB", (16, 12)).save(tmp_path / "a.png")
    entry = {"name": "eye", "kind": "eye", "box": [1, 1, 5, 5]}
    regions = {"a.png": [entry], **{f"{number}.png": [entry] for number in range(12)}}
    (tmp_path / "regions.json").write_text(json.dumps(regions))
    lines = list(list_images([str(tmp_path)], [str(tmp_path / "regions.json")]))
    told = [line for line in lines if "no picture in the set" in line]
    assert told[0] == "region of no picture in the set: 0.png/eye"
    assert len(told) == 11
    assert told[-1] == "and 2 more regions of no picture in the set"


def test_a_run_tells_regions_of_no_picture_on_the_terminal(tmp_path: Path) -> None:
    lines = list(_of_no_picture(("C:/x.png/eye",)))
    assert lines[0] == "region of no picture in the set: C:/x.png/eye"
