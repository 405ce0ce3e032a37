"""What is known of a metric before it is built."""

from __future__ import annotations

import pytest
from vaebench.metrics.info import DescribedMetric, MetricContext, MetricInfo, colour_info


def test_a_fingerprint_ends_in_the_colour():
    info = colour_info("ssim", "u", True, "gauss11-luma")
    assert info == MetricInfo("ssim", "u", True, "ssim/gauss11-luma8", "ssim/gauss11-luma-float")
    assert info.variant(True) == "ssim/gauss11-luma8"
    assert info.variant(False) == "ssim/gauss11-luma-float"


def test_without_a_context_weights_are_looked_for_and_networks_run_on_the_cpu():
    assert MetricContext() == MetricContext(weights=None, device="cpu")


@pytest.mark.parametrize(("known", "answer"), [(True, True), (False, False), (None, False)])
def test_a_described_metric_says_what_its_info_says(known, answer):
    metric = DescribedMetric(MetricInfo("odd", "dB", known, "odd/a8", "odd/a-float"))
    assert (metric.name, metric.unit) == ("odd", "dB")
    assert metric.higher_is_better is answer
    assert (metric.variant(True), metric.variant(False)) == ("odd/a8", "odd/a-float")
    assert metric.pool(0.125) == 0.125
