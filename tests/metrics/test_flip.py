"""FLIP as flip-evaluator 1.7 has it."""

from __future__ import annotations

import flip_evaluator
import pytest
import torch
from vaebench.metrics import ShapeMismatch, open_metric


def score(reference, reconstruction):
    metric = open_metric("flip")
    return metric.compare(metric.prepare(reference), reconstruction, True)


def rows(picture):
    return picture[0].permute(1, 2, 0).contiguous().numpy()


def test_equals_the_package_with_its_default_viewing_condition(jpeg_pair):
    reference, reconstruction = jpeg_pair(23, (100, 50, 356, 210))
    error_map, mean, parameters = flip_evaluator.evaluate(
        rows(reference), rows(reconstruction), "LDR", applyMagma=False, parameters={}
    )
    result = score(reference, reconstruction)
    assert parameters["ppd"] == pytest.approx(67.02, abs=0.01)
    assert torch.equal(result.maps[0], torch.from_numpy(error_map[..., 0]))
    assert float(result.values) == pytest.approx(mean, abs=1e-6)


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


def test_shapes_that_differ_are_refused(random_pair):
    metric = open_metric("flip")
    prepared = metric.prepare(random_pair(1, 16, 16)[0])
    with pytest.raises(ShapeMismatch):
        metric.compare(prepared, torch.rand(2, 3, 16, 16), False)
