import math

import numpy as np
import pandas as pd
import pytest
from vaebench.bench.rate.bd import Delta
from vaebench.bench.rate.curves import FEWEST_PICTURES, delta_tables, grid_of, set_delta, shared
from vaebench.bench.records import MetricColumn

PSNR = MetricColumn("psnr", "psnr/rgb8", "dB", True)
LPIPS = MetricColumn("lpips", "lpips/alex-0.1", "", False)


def table(images=8, factor=0.5, gain=0.0, seed=1):
    """Points of two codecs: `mine` takes `factor` of jpeg's bits for `gain` dB more."""
    random = np.random.default_rng(seed)
    rows = []
    for image in range(images):
        shift = random.normal(0, 0.3)
        for setting, base in enumerate(np.geomspace(0.1, 2, 6)):
            for codec, scale, more in (("jpeg", 1, 0), ("mine", factor, gain)):
                own = random.normal(0, 0.02) if codec == "mine" else 0
                psnr = 30 + 5 * math.log2(base) / 2 + shift + more + own
                for column, value in ((PSNR, psnr), (LPIPS, 0.9 - psnr / 50)):
                    rows.append(
                        (codec, f"q={setting}", f"{image}.png", base * scale, column.variant, value)
                    )
    names = ["codec", "setting", "image_id", "bpp", "variant", "value"]
    return pd.DataFrame(rows, columns=names)


def test_a_curve_is_the_means_of_rate_and_metric_at_each_setting():
    points = table(3)
    grid = grid_of(points, "mine", PSNR.variant)
    assert grid.settings == tuple(f"q={n}" for n in range(6))
    assert grid.images == ("0.png", "1.png", "2.png")
    own = points[(points.codec == "mine") & (points.variant == PSNR.variant)]
    means = own.groupby("setting")[["bpp", "value"]].mean()
    curve = grid.mean(np.arange(3))
    assert curve.bpp == pytest.approx(means["bpp"]) and curve.value == pytest.approx(means["value"])


def test_deltas_of_the_set_have_intervals_that_hold_them():
    bd, quality = delta_tables(table(), [PSNR, LPIPS], ["jpeg", "mine"], "jpeg", resamples=80)
    assert list(bd["codec"]) == ["mine", "mine"] and list(bd["metric"]) == [
        PSNR.variant,
        LPIPS.variant,
    ]
    assert bd["bd_rate_percent"].tolist() == pytest.approx([-50, -50], abs=1.5)
    assert (bd["ci_low"] < bd["bd_rate_percent"]).all()
    assert (bd["bd_rate_percent"] < bd["ci_high"]).all()
    assert (bd["ci_high"] - bd["ci_low"] < 3).all()
    assert quality["bd_quality"].tolist() == pytest.approx([2.5, -0.05], abs=0.1)
    assert quality["unit"].tolist() == ["dB", ""]


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    one, again, other = (
        delta_tables(table(), [PSNR], ["jpeg", "mine"], "jpeg", resamples=40, seed=seed)[0]
        for seed in (7, 7, 8)
    )
    assert one.equals(again)
    assert other["bd_rate_percent"].equals(one["bd_rate_percent"])
    assert not other["ci_low"].equals(one["ci_low"])


def test_of_identical_pictures_the_interval_is_a_point():
    points = table(1)
    points = pd.concat([points.assign(image_id=f"{n}.png") for n in range(6)])
    bd, _ = delta_tables(points, [PSNR], ["jpeg", "mine"], "jpeg", resamples=30)
    row = bd.iloc[0]
    assert row["ci_low"] == pytest.approx(row["bd_rate_percent"], abs=1e-9)
    assert row["ci_high"] == pytest.approx(row["bd_rate_percent"], abs=1e-9)


def test_few_pictures_have_a_number_and_no_interval():
    bd, _ = delta_tables(table(FEWEST_PICTURES - 1), [PSNR], ["jpeg", "mine"], "jpeg")
    row = bd.iloc[0]
    assert row["bd_rate_percent"] == pytest.approx(-50, abs=1.5)
    assert pd.isna(row["ci_low"]) and row["note"].endswith("no interval of fewer than 5 pictures")


def test_curves_without_overlap_have_a_reason_instead_of_a_number():
    bd, quality = delta_tables(table(gain=30), [PSNR], ["jpeg", "mine"], "jpeg", resamples=20)
    assert pd.isna(bd["bd_rate_percent"].iloc[0])
    assert bd["note"].iloc[0].startswith("the curves share no quality: jpeg has ")
    assert quality["bd_quality"].iloc[0] == pytest.approx(32.5, abs=0.1)


def test_both_means_are_over_the_pictures_that_have_all_points():
    points = table(6)
    lost = (points.codec == "mine") & (points.image_id == "2.png") & (points.setting == "q=3")
    points.loc[lost, "value"] = np.nan
    gone = (points.codec == "jpeg") & (points.image_id == "4.png")
    own, other, note = shared(
        grid_of(points[~gone], "mine", PSNR.variant), grid_of(points[~gone], "jpeg", PSNR.variant)
    )
    assert own.images == other.images == ("0.png", "1.png", "3.png", "5.png")
    assert note == "4 of 6 pictures have all points"
    assert not np.isnan(own.value).any() and own.value.shape == (6, 4)


def test_a_setting_that_failed_on_every_picture_costs_its_point_alone():
    points = table(6)
    points.loc[(points.codec == "mine") & (points.setting == "q=0"), "value"] = np.nan
    own, other, note = shared(
        grid_of(points, "mine", PSNR.variant), grid_of(points, "jpeg", PSNR.variant)
    )
    assert len(own.settings) == 5 and len(other.settings) == 6 and len(own.images) == 6
    assert note == ""


def test_an_interval_needs_a_number_of_nearly_every_resample():
    points = table(6)
    own, other, _ = shared(
        grid_of(points, "mine", PSNR.variant), grid_of(points, "jpeg", PSNR.variant)
    )
    calls = iter(range(1000))

    def often_refused(anchor, codec):
        return Delta(None, "no") if next(calls) % 10 == 5 else Delta(-1.0, "over all")

    found = set_delta(own, other, often_refused, resamples=100)
    assert found.value == -1 and found.low is None
    assert found.note == "over all; no interval: 10% of the resampled sets have no number"


def test_a_codec_without_any_point_has_a_reason():
    points = table(6)
    bd, _ = delta_tables(points[points.codec == "jpeg"], [PSNR], ["jpeg", "mine"], "jpeg")
    assert pd.isna(bd["bd_rate_percent"].iloc[0])
    assert bd["note"].iloc[0].startswith("no picture has all points of both")
