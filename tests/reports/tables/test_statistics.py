"""Statistics against numpy and by hand, infinities included."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.reports.tables.columns import Column
from vaebench.reports.tables.statistics import describe, pooled_psnr, quantile

PSNR = Column("psnr", "psnr/rgb8", "dB", True)
LPIPS = Column("lpips-alex", "lpips/alex-0.1", "", False)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=40), st.floats(0, 1))
def test_quantile_is_numpy_s_where_all_is_finite(values: list[float], share: float) -> None:
    expected = np.quantile(values, share)
    assert quantile(np.array(values), share) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.sampled_from([1.0, 2.0, math.inf]), min_size=1, max_size=9), st.floats(0, 1))
def test_quantile_is_never_nan_and_between_neighbours(values: list[float], share: float) -> None:
    place = share * (len(values) - 1)
    ordered = sorted(values)
    result = quantile(np.array(values), share)
    assert ordered[math.floor(place)] <= result <= ordered[math.ceil(place)]


def test_quantile_past_a_finite_value_towards_inf_is_inf() -> None:
    assert quantile(np.array([10.0, math.inf]), 0.5) == math.inf
    assert quantile(np.array([10.0, 20.0, math.inf]), 0.5) == 20.0


def test_pooled_psnr_weighs_pixels_and_counts_identical_pictures_as_zero_error() -> None:
    # MSE 0.01 on 1 pixel and 0.0001 on 3: (0.01 + 0.0003) / 4.
    expected = -10 * math.log10(0.0103 / 4)
    assert pooled_psnr(np.array([20.0, 40.0]), np.array([1, 3])) == pytest.approx(expected)
    half = pooled_psnr(np.array([20.0, math.inf]), np.array([1, 1]))
    assert half == pytest.approx(20 + 10 * math.log10(2))
    assert pooled_psnr(np.array([math.inf]), np.array([1])) == math.inf


def test_the_bad_tail_is_low_for_psnr_and_high_for_lpips() -> None:
    values = pd.Series(np.arange(101.0), index=[f"{place}.png" for place in range(101)])
    pixels = pd.Series(1, index=values.index)
    high, low = describe(values, PSNR, pixels), describe(values, LPIPS, pixels)
    assert (high["worst 5 %"], high["worst"], high["worst picture"]) == (5.0, 0.0, "0.png")
    assert (low["worst 5 %"], low["worst"], low["worst picture"]) == (95.0, 100.0, "100.png")
    assert "pooled-MSE PSNR" in high
    assert "pooled-MSE PSNR" not in low


def test_nothing_known_is_nan_and_no_picture() -> None:
    row = describe(pd.Series([math.nan], index=["a.png"]), PSNR, pd.Series([1], index=["a.png"]))
    assert row["pictures"] == 0
    assert row["worst picture"] == ""
    assert all(math.isnan(row[name]) for name in ("mean", "median", "worst 5 %", "worst"))
