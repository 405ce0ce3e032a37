"""The first tables of a page: what is best on average, and how far regions lie from their whole."""

from __future__ import annotations

import math
from typing import Any, cast

import pandas as pd

from ...bench.store.run import StoredRun
from ..tables.columns import Column, quality_columns, rate_columns
from ..tables.reading import plural
from ..tables.run import codec_names
from ..tables.sections import mean_text
from . import findings


def overview(run: StoredRun, table: pd.DataFrame) -> dict[str, Any]:
    """Return the summary: columns, and a row a codec of cells with what is best marked."""
    columns: list[Column] = [*quality_columns(run), *rate_columns(run)]
    best = {column.variant: _best(table, column) for column in columns}
    rows: list[dict[str, Any]] = []
    for codec, row in table.iterrows():
        cells: list[dict[str, Any]] = []
        for column in columns:
            text, _, note = mean_text(row, column, len(run.images)).partition(" (")
            marked = codec in best[column.variant]
            cells.append({"text": text, "note": note.rstrip(")"), "best": marked})
        rows.append({"codec": codec, "cells": cells})
    return {"columns": columns, "rows": rows}


def _best(table: pd.DataFrame, column: Column) -> list[str]:
    """Return the codecs with the best mean, among those scored on the most pictures."""
    if column.is_rate or len(table) < 2:
        return []
    values: Any = table[column.variant]
    comparable = values[values["pictures"] == values["pictures"].max()]["mean"].dropna()
    if not len(comparable):
        return []
    best = comparable.max() if column.higher_is_better else comparable.min()
    return [str(name) for name in comparable.index[comparable == best]]


def gap_rows(run: StoredRun, column: Column, found: list[findings.Gap]) -> list[dict[str, Any]]:
    """Return the mean gaps by kind, each with the share of the largest loss that it is."""
    table = findings.gap_table(run, found)
    counts = {gap.kind: gap.regions for gap in found if not gap.region}
    sign = -1.0 if column.higher_is_better else 1.0
    largest = max(
        (sign * float(gap) for gap in table.to_numpy().flat if not math.isnan(gap)), default=0
    )
    rows: list[dict[str, Any]] = []
    for kind, row in cast(Any, table).iterrows():
        cells: list[dict[str, Any]] = []
        for codec in codec_names(run):
            gap = float(row[codec])
            share = 0.0 if math.isnan(gap) or largest <= 0 else max(0.0, sign * gap / largest)
            cells.append({"text": column.number(gap, signed=True), "share": round(100 * share, 1)})
        name = plural(str(kind))
        rows.append({"kind": name, "count": counts.get(str(kind), 0), "cells": cells})
    return rows
