import numpy as np
import pytest
from vaebench.reports.tables.rate import (
    bd_sections,
    best_at_rates,
    best_sections,
    curve_means,
    curve_sections,
    equal_means,
    equal_sections,
    metric_columns,
    rate_sections,
)


def test_a_curve_is_the_means_over_the_pictures_in_sweep_order(make_rd):
    means = curve_means(make_rd(), "psnr/rgb8")
    vae = means[means["codec"] == "vae"]
    assert list(vae["setting"]) == [f"step={step}" for step in range(1, 7)]
    # 25 + 3·log2(0.04/0.1) − 1, and 0.25 for the mean of 0.1·(0..5).
    assert vae["value"].iloc[0] == pytest.approx(24.25 - 3 * np.log2(2.5))
    assert (means["n_images"] == 6).all()


def test_an_infinite_mean_is_no_point_of_a_curve(make_rd):
    found = make_rd()
    lossless = found.points["setting"].eq("q=6") & found.points["image_id"].eq("kodim01.png")
    found.points.loc[lossless & found.points["metric"].eq("psnr"), "value"] = np.inf
    means = curve_means(found, "psnr/rgb8")
    assert list(means.groupby("codec", sort=False).size()) == [6, 5, 5]


def test_bd_rate_and_bd_quality_stand_in_one_row_with_their_intervals(make_rd):
    (part,) = bd_sections(make_rd())
    assert part.title == "Bjøntegaard deltas against jpeg"
    row = dict(zip(part.header, part.rows[2], strict=True))
    assert part.rows[2][:2] == ("webp", "PSNR ↑, dB")
    # 1.5 dB better at 3 dB an octave is half an octave fewer bits.
    assert part.rows[2][2] == "-29.3 %" == f"{100 * (2**-0.5 - 1):+.1f} %"
    assert part.rows[2][4] == "+1.50 dB" and row["metric"] == "PSNR ↑, dB"
    assert part.rows[2][3] == "-29.3 % to -29.3 %"
    words = dict(part.notes)
    assert words["webp, PSNR, BD-rate"].startswith("over 25.25 to ")


def test_a_refused_delta_reads_so_and_its_reason_is_a_note(make_rd):
    found = make_rd()
    found.bd.loc[0, ["bd_rate_percent", "ci_low", "ci_high"]] = np.nan
    found.bd.loc[0, "note"] = "the curves share no quality"
    (part,) = bd_sections(found)
    assert part.rows[0][2:4] == ("refused", "–")
    assert dict(part.notes)["vae, PSNR, BD-rate"] == "the curves share no quality."


def test_the_best_codec_at_a_rate_is_read_between_points_and_never_beyond(make_rd):
    found = make_rd()
    best = best_at_rates(found).set_index(["metric", "bpp"])
    # At 0.05 bit/px vae alone has points, and at 2 jpeg.
    assert [bpp for metric, bpp in best.index if metric == "psnr"] == [0.1, 0.2, 0.5, 1.0]
    assert (best["codec"] == "webp").all()
    assert best.loc[("psnr", 0.2), "value"] == pytest.approx(25 + 3 + 1.5 + 0.25)
    assert best.loc[("lpips", 0.2), "value"] == pytest.approx(0.8 - 29.75 / 60)
    assert best.loc[("psnr", 0.5), "n_codecs"] == 3 and best.loc[("psnr", 1.0), "n_codecs"] == 3
    part = best_sections(found)[0]
    assert part.header == ("metric", "0.1 bit/px", "0.2 bit/px", "0.5 bit/px", "1 bit/px")
    assert part.rows[0][2] == "webp 29.75"


def test_means_at_equal_bytes_are_over_the_pictures_that_are_equal(make_rd):
    means = equal_means(make_rd()).set_index("codec")
    webp = means.loc["webp"].query("metric == 'psnr'").iloc[0]
    assert webp["n_images"] == 5 and webp["largest_deviation"] == 0.01
    assert (webp["value"], webp["autoencoder_value"]) == (29.0, 26.0)
    jpeg = means.loc["jpeg"]
    assert jpeg["n_images"] == 0 and jpeg["note"] == "at best 40.0 % more bytes at q=1"


def test_a_codec_that_reaches_the_bytes_nowhere_has_dashes_and_a_note(make_rd):
    (part,) = equal_sections(make_rd())
    assert part.title == "vae at step=4"
    assert part.rows[0] == ("jpeg", "0 of 6", "–", "–")
    assert part.rows[1] == ("webp", "5 of 6", "29.00 vs 26.00", "unavailable")
    assert part.notes == (("jpeg", "at best 40.0 % more bytes at q=1."),)


def test_rates_and_curves_are_written_for_reading(make_rd):
    found = make_rd()
    rates = rate_sections(found)[0]
    assert rates.rows[0] == (
        "vae",
        "step=1",
        "48.0×",
        "24.0×",
        "12.0×",
        "1200×",
        "0.0200",
        "0.0198",
        "0.000100",
    )
    parts = curve_sections(found)
    assert [part.title for part in parts] == ["vae", "jpeg", "webp"]
    assert parts[1].rows[0] == ("q=1", "0.100", "25.25", "0.3792")


def test_a_metric_without_a_value_has_no_column(make_rd):
    found = make_rd()
    found.points.loc[found.points["metric"] == "lpips", "value"] = np.nan
    assert [column.metric for column in metric_columns(found)] == ["psnr"]
    (part,) = bd_sections(found)
    assert {row[1] for row in part.rows} == {"PSNR ↑, dB"}
