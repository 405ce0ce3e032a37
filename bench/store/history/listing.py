"""The history for the terminal: a line a cell, and the steps that are suspected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pandas as pd

_BARS = "▁▂▃▄▅▆▇█"
_SPARK_LENGTH = 24


def list_trends(trend: pd.DataFrame) -> Iterator[str]:
    """Yield each cell's newest value beside the median of the earlier ones, then what happened.

    That is a line for each other environment it was measured in since, and for each suspected step.

    Args:
        trend: the columns TREND_COLUMNS. Earlier values count where their fingerprint is that of
            the newest: another environment is no baseline.
    """
    if not len(trend):
        yield "The history is empty: vaebench run and vaebench speed fill it."
        return
    groups: Any = trend.groupby(["cell", "measure"], sort=False)
    for (cell, measure), group in groups:
        yield from _list_cell(str(cell), str(measure), group.reset_index(drop=True))


def _list_cell(cell: str, measure: str, rows: Any) -> Iterator[str]:
    newest = rows.iloc[-1]
    same = rows[rows["fingerprint"] == newest["fingerprint"]]
    name = cell if measure in cell else f"{cell} · {measure}"
    unit = f" {newest['unit']}" if newest["unit"] else ""
    line = f"{name}: {newest['value']:.4g}{unit}"
    if len(same) > 1:
        earlier = float(same["value"].iloc[:-1].median())
        change = f", {newest['value'] / earlier - 1:+.1%}" if earlier else ""
        line += f"{change} (median of {len(same) - 1} before: {earlier:.4g})"
    line += f"  {_spark(same['value'].tolist()[-_SPARK_LENGTH:])}"
    environments = rows["fingerprint"].nunique()
    others = f", {environments} environments" if environments > 1 else ""
    yield f"{line}  [{len(rows)} runs{others}, at {_commit(newest['commit'])}]"
    is_other = ~rows["fingerprint"].duplicated() & (rows.index > 0)
    for place in rows.index[rows["is_step"] | is_other]:
        if is_other[place]:
            yield f"  other environment: {_change(rows, int(place))}"
        else:
            yield f"  suspected step: {_step(rows, int(place))}"


def _change(rows: Any, place: int) -> str:
    """Return when a new environment came, and which it was and is, by fingerprint."""
    before, first = rows.loc[place - 1], rows.loc[place]
    return f"on {_when(first)}, {before['fingerprint']} → {first['fingerprint']}, not compared"


def _step(rows: Any, place: int) -> str:
    """Return when a level changed, by how much, and between which commits."""
    first = rows.loc[place]
    series = rows[rows["fingerprint"] == first["fingerprint"]]
    steps = [int(index) for index in series.index[series["is_step"]]]
    begins = [index for index in steps if index < place]
    ends = [index for index in steps if index > place]
    before = series.loc[begins[-1] if begins else series.index[0] : place - 1, "value"]
    after = series.loc[place : ends[0] - 1 if ends else series.index[-1], "value"]
    change = f"{after.median() / before.median() - 1:+.1%}" if before.median() else "from 0"
    last = series.loc[: place - 1].iloc[-1]
    return f"{change} on {_when(first)}, {_commit(last['commit'])} → {_commit(first['commit'])}"


def _when(row: Any) -> str:
    return f"{datetime.fromisoformat(row['created']):%Y-%m-%d %H:%M}"


def _commit(commit: Any) -> str:
    if not isinstance(commit, str):
        return "no commit"
    return commit[:10] + ("+" if commit.endswith("+") else "")


def _spark(values: list[float]) -> str:
    low, high = min(values), max(values)
    if high == low:
        return _BARS[0] * len(values)
    steps = len(_BARS) - 1
    return "".join(_BARS[round((value - low) / (high - low) * steps)] for value in values)
