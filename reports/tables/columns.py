"""What each column of scores is: its label, unit, direction, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...bench.records import RATES, WHOLE
from ...bench.store.run import StoredRun

UNAVAILABLE = "unavailable"
NOT_APPLICABLE = "–"

_LABELS = {
    "psnr": "PSNR",
    "mse": "MSE",
    "mae": "MAE",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "ms-ssim": "MS-SSIM",
    "lpips": "LPIPS",
    "flip": "FLIP",
    "ciede2000": "CIEDE2000",
    "bpp": "Bits/px",
    "elements_ratio": "Elements ratio",
    "stored_bits_ratio": "Stored-bits ratio",
}
_DECIMALS = {"psnr": 2, "ssim": 4, "ms_ssim": 4, "ms-ssim": 4, "lpips": 4, "flip": 4, "bpp": 3}
_SIGNIFICANT = 4


@dataclass(frozen=True)
class Column:
    """One variant of a metric (or a rate): what never shares a column with another.

    `higher_is_better` is None for a rate, which is a price and no quality.
    """

    metric: str
    variant: str
    unit: str
    higher_is_better: bool | None

    @property
    def is_rate(self) -> bool:
        """Whether the numbers are bits or ratios instead of a quality."""
        return self.higher_is_better is None

    @property
    def label(self) -> str:
        """The name a reader knows: LPIPS-alex, MS-SSIM, the metric's own otherwise."""
        root, dash, rest = self.metric.partition("-")
        if self.metric not in _LABELS and dash and root in _LABELS:
            return f"{_LABELS[root]}-{rest}"
        return _LABELS.get(self.metric, self.metric)

    @property
    def title(self) -> str:
        """The label with the unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def better(self) -> str:
        """Which way is better, in words."""
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def missing(self) -> str:
        """The word for an empty cell: a rate that a codec has not, or a metric not to be had."""
        return NOT_APPLICABLE if self.is_rate else UNAVAILABLE

    def number(self, value: float, signed: bool = False) -> str:
        """Return a value for reading, in the 3 to 4 digits that suit the metric.

        NaN becomes the word `unavailable` (a rate: a dash); infinities are written as `inf`.
        """
        if math.isnan(value):
            return self.missing
        sign = "+" if signed else ""
        if math.isinf(value):
            return f"{value:{sign}}"
        decimals = _DECIMALS.get(self.metric, _DECIMALS.get(self.metric.partition("-")[0]))
        if decimals is None:
            return f"{value:{sign}.{_SIGNIFICANT}g}"
        text = f"{value:{sign}.{decimals}f}"
        return text.lstrip("+-") if float(text) == 0 else text

    def quantity(self, value: float, signed: bool = False) -> str:
        """Return a value with its unit."""
        number = self.number(value, signed)
        return f"{number} {self.unit}" if self.unit and not math.isnan(value) else number

    def headline(self, value: float) -> str:
        """Return a signed value with its unit in the digits of a headline: −9.5 dB."""
        text = f"{value:+.1f}" if abs(value) >= 1 else f"{value:+.2g}"
        return f"{text} {self.unit}".strip()


def quality_columns(run: StoredRun) -> list[Column]:
    """Return the metrics of a run in the order in which they were asked for."""
    return columns_of(vars(metric) for metric in run.record.metrics)


def columns_of(metrics: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Return the columns that a record's metrics are."""
    return [
        Column(entry["name"], entry["variant"], entry["unit"], bool(entry["higher_is_better"]))
        for entry in metrics
    ]


def rate_columns(run: StoredRun) -> list[Column]:
    """Return the rates that any codec of a run has, bits per pixel first."""
    scores: Any = run.scores
    whole = scores[(scores["region"] == WHOLE) & scores["metric"].isin(RATES)]
    known = whole.dropna(subset=["value"])[["metric", "variant", "unit"]].drop_duplicates()
    columns = [
        Column(str(metric), str(variant), str(unit), None)
        for metric, variant, unit in known.itertuples(index=False, name=None)
    ]
    return sorted(columns, key=lambda column: RATES.index(column.metric))


def primary_column(run: StoredRun) -> Column | None:
    """Return the first metric asked for that has a value; worst and best are ranked by it."""
    scores: Any = run.scores

    def is_known(column: Column) -> bool:
        return bool(scores.loc[scores["variant"] == column.variant, "value"].notna().any())

    return next(filter(is_known, quality_columns(run)), None)
