import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vaebench.bench.rate.bd import SMALLEST_OVERLAP, Curve, bd_quality, bd_rate

# The three examples that the package bjontegaard has in its README and example_usage.py: rate and
# PSNR of anchor and test, and the BD-rate and BD-PSNR that its version 1.3.0 gives, by Akima.
PUBLISHED = [
    (
        ([9487.76, 4593.60, 2486.44, 1358.24], [40.037, 38.615, 36.845, 34.851]),
        ([9787.80, 4469.00, 2451.52, 1356.24], [40.121, 38.651, 36.970, 34.987]),
        (-4.425245156997493, 0.11940927028529469),
    ),
    (
        ([82472.76, 26875.24, 9487.76, 4593.6], [43.825, 41.404, 40.037, 38.615]),
        ([99896.96, 33952.04, 9787.8, 4469.0], [44.731, 41.875, 40.121, 38.651]),
        (-4.0857609404152395, 0.08990284924945707),
    ),
    (
        (
            [82472.76, 26875.24, 9487.76, 4593.6, 3600, 2900],
            [43.825, 41.404, 40.037, 38.615, 36.5, 35.1],
        ),
        (
            [99896.96, 33952.04, 9787.8, 4469.0, 4040, 3300],
            [44.731, 41.875, 40.121, 38.651, 37, 36.5],
        ),
        (-2.52692018696532, 0.050889305024889205),
    ),
]
ANCHOR = Curve("anchor", *map(np.array, PUBLISHED[0][0]))
TEST = Curve("test", *map(np.array, PUBLISHED[0][1]))


@pytest.mark.parametrize(("of_anchor", "of_test", "expected"), PUBLISHED)
def test_equals_the_package_on_its_published_examples(of_anchor, of_test, expected):
    anchor, codec = (
        Curve("anchor", *map(np.array, of_anchor)),
        Curve("test", *map(np.array, of_test)),
    )
    found = bd_rate(anchor, codec, True, "dB").value, bd_quality(anchor, codec, True).value
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_note_tells_over_what_the_average_is():
    found = bd_rate(ANCHOR, TEST, True, "dB")
    assert found.note == "over 34.99 to 40.04 dB, 98 % of the shorter curve's range"


def rising(seed, count=7, scale=1.0):
    """A curve whose quality rises smoothly with the logarithm of its rate."""
    random = np.random.default_rng(seed)
    bpp = np.sort(random.uniform(0.05, 2, count)) * scale
    value = 30 + 4 * np.log2(bpp / scale) + np.cumsum(random.uniform(0.05, 0.3, count))
    return Curve(f"codec{seed}", bpp, value)


# What bjontegaard 1.3.0 gives for `rising(seed)` and `rising(seed + 1, count, scale)`, by Akima.
@pytest.mark.parametrize(
    ("seed", "count", "scale", "expected"),
    [
        (0, 6, 0.5, (-47.40947652978185, 3.8943897490056716)),
        (3, 6, 2.0, (105.64097120376377, -4.453347640015256)),
        (11, 9, 0.8, (-17.90925167041276, 1.2085888201878314)),
        (42, 5, 1.3, (28.346997421141996, -1.520641415612021)),
        (77, 6, 1.0, (4.742677615228907, -0.30013552308200636)),
    ],
)
def test_equals_the_package_on_rising_curves(seed, count, scale, expected):
    anchor, codec = rising(seed), rising(seed + 1, count, scale)
    found = bd_rate(anchor, codec, True).value, bd_quality(anchor, codec, True).value
    assert found == pytest.approx(expected, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 2.0))
def test_is_antisymmetric(seed, scale):
    anchor, codec = rising(seed), rising(seed + 1, 6, scale)
    there, back = bd_rate(anchor, codec, True), bd_rate(codec, anchor, True)
    assert (there.value is None) == (back.value is None)
    assume(there.value is not None)
    assert (1 + there.value / 100) * (1 + back.value / 100) == pytest.approx(1, rel=1e-9)
    there, back = bd_quality(anchor, codec, True), bd_quality(codec, anchor, True)
    assume(there.value is not None)
    assert there.value == pytest.approx(-back.value, abs=1e-9)


@given(st.integers(0, 10_000), st.floats(0.25, 4), st.booleans())
def test_a_curve_moved_along_the_logarithm_of_the_rate_differs_by_that_factor(
    seed, factor, is_higher
):
    anchor = rising(seed)
    value = anchor.value if is_higher else 50 - anchor.value
    anchor, moved = Curve("a", anchor.bpp, value), Curve("b", anchor.bpp * factor, value)
    found = bd_rate(anchor, moved, is_higher)
    assume(found.value is not None)
    assert found.value == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_straight_lines_have_the_delta_of_their_areas():
    # log10 of the rate is (q - 30)/10 and (q - 30)/20: 1/4 less in the mean over 30 to 40.
    bpp = np.geomspace(1, 10, 5)
    anchor, codec = (Curve("line", bpp, 30 + rise * np.log10(bpp)) for rise in (10, 20))
    assert bd_rate(anchor, codec, True).value == pytest.approx(100 * (10**-0.25 - 1), abs=1e-9)
    assert bd_quality(anchor, codec, True).value == pytest.approx(5, abs=1e-9)


