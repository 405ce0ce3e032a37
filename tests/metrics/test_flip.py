"""FLIP: flip-evaluator 1.7's values to 1e-6 (1e-7 in fact), its maps to 1e-4 (99.9 % to 1e-5)."""

from __future__ import annotations

import math
from fractions import Fraction

import flip_evaluator
import pytest
import torch
from vaebench.metrics import ShapeMismatch, open_metric
from vaebench.metrics.flip import (
    XYZ_FROM_RGB,
    _colours,
    colour_difference,
    features,
    flip_error,
    hunt_lab,
    linear,
    seen,
)


def score(reference, reconstruction):
    metric = open_metric("flip")
    return metric.compare(metric.prepare(reference), reconstruction, True)


def package_flip(reference, reconstruction):
    """Return the package's map [H, W] at its default viewing condition, and its parameters."""
    rows = [x[0].permute(1, 2, 0).contiguous().numpy() for x in (reference, reconstruction)]
    error_map, _, parameters = flip_evaluator.evaluate(
        *rows, "LDR", applyMagma=False, computeMeanError=False, parameters={}
    )
    return torch.from_numpy(error_map[..., 0]), parameters


def assert_equals_the_package(reference, reconstruction):
    expected, parameters = package_flip(reference, reconstruction)
    assert parameters["ppd"] == pytest.approx(67.02, abs=0.01)
    result = score(reference, reconstruction)
    assert float(result.values) == pytest.approx(float(expected.double().mean()), abs=1e-6)
    difference = (result.maps[0] - expected).abs()
    assert float(difference.max()) < 1e-4
    assert float(difference.double().mean()) < 2e-6
    assert float((difference > 1e-5).double().mean()) < 1e-3


@pytest.mark.parametrize("number", [8, 23])
def test_equals_the_package_on_kodak(number, jpeg_pair):
    assert_equals_the_package(*jpeg_pair(number, (100, 50, 356, 210)))


@pytest.mark.parametrize("size", [(40, 31), (64, 64), (9, 120)])
def test_equals_the_package_on_random_pictures(size, random_pair):
    assert_equals_the_package(*random_pair(1, *size))


def test_equals_the_package_on_the_largest_differences():
    colours = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]])
    tiles = colours.float().T.reshape(1, 3, 1, 6, 1).expand(1, 3, 30, 6, 20).reshape(1, 3, 30, 120)
    assert_equals_the_package(tiles, tiles.flip(-1))


def test_one_pixel_is_enough():
    black, white = torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1)
    expected, _ = package_flip(black, white)
    # The float32 taps of a derivative leave 1e-8 of white, of which the feature is the root.
    assert float(score(black, white).values) == pytest.approx(float(expected), abs=1e-5)


def test_flat_grey_pictures_differ_in_lightness_alone():
    """By hand: L* of Y, |ΔL*| to the power 0.7, over 0.4 of the largest, times 0.95 (eqs. 4, 5)."""
    reference, other = 0.5, 0.6
    light = [((x + 0.055) / 1.055) ** 2.4 for x in (reference, other)]
    lightness = [116 * y ** (1 / 3) - 16 for y in light]
    # Green (L* 87.735, a* -86.183, b* 83.180) and blue (32.297, 79.188, -107.860), Hunt-adjusted.
    largest = (
        87.735
        - 32.297
        + math.hypot(0.87735 * -86.183 - 0.32297 * 79.188, 0.87735 * 83.180 - 0.32297 * -107.860)
    )
    expected = 0.95 / 0.4 * (abs(lightness[1] - lightness[0]) / largest) ** 0.7
    result = score(torch.full((1, 3, 20, 20), reference), torch.full((1, 3, 20, 20), other))
    # A flat picture has no features, so that every pixel's error is its colour difference.
    assert torch.allclose(result.maps, torch.full_like(result.maps, expected), rtol=0, atol=1e-4)


def test_black_and_white_differ_by_one_at_the_most():
    black, white = hunt_lab(torch.tensor([[0.0, 1.0]] * 3).double()).unbind(1)
    assert white.tolist() == pytest.approx([100.0, 0.0, 0.0], abs=1e-9)
    assert black.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert 0.95 < float(colour_difference(black, white)) < 1.0


def test_srgb_ends_and_bend():
    light = linear(torch.tensor([0.0, 0.04045, 0.5, 1.0], dtype=torch.float64))
    assert light.tolist() == pytest.approx([0.0, 0.0031308, 0.2140411, 1.0], abs=1e-7)


