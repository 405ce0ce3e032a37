"""Metrics: pure functions on tensors, and the table that names them."""

from __future__ import annotations

from .base import Metric, MetricError, MetricUnavailable, Result, ShapeMismatch
from .info import MetricContext, MetricInfo
from .table import DEFAULT_METRICS, METRICS, MetricEntry, describe_metric, open_metric

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "Metric",
    "MetricContext",
    "MetricEntry",
    "MetricError",
    "MetricInfo",
    "MetricUnavailable",
    "Result",
    "ShapeMismatch",
    "describe_metric",
    "open_metric",
]
