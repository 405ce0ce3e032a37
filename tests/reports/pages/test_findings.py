"""Sentences about regions say what the tables say."""

from __future__ import annotations

from typing import Any

import pytest
from vaebench.reports.pages import findings
from vaebench.reports.tables.columns import Column

PSNR = Column("psnr", "psnr/rgb8", "dB", True)
FLIP = Column("flip", "flip/ppd67", "", False)


def gap(
    codec: str, region: str, size: float, kind: str = "eye", column: Column = PSNR
) -> findings.Gap:
    return findings.Gap(column, codec, kind, region, "a.png", 2, 30 + size, 30.0, size)


def test_a_kind_s_sentence_starts_with_the_largest_loss() -> None:
    found = [gap("jpeg", "", -3.04), gap("vae", "", -9.32), gap("webp", "", 0.5)]
    assert findings.sentences(found) == [
        "Eyes (2 regions): 9.32 dB below the whole picture with vae, 3.04 dB with jpeg, "
        "0.50 dB above with webp."
    ]


def test_for_a_distance_above_is_worse() -> None:
    found = [gap("vae", "e", 0.2, column=FLIP), gap("jpeg", "e", -0.1, column=FLIP)]
    deepest = findings.deepest_region(found)
    assert deepest is not None
    assert (deepest.codec, deepest.loss) == ("vae", 0.2)
    assert deepest.phrase == "0.2000 above the whole picture"


def test_the_headline_is_an_eye_where_there_is_one() -> None:
    found = [gap("vae", "e", -2.0), gap("vae", "sign", -9.0, kind="text")]
    deepest = findings.deepest_region(found)
    assert deepest is not None
    assert deepest.region == "e"
    assert findings.deepest_region([]) is None


def test_the_deepest_region_s_picture_has_its_own_sentence() -> None:
    elsewhere = findings.Gap(PSNR, "vae", "eye", "left-eye", "b.png", 1, 33.0, 30.0, 3.0)
    found = [
        gap("vae", "", -2.0),
        gap("vae", "left-eye", -9.5),
        gap("vae", "right-eye", -6.8),
        gap("jpeg", "left-eye", -1.0),
        gap("jpeg", "right-eye", -2.0),
        elsewhere,
    ]
    assert findings.picture_sentence(found, found[1]) == (
        "In a.png, eyes (2 regions): 8.15 dB below the whole picture with vae, 1.50 dB with jpeg."
    )


def test_gaps_come_from_the_run(make_run: Any, photo_spec: Any) -> None:
    run = make_run(photo_spec)
    column = findings.region_column(run)
    assert column == PSNR
    found = findings.gaps(run, column)
    scores = run.scores.set_index(["image_id", "codec", "region", "variant"])["value"]
    eye = next(one for one in found if one.region == "left-eye" and one.codec == "vae")
    expected = scores["cat.png", "vae", "left-eye", "psnr/rgb8"]
    expected -= scores["cat.png", "vae", "whole", "psnr/rgb8"]
    assert eye.gap == pytest.approx(expected)