def test_primaries_and_white_are_those_of_srgb():
    """From the chromaticities of IEC 61966-2-1, and D65 to five digits, in fractions."""
    xy = [("0.64", "0.33"), ("0.30", "0.60"), ("0.15", "0.06"), ("0.31271", "0.32902")]
    colours = [(Fraction(x), Fraction(y), 1 - Fraction(x) - Fraction(y)) for x, y in xy]
    red, green, blue, white = ([z / y for z in (x, y, rest)] for x, y, rest in colours)

    def determinant(a, b, c):
        return (
            a[0] * (b[1] * c[2] - b[2] * c[1])
            - b[0] * (a[1] * c[2] - a[2] * c[1])
            + c[0] * (a[1] * b[2] - a[2] * b[1])
        )

    # Cramer's rule: so much of each primary makes white.
    whole = determinant(red, green, blue)
    shares = (
        determinant(white, green, blue) / whole,
        determinant(red, white, blue) / whole,
        determinant(red, green, white) / whole,
    )
    for row, *primaries, of_white in zip(XYZ_FROM_RGB, red, green, blue, white, strict=True):
        expected = [part * share / of_white for part, share in zip(primaries, shares, strict=True)]
        assert [Fraction(value, sum(row)) for value in row] == expected


def test_a_step_is_an_edge_and_a_line_is_a_point():
    step = torch.zeros(41, 1, 41)
    step[..., 21:] = 1.0
    edges, points = (x[20, 0] for x in features(step))
    # The derivative's taps of either sign have the sum 1: its middle one is 0.
    assert float(edges.max()) == pytest.approx(1.0, abs=1e-6)
    assert int(edges.argmax()) in (20, 21)
    assert float(edges[0]) == 0.0 and float(points[0]) == pytest.approx(0.0, abs=1e-6)
    line = torch.zeros(41, 1, 41)
    line[..., 20] = 1.0
    edges, points = (x[20, 0] for x in features(line))
    assert int(points.argmax()) == 20
    assert float(edges[20]) == pytest.approx(0.0, abs=1e-6)


def test_value_is_the_mean_of_the_map(random_pair):
    result = score(*random_pair(2, 20, 31))
    assert result.maps.shape == (2, 20, 31)
    assert result.values.tolist() == [float(x.double().mean()) for x in result.maps]


def test_identity_symmetry_and_bounds(random_pair):
    reference, reconstruction = random_pair(1, 24, 30)
    assert float(score(reference, reference).values) == 0.0
    forth, back = score(reference, reconstruction), score(reconstruction, reference)
    assert float(forth.values) == pytest.approx(float(back.values), abs=1e-6)
    assert float(forth.maps.min()) >= 0.0 and float(forth.maps.max()) <= 1.0


def test_black_and_white_stripes_are_seen_where_they_are():
    reference = torch.full((1, 3, 40, 80), 0.5)
    reconstruction = reference.clone()
    reconstruction[..., 60:80] = 1.0
    error_map = score(reference, reconstruction).maps[0]
    assert float(error_map[:, 65:].min()) > 0.1
    assert float(error_map[:, :40].max()) < 0.01


def test_many_pictures_at_once_are_seen_as_each_alone(random_pair):
    """What a GPU does: all pictures of a batch side by side."""
    reference, reconstruction = random_pair(3, 14, 17)
    maps = flip_error(seen(reference), seen(reconstruction)).transpose(0, 1)
    assert torch.allclose(maps, score(reference, reconstruction).maps, rtol=0, atol=1e-5)


def test_values_out_of_range_count_as_the_nearest_in_range(random_pair):
    reference, reconstruction = random_pair(1, 20, 20)
    stretched = (reconstruction - 0.5) * 2 + 0.5
    expected = score(reference, stretched.clamp(0, 1))
    found = score(reference, stretched.double())
    assert torch.equal(found.maps, expected.maps)
    assert found.maps.dtype == torch.float32 and found.values.dtype == torch.float64


def test_shapes_that_differ_are_refused(random_pair):
    metric = open_metric("flip")
    prepared = metric.prepare(random_pair(1, 16, 16)[0])
    with pytest.raises(ShapeMismatch):
        metric.compare(prepared, torch.rand(2, 3, 16, 16), False)


def test_matrices_first_used_in_inference_mode_serve_outside_of_it():
    _colours.cache_clear()
    pictures = torch.rand(1, 3, 12, 12)
    with torch.inference_mode():
        seen(pictures)
    kept = _colours(pictures.device)
    assert _colours.cache_info().hits >= 1
    for matrix in (kept.to_white, kept.to_opponents, kept.from_opponents):
        assert matrix.dtype == torch.float32 and not matrix.is_inference()


def test_elsewhere_than_on_a_cpu_matrices_are_float64_and_there():
    kept = _colours(torch.device("meta"))
    for matrix in (kept.to_white, kept.to_opponents, kept.from_opponents):
        assert matrix.is_meta and matrix.dtype == torch.float64
