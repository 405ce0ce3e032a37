"""What a run's regions say, in sentences computed from its tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...bench.store.run import StoredRun
from ..tables.columns import Column, quality_columns
from ..tables.reading import plural
from ..tables.run import codec_names, per_region


@dataclass(frozen=True)
class Gap:
    """How far a region (or the mean of a kind, `region` empty) lies from its whole picture.

    `value`, `whole` and `gap` are in the unit of `column`; `regions` were averaged.
    """

    column: Column
    codec: str
    kind: str
    region: str
    image_id: str
    regions: int
    value: float
    whole: float
    gap: float

    @property
    def loss(self) -> float:
        """How much worse the region is than the whole; negative where it is better."""
        return -self.gap if self.column.higher_is_better else self.gap

    @property
    def phrase(self) -> str:
        """`9.3 dB below the whole picture`, or for a lower-is-better metric `… above …`."""
        size = self.column.quantity(abs(self.gap))
        return f"{size} {'above' if self.gap > 0 else 'below'} the whole picture"


def region_column(run: StoredRun) -> Column | None:
    """Return the first metric asked for that has a gap between a region and its picture."""
    table = per_region(run)
    for column in quality_columns(run):
        if len(table) and np.isfinite(table[column.variant, "gap"]).any():
            return column
    return None


def gaps(run: StoredRun, column: Column) -> list[Gap]:
    """Return the gap of every kind and every region under every codec that has one."""
    block = per_region(run)[column.variant].reset_index()
    found = [
        Gap(
            column,
            str(row["codec"]),
            str(row["kind"]),
            str(row["region"]),
            str(row["image_id"]),
            int(row["regions"]),
            float(row["value"]),
            float(row["whole"]),
            float(row["gap"]),
        )
        for row in block.to_dict("records")
    ]
    return [gap for gap in found if not math.isnan(gap.gap)]


def deepest_region(found: list[Gap]) -> Gap | None:
    """Return the single region that loses most against its picture: an eye where there is one."""
    single = [gap for gap in found if gap.region and math.isfinite(gap.gap)]
    eyes = [gap for gap in single if gap.kind == "eye"]
    return max(eyes or single, key=lambda gap: gap.loss, default=None)


def sentences(found: list[Gap]) -> list[str]:
    """Return one sentence a kind of region: its mean gap under each codec, largest loss first."""
    kinds = dict.fromkeys(gap.kind for gap in found)
    groups = ([gap for gap in found if gap.kind == kind and not gap.region] for kind in kinds)
    lines = [_kind_sentence(means) for means in groups if means]
    return [line[:1].upper() + line[1:] for line in lines]


def picture_sentence(found: list[Gap], deepest: Gap) -> str:
    """Return the mean gap under each codec of the deepest region's kind in its own picture."""
    place = (deepest.kind, deepest.image_id)
    single = [gap for gap in found if gap.region and (gap.kind, gap.image_id) == place]
    means: list[Gap] = []
    for codec in dict.fromkeys(gap.codec for gap in single):
        mine = [gap for gap in single if gap.codec == codec]
        value, whole, size = (
            float(np.mean(numbers))
            for numbers in zip(*((gap.value, gap.whole, gap.gap) for gap in mine), strict=True)
        )
        means.append(
            replace(mine[0], region="", regions=len(mine), value=value, whole=whole, gap=size)
        )
    return f"In {deepest.image_id}, {_kind_sentence(means)}"


def _kind_sentence(means: list[Gap]) -> str:
    means = sorted(means, key=lambda gap: -gap.loss)
    parts = [f"{means[0].phrase} with {means[0].codec}"]
    parts += [_short(gap, means[0]) for gap in means[1:]]
    count = f"{means[0].regions} region" + ("s" if means[0].regions != 1 else "")
    return f"{plural(means[0].kind)} ({count}): {', '.join(parts)}."


def _short(gap: Gap, first: Gap) -> str:
    size = gap.column.quantity(abs(gap.gap))
    same_side = (gap.gap > 0) == (first.gap > 0)
    side = "" if same_side else (" above" if gap.gap > 0 else " below")
    return f"{size}{side} with {gap.codec}"


def gap_table(run: StoredRun, found: list[Gap]) -> pd.DataFrame:
    """Return the mean gaps: a row a kind of region, a column a codec, NaN where there is none."""
    kinds = list(dict.fromkeys(gap.kind for gap in found))
    table = pd.DataFrame(math.nan, index=pd.Index(kinds), columns=pd.Index(codec_names(run)))
    for gap in found:
        if not gap.region:
            table.loc[gap.kind, gap.codec] = gap.gap
    return table
