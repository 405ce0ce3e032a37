"""Plots of a comparison show what its tables hold, and say why where they show nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from vaebench.reports.plots import COMPARISON_PLOTS, NothingToShowError
from vaebench.reports.plots.comparison_differences import BETTER_COLOUR, WORSE_COLOUR
from vaebench.reports.plots.comparison_heat import NO_MARGIN_COLOUR

PSNR = [(30.0, 31.0), (30.0, 29.5), (30.0, 32.0), (30.0, 30.0)]
LPIPS = [(0.1, 0.05), (0.1, 0.3), (0.1, 0.2)]


@pytest.fixture
def two_metrics(make_comparison: Any, make_row: Any, make_values: Any) -> Any:
    rows = [
        make_row(n_images=4, mean_diff=0.625, ci_low=-0.2, ci_high=1.6, verdict="undecided"),
        make_row("lpips/alex-0.1", n_images=3, mean_diff=0.0833, verdict="worse"),
        make_row(region="eye", n_images=3, mean_diff=0.8333),
        make_row(region="text", n_images=1, mean_diff=1.0),
        make_row("mae/rgb8", n_images=0, mean_diff=None, verdict="undecided"),
    ]
    frames = [
        make_values("psnr/rgb8", PSNR),
        make_values("lpips/alex-0.1", LPIPS),
        make_values("psnr/rgb8", PSNR[:3], "eye"),
        make_values("psnr/rgb8", PSNR[:1], "text"),
    ]
    return make_comparison(rows, frames)


def shown(plot: Any) -> list[Any]:
    return [axis for axis in plot.figure.axes if axis.get_visible()]


def texts(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_bars_go_from_the_greatest_loss_to_the_greatest_gain(two_metrics: Any) -> None:
    (plot,) = COMPARISON_PLOTS["differences"](two_metrics)
    titles = [axis.get_title(loc="left") for axis in shown(plot)]
    assert titles == ["PSNR, dB · whole", "LPIPS · whole", "PSNR, dB · eye"]
    psnr, lpips, _ = shown(plot)
    bars = psnr.patches[:4]
    assert [bar.get_height() for bar in bars] == [-0.5, 0.0, 1.0, 2.0]
    assert to_hex(bars[0].get_facecolor()) == WORSE_COLOUR.lower()
    assert to_hex(bars[3].get_facecolor()) == BETTER_COLOUR.lower()
    heights = [bar.get_height() for bar in lpips.patches[:3]]
    assert heights == pytest.approx([0.2, 0.1, -0.05])
    assert psnr.get_title(loc="right") == "+0.62 [−0.20, 1.60] undecided"
    assert 0.625 in [line.get_ydata()[0] for line in psnr.lines]


def test_infinite_differences_are_counted_beside_the_bars(
    make_comparison: Any, make_row: Any, make_values: Any
) -> None:
    pairs = [*PSNR, (30.0, math.inf)]
    comparison = make_comparison([make_row(n_images=5)], [make_values("psnr/rgb8", pairs)])
    (plot,) = COMPARISON_PLOTS["differences"](comparison)
    assert shown(plot)[0].get_xlabel() == "5 pictures, 1 infinite"
    (wins,) = COMPARISON_PLOTS["wins"](comparison)
    assert texts(shown(wins)[0]) == ["3", "1", "1", "better"]
    (scatter,) = COMPARISON_PLOTS["scatter"](comparison)
    assert "1 infinite, not shown" in texts(shown(scatter)[0])


def test_many_pictures_are_lines_of_the_same_heights(
    make_comparison: Any, make_row: Any, make_values: Any
) -> None:
    pairs = [(0.0, float(value)) for value in range(300, 0, -1)]
    comparison = make_comparison([make_row(n_images=300)], [make_values("psnr/rgb8", pairs)])
    (plot,) = COMPARISON_PLOTS["differences"](comparison)
    (lines,) = [lines for lines in shown(plot)[0].collections if lines.get_rasterized()]
    assert [segment[1][1] for segment in lines.get_segments()] == list(range(1, 301))


def test_wins_ties_and_losses_add_up(two_metrics: Any) -> None:
    (plot,) = COMPARISON_PLOTS["wins"](two_metrics)
    (axis,) = shown(plot)
    widths = [bar.get_width() for bar in axis.patches]
    assert widths == pytest.approx([0.5, 0.25, 0.25, 1 / 3, 0, 2 / 3, 2 / 3, 0, 1 / 3])
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["PSNR · whole", "LPIPS · whole", "PSNR · eye"]
    assert [word for word in texts(axis) if word.isalpha()] == ["undecided", "worse", "better"]


def test_a_region_of_one_picture_is_drawn_where_there_is_no_other(
    make_comparison: Any, make_row: Any, make_values: Any
) -> None:
    frames = [make_values("psnr/rgb8", PSNR[:1])]
    (plot,) = COMPARISON_PLOTS["wins"](make_comparison([make_row(n_images=1)], frames))
    assert [bar.get_width() for bar in shown(plot)[0].patches] == [1, 0, 0]


def test_heat_is_green_for_better_whatever_the_sign(make_comparison: Any, make_row: Any) -> None:
    rows = [
        make_row(mean_diff=1.0, verdict="better"),
        make_row(region="eye", mean_diff=-1.0, verdict="worse"),
        make_row("lpips/alex-0.1", mean_diff=-0.02, verdict="better"),
        make_row("mae/rgb8", mean_diff=0.1, verdict="worse"),
    ]
    (plot,) = COMPARISON_PLOTS["regions"](make_comparison(rows))
    psnr, lpips, mae, _ = plot.figure.axes
    colours = [np.array(patch.get_facecolor()[:3]) for patch in (*psnr.patches, *lpips.patches)]
    assert np.allclose(colours[0], colours[2])  # ten margins better, both
    assert colours[0][1] > colours[0][0]
    assert colours[1][0] > colours[1][2]
    assert to_hex(mae.patches[0].get_facecolor()) == NO_MARGIN_COLOUR
    assert {"−1.00", "worse"} <= set(texts(psnr))
    assert texts(lpips)[-1] == "–"


def test_scatter_holds_each_picture_of_each_codec(
    make_comparison: Any, make_row: Any, make_values: Any
) -> None:
    rows = [make_row(), make_row(codec="other")]
    frames = [make_values("psnr/rgb8", PSNR), make_values("psnr/rgb8", PSNR[:2], codec="other")]
    (plot,) = COMPARISON_PLOTS["scatter"](make_comparison(rows, frames))
    points = [c.get_offsets() for c in shown(plot)[0].collections[1:]]
    assert [tuple(map(float, point)) for point in points[0]] == PSNR
    assert len(points[1]) == 2
    assert shown(plot)[0].get_title(loc="right") == "better above"


@pytest.mark.parametrize("name", COMPARISON_PLOTS)
def test_nothing_compared_is_said(name: str, make_comparison: Any) -> None:
    with pytest.raises(NothingToShowError, match="no codec was compared"):
        COMPARISON_PLOTS[name](make_comparison([]))


def test_codecs_never_share_a_file(make_comparison: Any, make_row: Any, make_values: Any) -> None:
    names = ("a/b", "a:b", "A_B")
    rows = [make_row(codec=name, n_images=4) for name in names]
    frames = [make_values("psnr/rgb8", PSNR, codec=name) for name in names]
    plots = COMPARISON_PLOTS["differences"](make_comparison(rows, frames))
    assert len({plot.stem.lower() for plot in plots}) == 3
    assert not any(set(plot.stem) & set('/\\:*?"<>|') for plot in plots)