def test_half_the_rate_at_every_quality_is_minus_50_percent():
    anchor = rising(3)
    codec = Curve("half", anchor.bpp / 2, anchor.value)
    assert bd_rate(anchor, codec, True).value == pytest.approx(-50, abs=1e-9)


def test_a_metric_that_is_better_lower_is_turned_and_keeps_its_sign():
    anchor = rising(5)
    error = Curve("anchor", anchor.bpp, 50 - anchor.value)
    halved = Curve("codec", anchor.bpp / 2, 50 - anchor.value)
    assert bd_rate(error, halved, False).value == pytest.approx(-50, abs=1e-9)
    worse = Curve("codec", anchor.bpp, 52 - anchor.value)
    assert bd_quality(error, worse, False).value == pytest.approx(2, abs=1e-9)
    assert bd_quality(worse, error, False).value == pytest.approx(-2, abs=1e-9)


def test_the_order_of_the_points_plays_no_part():
    shuffled = Curve("test", TEST.bpp[[2, 0, 3, 1]], TEST.value[[2, 0, 3, 1]])
    assert bd_rate(ANCHOR, shuffled, True).value == bd_rate(ANCHOR, TEST, True).value


def test_curves_that_share_no_quality_or_rate_have_no_number_and_nothing_is_extrapolated():
    anchor = rising(1)
    better = Curve("better", anchor.bpp, anchor.value + 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apart = bd_rate(anchor, better, True, "dB")
    assert apart.value is None
    assert apart.note.startswith("the curves share no quality: codec1 has ")
    assert "better has " in apart.note and apart.note.endswith(" dB")
    assert bd_quality(anchor, better, True).value == pytest.approx(40, abs=1e-9)
    dear = Curve("dear", anchor.bpp * 100, anchor.value)
    assert bd_quality(anchor, dear, True).note.startswith("the curves share no rate: ")
    assert bd_rate(anchor, dear, True).value == pytest.approx(9900, rel=1e-9)


def test_too_small_an_overlap_is_refused_with_its_share():
    base = np.array([0.1, 0.2, 0.4, 0.8])
    anchor = Curve("a", base, np.array([20.0, 24.0, 28.0, 30.0]))
    shifted = Curve("b", base, np.array([26.0, 30.0, 33.0, 36.0]))
    refused = bd_rate(anchor, shifted, True, "dB")
    assert refused.value is None
    assert refused.note == (
        "the curves share only 26 to 30 dB, 40 % of the shorter one's range; "
        f"{100 * SMALLEST_OVERLAP:.0f} % are needed"
    )


def test_a_point_that_costs_more_and_gives_less_is_left_out_and_said_so():
    bent = Curve("bent", np.append(TEST.bpp, 12_000.0), np.append(TEST.value, 39.0))
    found = bd_rate(ANCHOR, bent, True, "dB")
    assert found.value == bd_rate(ANCHOR, TEST, True, "dB").value
    assert "1 of 5 points of bent no better than a cheaper one, left out" in found.note


def test_a_curve_that_goes_down_is_none():
    falling = Curve("falling", np.geomspace(0.1, 2, 8), np.linspace(30, 20, 8))
    found = bd_rate(rising(2), falling, True)
    assert found.value is None
    assert "falling has 1 usable point, 4 are needed" in found.note
    half = Curve(
        "half", np.geomspace(0.1, 2, 10), np.array([20, 22, 24, 26, 25, 24, 23, 22, 21, 20.0])
    )
    found = bd_rate(rising(2), half, True)
    assert found.value is None and found.note.startswith("half is no curve: 6 of 10 points")


def test_a_flat_stretch_between_whose_points_the_interpolation_turns_back_is_refused():
    # Akima's rate as a function of quality overshoots where quality hardly grows.
    anchor = Curve("anchor", np.array([0.1, 0.2, 0.4, 0.8, 1.6, 3.2]), np.arange(20.0, 32.0, 2))
    stair = Curve(
        "stair",
        np.array([0.1, 0.11, 0.8, 0.81, 3.0, 3.01]),
        np.array([20.0, 24.0, 24.01, 28.0, 28.01, 31.0]),
    )
    found = bd_rate(anchor, stair, True)
    assert found.value is None
    assert found.note.startswith("the interpolated curve of stair runs backwards between")
    assert bd_rate(anchor, anchor, True).value == 0


def test_points_that_are_not_finite_are_left_out():
    lossless = Curve("test", np.append(TEST.bpp, 2e4), np.append(TEST.value, np.inf))
    found = bd_rate(ANCHOR, lossless, True, "dB")
    assert found.value == bd_rate(ANCHOR, TEST, True, "dB").value
    assert "1 point of test not finite, left out" in found.note


def test_three_points_are_too_few():
    few = Curve("few", TEST.bpp[:3], TEST.value[:3])
    assert bd_rate(ANCHOR, few, True).note == "few has 3 usable points, 4 are needed"
