"""Numbers for reading keep their value, their digits, and never an exponent."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.reports.tables.reading import (
    byte_count,
    count_span,
    listed,
    milliseconds,
    share,
    significant,
    span,
)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (66.6667, 3, "66.7"),
        (1234.4, 3, "1234"),
        (0.012345, 3, "0.0123"),
        (9.9996, 4, "10.00"),
        (0.09996, 3, "0.100"),
        (99.96, 3, "100"),
        (0.0, 3, "0"),
        (None, 3, "–"),
    ],
)
def test_significant_digits(value: float | None, digits: int, text: str) -> None:
    assert significant(value, digits) == text


@given(st.floats(1e-6, 1e9), st.integers(2, 6))
def test_a_number_is_near_its_text(value: float, digits: int) -> None:
    text = significant(value, digits)
    assert re.fullmatch(r"\d+(\.\d+)?", text)
    assert float(text) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))


def test_times_have_four_digits_and_no_more_than_microseconds() -> None:
    assert [milliseconds(ms) for ms in (0.05321, 1.04712, 12.3456, 1234.56, None)] == [
        "0.053",
        "1.047",
        "12.35",
        "1235",
        "–",
    ]


def test_bytes_are_binary_with_their_unit() -> None:
    assert byte_count(3 * 2**29) == "1.50 GiB"
    assert byte_count(366 * 2**20) == "366 MiB"
    assert byte_count(None) == "–"


def test_shares_and_spans() -> None:
    assert share(0.16945) == "16.9 %"
    assert share(None) == "–"
    assert span([1980.0, 1410.0, 1755.0], 4) == "1410 to 1980"
    assert span([61.0, 61.0]) == "61.0"
    assert count_span([50, 10]) == "10 to 50"
    assert count_span([50, 50]) == "50"


def test_a_long_list_says_how_many_more() -> None:
    assert listed(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"
    assert listed(["a", "b"]) == "a; b"
