"""Rows of a comparison as a report reads them: differences, intervals and verdicts in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from .columns import NOT_APPLICABLE, Column, columns_of
from .reading import plural, share

VERDICTS = ("better", "worse", "same", "undecided")
"""What the last column of a comparison says, in the order in which a reader wants to know it."""

QUOTED = "quoted"
MOST_DECIMALS = 7
EXPONENT_BELOW = 1e-4
SMALLEST_P = 0.001


@dataclass(frozen=True)
class ComparedRow:
    """A codec against the baseline in one region by one metric.

    Differences are codec minus baseline in the unit of `column`; None where a number could not be
    had, `note` then says why. `margin` is None for a metric that is never called the same, but for
    a tie on every picture. `lossless` counts pictures that are infinite for the codec alone, and
    for the baseline alone; half of them or more leave no mean.
    """

    codec: str
    baseline: str
    region: str
    column: Column
    n_images: int
    mean_diff: float | None
    ci_low: float | None
    ci_high: float | None
    p_holm: float | None
    smallest_detectable: float | None
    verdict: str
    share_won: float | None
    margin: float | None
    baseline_mean: float | None
    codec_mean: float | None
    note: str
    lossless: tuple[int, int] = (0, 0)

    @property
    def decimals(self) -> int | None:
        """How many decimals tell half the interval in two digits; None for an exponent.

        A metric's own digits would turn the difference of two nearly equal codecs into 0.00.
        """
        least = len(self.column.number(0.0).partition(".")[2])
        sizes = [self.mean_diff, self.smallest_detectable]
        if self.ci_low is not None and self.ci_high is not None:
            sizes = [(self.ci_high - self.ci_low) / 2, *sizes]
        size = next((abs(entry) for entry in sizes if entry), 0.0)
        if not size:
            return least
        needed = max(least, 1 - math.floor(math.log10(size)))
        largest = max(abs(entry or 0.0) for entry in (self.mean_diff, self.ci_low, self.ci_high))
        return None if needed > MOST_DECIMALS and largest < EXPONENT_BELOW else needed

    @property
    def difference(self) -> str:
        """The mean difference, signed, without unit; or on how many pictures one is lossless."""
        ours, theirs = self.lossless
        if self.mean_diff is not None or not (ours or theirs):
            return self._number(self.mean_diff, "+")
        sides = ((ours, "lossless"), (theirs, "the baseline lossless"))
        told = " and ".join(f"{side} on {count}" for count, side in sides if count)
        return f"{told} of {self.n_images}"

    @property
    def interval(self) -> str:
        """`[0.31, 0.55]`, or a dash where there is none."""
        if self.ci_low is None or self.ci_high is None:
            return NOT_APPLICABLE
        return f"[{self._number(self.ci_low)}, {self._number(self.ci_high)}]"

    @property
    def detectable(self) -> str:
        """The smallest detectable difference, without its unit."""
        return self._number(self.smallest_detectable)

    @property
    def p_text(self) -> str:
        """The corrected p in three decimals."""
        if self.p_holm is None:
            return NOT_APPLICABLE
        return f"< {SMALLEST_P}" if self.p_holm < SMALLEST_P else f"{self.p_holm:.3f}"

    @property
    def won(self) -> str:
        """The share of the pictures that the codec won, a tie counted half."""
        return share(self.share_won)

    @property
    def verdict_text(self) -> str:
        """The verdict, with the margin where it is `same`."""
        if self.verdict != "same" or self.margin is None:
            return self.verdict
        return f"{self.verdict} within {self.margin_text}"

    @property
    def margin_text(self) -> str:
        """`±0.1 dB`; a dash for a metric without a margin."""
        if self.margin is None:
            return NOT_APPLICABLE
        return f"±{self.margin:g} {self.column.unit}".strip()

    @property
    def quantity(self) -> str:
        """`+0.42 dB PSNR [0.31, 0.55]`, for a sentence."""
        if self.mean_diff is None and any(self.lossless):
            return f"{self.difference} ({self.column.label})"
        unit = f" {self.column.unit}" if self.column.unit else ""
        interval = "" if self.interval == NOT_APPLICABLE else f" {self.interval}"
        # Only the numbers: a hyphen in a metric's name is no minus.
        difference, interval = (text.replace("-", "−") for text in (self.difference, interval))
        return f"{difference}{unit} {self.column.label}{interval}"

    @property
    def gain(self) -> float | None:
        """The mean difference with the sign turned so that more is better."""
        if self.mean_diff is None:
            return None
        return self.mean_diff if self.column.higher_is_better else -self.mean_diff

    def _number(self, value: float | None, sign: str = "") -> str:
        if value is None:
            return NOT_APPLICABLE
        decimals = self.decimals
        if decimals is None:
            return f"{value:{sign}.1e}"
        text = f"{value:{sign}.{decimals}f}"
        return text.lstrip("+-") if float(text) == 0 else text


def metric_columns(comparison: StoredComparison) -> list[Column]:
    """Return the compared metrics in the order in which they were asked for."""
    return columns_of(comparison.record["metrics"])


def compared_rows(comparison: StoredComparison) -> list[ComparedRow]:
    """Return the rows of the table, in its order."""
    columns = {column.variant: column for column in metric_columns(comparison)}
    infinite = _infinite(comparison)
    numbers = (
        "mean_diff",
        "ci_low",
        "ci_high",
        "p_holm",
        "smallest_detectable",
        "share_won",
        "margin",
        "baseline_mean",
        "codec_mean",
    )
    return [
        ComparedRow(
            lossless=infinite.get((row["codec"], row["region"], row["variant"]), (0, 0)),
            codec=str(row["codec"]),
            baseline=str(row["baseline"]),
            region=str(row["region"]),
            column=columns[row["variant"]],
            n_images=int(row["n_images"]),
            verdict=str(row["verdict"]),
            note=row["note"] if isinstance(row["note"], str) else "",
            **{name: _number_or_none(row[name]) for name in numbers},
        )
        for row in comparison.table.to_dict("records")
    ]


def _infinite(comparison: StoredComparison) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return on how many pictures of a row (codec, region, variant) each side alone is infinite."""
    frame: Any = comparison.per_image
    frame = frame[np.isinf(frame["difference"].to_numpy(float))]
    return {
        key: (int((group["difference"] > 0).sum()), int((group["difference"] < 0).sum()))
        for key, group in frame.groupby(["codec", "region", "variant"], sort=False)
    }


def compared_codecs(comparison: StoredComparison) -> list[str]:
    """Return the labels of the codecs that have rows, in the record's order."""
    known = set(comparison.table["codec"])
    return [entry["label"] for entry in comparison.record["codecs"] if entry["label"] in known]


def compared_regions(comparison: StoredComparison) -> list[str]:
    """Return `whole` and the kinds that have rows, in the table's order."""
    return list(dict.fromkeys(str(region) for region in comparison.table["region"]))


def differences_of(
    comparison: StoredComparison, codec: str, region: str, variant: str
) -> pd.DataFrame:
    """Return the values of each picture behind a row of the table."""
    frame: Any = comparison.per_image
    chosen = (frame["codec"] == codec) & (frame["region"] == region)
    return frame[chosen & (frame["variant"] == variant)]


def place_of(region: str) -> str:
    """Return where a row was measured, for a sentence: `over whole pictures`, `at the eyes`."""
    return "over whole pictures" if region == WHOLE else f"at the {plural(region)}"


def _number_or_none(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
