import numpy as np
import pytest
from vaebench.reports.plots.rd import bd_rates, rd_curves
from vaebench.reports.plots.style import NothingToShowError, colour_of


def test_a_panel_a_metric_holds_each_codecs_mean_curve_over_log_rate(make_rd):
    found = make_rd()
    (plot,) = rd_curves(found)
    axes = [axis for axis in plot.figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in axes] == ["PSNR, dB", "LPIPS"]
    assert all(axis.get_xscale() == "log" for axis in axes)
    curves = {line.get_label(): line for line in axes[0].lines}
    assert list(curves) == ["vae", "jpeg", "webp"]
    assert curves["jpeg"].get_xdata() == pytest.approx([0.1 * 2**step for step in range(6)])
    assert curves["jpeg"].get_ydata() == pytest.approx([25.25 + 3 * step for step in range(6)])
    cloud = axes[0].collections[1].get_offsets()
    assert len(cloud) == 36 and set(np.round(cloud[:, 0], 6)) == {0.1 * 2**n for n in range(6)}


def test_bars_are_doublings_of_the_bits_with_their_intervals(make_rd):
    (plot,) = bd_rates(make_rd())
    axis = plot.figure.axes[0]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in axis.patches}
    assert bars[1].get_width() == pytest.approx(-0.5, abs=1e-6)
    assert bars[0].get_width() == pytest.approx(1 / 3, abs=1e-6)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["vae", "webp"]
    # The same colours as in the curves.
    assert bars[1].get_facecolor()[:3] == pytest.approx(
        [int(colour_of(2)[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    )
    assert [label.get_text() for label in axis.get_xticklabels()] == ["−50 %", "0", "+100 %"]


def test_a_refused_bar_says_so_and_all_refused_is_no_plot(make_rd):
    found = make_rd()
    numbers = ["bd_rate_percent", "ci_low", "ci_high"]
    found.bd.loc[0, numbers] = np.nan
    (plot,) = bd_rates(found)
    assert [text.get_text() for text in plot.figure.axes[0].texts] == ["no overlap"]
    assert len(plot.figure.axes[0].patches) == 1
    found.bd[numbers] = np.nan
    with pytest.raises(NothingToShowError, match="every BD-rate was refused"):
        bd_rates(found)


def test_without_a_value_there_is_no_plot(make_rd):
    found = make_rd()
    found.points["value"] = np.nan
    with pytest.raises(NothingToShowError):
        rd_curves(found)
