"""Sentences are computed from the rows."""

from __future__ import annotations

from typing import Any

from vaebench.reports.pages.comparison_words import headlines, left_out


def sentence(comparison: Any) -> str:
    (found,) = headlines(comparison)
    return found.sentence


def test_a_gain_with_a_loss_elsewhere(make_comparison: Any, make_row: Any) -> None:
    loss = {"mean_diff": 0.004, "ci_low": 0.001, "ci_high": 0.008, "verdict": "worse"}
    comparison = make_comparison([make_row(), make_row("lpips/alex-0.1", "eye", **loss)])
    assert sentence(comparison) == (
        "after is better than before: +0.42 dB PSNR [0.31, 0.55] over 24 pictures; "
        "worse in LPIPS at the eyes."
    )
    (found,) = headlines(comparison)
    assert found.counts == (("better", 1), ("worse", 1))
    assert found.total == 2


def test_the_same_names_its_margin_and_what_goes_either_way(
    make_comparison: Any, make_row: Any
) -> None:
    same = make_row(mean_diff=-0.01, ci_low=-0.02, ci_high=0.01, verdict="same")
    worse = make_row("mae/rgb8", "eye", verdict="worse")
    better = [make_row("lpips/alex-0.1", region, verdict="better") for region in ("eye", "text")]
    assert sentence(make_comparison([same, worse, *better])) == (
        "after is the same as before: −0.010 dB PSNR [−0.020, 0.010] over 24 pictures, all within "
        "±0.1 dB; worse in MAE at the eyes and better in LPIPS at the eyes and at the text."
    )


def test_the_first_row_with_a_difference_leads(make_comparison: Any, make_row: Any) -> None:
    absent: dict[str, Any] = dict.fromkeys(("mean_diff", "ci_low", "ci_high"))
    rows = [
        make_row(verdict="undecided", **absent),
        make_row("lpips/alex-0.1", "eye", n_images=1, mean_diff=0.5, verdict="undecided"),
    ]
    assert sentence(make_comparison(rows)).startswith(
        "after is not told apart from before: +0.5000"
    )
    assert "LPIPS [0.3100, 0.5500] at the eyes of 1 picture." in sentence(make_comparison(rows))


def test_each_codec_has_a_sentence(make_comparison: Any, make_row: Any) -> None:
    rows = [make_row(), make_row(codec="other", verdict="worse", mean_diff=-1.0)]
    first, second = headlines(make_comparison(rows))
    assert (first.row.codec, second.row.codec) == ("after", "other")
    assert second.phrase == "is worse than"


def test_left_out_pictures_are_gathered_by_reason(make_comparison: Any, make_row: Any) -> None:
    entries = [
        {"what": "picture", "where": f"p{place}.png", "reason": "only in new"} for place in range(9)
    ]
    metric = {"what": "metric", "where": "mae/rgb8", "reason": "only in old"}
    pictures, lone = left_out(make_comparison([make_row()], mismatches=[*entries, metric]))
    assert (len(pictures.names), pictures.more) == (6, 3)
    assert (lone.what, lone.names, lone.more) == ("metric", ("mae/rgb8",), 0)
