"""CIEDE2000: the published test pairs, and scikit-image 0.26 to 1e-6 relative."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import deltaE_ciede2000, rgb2lab
from vaebench.metrics import open_metric
from vaebench.metrics.ciede2000 import _to_white, delta_e, lab

# Sharma, Wu and Dalal 2005, Table 1: L1 a1 b1, L2 a2 b2, ΔE00.
PUBLISHED = """
50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485   2.0425
50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485   2.8615
50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485   3.4412
50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485   1.0000
50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485   1.0000
50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485   1.0000
50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000   2.3669
50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000   2.3669
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010   7.1792
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011   7.2195
50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012   7.2195
50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900   4.8045
50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900   4.7461
50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000   4.3065
50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000  27.1492
50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000  22.8977
50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000  31.9030
50.0000   2.5000   0.0000  58.0000  24.0000  15.0000  19.4535
50.0000   2.5000   0.0000  50.0000   3.1736   0.5854   1.0000
50.0000   2.5000   0.0000  50.0000   3.2972   0.0000   1.0000
50.0000   2.5000   0.0000  50.0000   1.8634   0.5757   1.0000
50.0000   2.5000   0.0000  50.0000   3.2592   0.3350   1.0000
60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387   1.2644
63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864   1.2630
61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620   1.8731
35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901   1.8645
22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619   2.0373
36.4612  47.8580  18.3852  36.2715  50.5065  21.2231   1.4146
90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447   1.4441
90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239   1.5381
 6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286   0.6377
 2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514   0.9082
"""


def score(reference, reconstruction):
    metric = open_metric("ciede2000")
    return metric.compare(metric.prepare(reference), reconstruction, True)


def test_the_published_pairs_in_both_directions():
    lines = PUBLISHED.strip().splitlines()
    rows = torch.tensor([[float(x) for x in line.split()] for line in lines], dtype=torch.float64)
    assert rows.shape == (34, 7)
    first, second, expected = rows[:, :3].T[..., None], rows[:, 3:6].T[..., None], rows[:, 6:]
    assert torch.allclose(delta_e(first, second), expected, rtol=0, atol=5.1e-5)
    assert torch.allclose(delta_e(second, first), expected, rtol=0, atol=5.1e-5)


def test_black_to_white_is_100():
    result = score(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4))
    assert float(result.values) == pytest.approx(100.0, abs=1e-3)


@pytest.mark.parametrize("number", [2, 23])
def test_equals_scikit_image_on_kodak(number, jpeg_pair):
    assert_equals_scikit_image(*jpeg_pair(number))


def test_equals_scikit_image_on_random_pictures(random_pair):
    assert_equals_scikit_image(*random_pair(1, 60, 50))


def assert_equals_scikit_image(reference, reconstruction):
    x, y = (rgb2lab(z[0].double().numpy(), channel_axis=0) for z in (reference, reconstruction))
    assert torch.allclose(lab(reference)[0], torch.from_numpy(x), rtol=0, atol=1e-9)
    expected = torch.from_numpy(deltaE_ciede2000(x, y, channel_axis=0))
    result = score(reference, reconstruction)
    assert torch.allclose(result.maps[0], expected, rtol=1e-6, atol=1e-9)
    assert float(result.values) == pytest.approx(float(expected.mean()), rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_identity_and_symmetry(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, 1, 3, 12, 9, generator=generator)
    assert float(score(x, x).values) == 0.0
    forth, back = score(x, y), score(y, x)
    assert float(forth.values) == pytest.approx(float(back.values), rel=1e-9)
    assert float(forth.maps.min()) >= 0.0


def test_a_matrix_first_used_in_inference_mode_serves_outside_of_it():
    _to_white.cache_clear()
    pictures = torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        inside = lab(pictures)
    assert torch.equal(lab(pictures.requires_grad_()).detach(), inside)
