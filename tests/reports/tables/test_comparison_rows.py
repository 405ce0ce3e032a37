"""Numbers of a row: digits that tell the interval, words for what is absent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.reports.tables.columns import Column
from vaebench.reports.tables.comparison_rows import ComparedRow, compared_rows, place_of


def only(comparison: Any) -> ComparedRow:
    (found,) = compared_rows(comparison)
    return found


def test_a_row_is_read_in_the_metrics_digits(make_comparison: Any, make_row: Any) -> None:
    found = only(make_comparison([make_row()]))
    assert found.quantity == "+0.42 dB PSNR [0.31, 0.55]"
    assert (found.p_text, found.won, found.detectable) == ("< 0.001", "87.5 %", "0.17")
    assert found.gain == 0.42


def test_a_tiny_difference_keeps_the_digits_that_tell_it(
    make_comparison: Any, make_row: Any
) -> None:
    tiny = make_row(mean_diff=-0.00031, ci_low=-0.00095, ci_high=0.00033, verdict="same")
    found = only(make_comparison([tiny]))
    assert (found.difference, found.interval) == ("-0.00031", "[-0.00095, 0.00033]")
    assert found.verdict_text == "same within ±0.1 dB"
    smaller = make_row(mean_diff=3e-9, ci_low=-1e-9, ci_high=7e-9)
    assert only(make_comparison([smaller])).interval == "[-1.0e-09, 7.0e-09]"


def test_no_difference_at_all_is_zero_without_a_sign(make_comparison: Any, make_row: Any) -> None:
    nothing = {"mean_diff": 0.0, "ci_low": 0.0, "ci_high": 0.0, "smallest_detectable": 0.0}
    found = only(make_comparison([make_row(**nothing)]))
    assert (found.difference, found.interval) == ("0.00", "[0.00, 0.00]")


def test_what_could_not_be_had_is_a_dash(make_comparison: Any, make_row: Any) -> None:
    absent: dict[str, Any] = dict.fromkeys(
        ("mean_diff", "ci_low", "ci_high", "smallest_detectable", "share_won", "margin")
    )
    found = only(make_comparison([make_row(**absent)]))
    assert found.mean_diff is None
    assert found.gain is None
    assert {found.difference, found.interval, found.won, found.margin_text} == {"–"}


def test_most_pictures_lossless_are_counted_instead_of_a_mean(
    make_comparison: Any, make_row: Any
) -> None:
    row = make_row(mean_diff=None, ci_low=None, ci_high=None, n_images=17, share_won=16.5 / 17)
    comparison = make_comparison([row])
    key = {name: str(row[name]) for name in ("codec", "region", "variant")}
    behind = pd.DataFrame({"difference": [math.inf] * 16 + [0.0]}).assign(**key)
    found = only(replace(comparison, per_image=behind))
    assert found.difference == "lossless on 16 of 17"
    assert found.quantity == "lossless on 16 of 17 (PSNR)"
    behind["difference"] = [math.inf] * 10 + [-math.inf] * 7
    found = only(replace(comparison, per_image=behind))
    assert found.difference == "lossless on 10 and the baseline lossless on 7 of 17"


def test_less_of_an_error_is_a_gain(make_comparison: Any, make_row: Any) -> None:
    found = only(make_comparison([make_row("lpips/alex-0.1", mean_diff=-0.01)]))
    assert found.gain == 0.01
    assert found.margin_text == "±0.002"


def test_places_are_words() -> None:
    assert place_of("whole") == "over whole pictures"
    assert place_of("eye") == "at the eyes"
    assert place_of("text") == "at the text"


@given(
    middle=st.floats(-1e3, 1e3),
    half=st.floats(1e-6, 1e2),
)
def test_the_printed_interval_is_the_interval_to_two_digits(middle: float, half: float) -> None:
    column = Column("psnr", "psnr/rgb8", "dB", True)
    found = ComparedRow(
        "a", "b", "whole", column, 9, middle, middle - half, middle + half, 0.1, 1.0,
        "undecided", 0.5, 0.1, 30.0, 30.0, "",
    )  # fmt: skip
    low, high = (float(text) for text in found.interval.strip("[]").split(", "))
    assert (high - low) / 2 == pytest.approx(half, rel=0.11)
    assert math.isclose((low + high) / 2, middle, abs_tol=0.1 * half + 1e-9)
