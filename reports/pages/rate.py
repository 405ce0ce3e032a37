"""rd.html: what the bytes buy, on one page that opens from disk without network or script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bench.rate.store import StoredRd
from ..pictures.rate import galleries
from ..tables.columns import Column
from ..tables.rate import (
    bd_sections,
    best_sections,
    curve_sections,
    equal_sections,
    metric_columns,
    rate_sections,
    swept_codecs,
)
from .made import Made, moment, write_page

CHAPTERS = (
    ("deltas", "BD-rate"),
    ("curves", "Curves"),
    ("equal", "Equal bytes"),
    ("rates", "What latents cost"),
    ("reading", "How to read it"),
    ("provenance", "Provenance"),
)


@dataclass(frozen=True)
class DeltaCell:
    """A BD-rate of the matrix: its text, interval and whether fewer bits are needed.

    `is_better` is None where there is no interval or it holds 0; `reason` is the note.
    """

    text: str
    interval: str
    is_better: bool | None
    reason: str


def write_rd_html(found: StoredRd, made: Made) -> Path:
    """Write rd.html into the folder of a measurement."""
    view = {**_view(found), **made.view()}
    return write_page(found.folder / "rd.html", view, styles=["report.css", "rd.css"])


def _view(found: StoredRd) -> dict[str, Any]:
    record = found.record
    columns = metric_columns(found)
    codecs = [name for name in swept_codecs(found) if name != record["anchor"]]
    return {
        "record": record,
        "chapters": CHAPTERS,
        "codecs": swept_codecs(found),
        "columns": columns,
        "protocol": _protocol(record),
        "matrix": [
            (codec, [_cell(found, codec, column) for column in columns]) for codec in codecs
        ],
        "deltas": bd_sections(found) if columns else [],
        "best": best_sections(found)[0],
        "curves": curve_sections(found),
        "equal": equal_sections(found),
        "galleries": galleries(found),
        "rates": rate_sections(found)[0],
        "per_cent": f"{100 * float(record['bootstrap']['confidence']):g} %",
    }


def _protocol(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what decides the numbers, as (what, how) pairs for one line."""
    return [
        ("anchor", str(record["anchor"])),
        ("pictures", str(len(record["images"]))),
        ("size", "native"),
        ("reconstructions", "rounded to 8 bits"),
        ("made", moment(record["created"])),
    ]


def _cell(found: StoredRd, codec: str, column: Column) -> DeltaCell:
    own = found.bd["codec"].eq(codec) & found.bd["metric"].eq(column.variant)
    row: Any = found.bd[own].iloc[0]
    value, low, high = (float(row[name]) for name in ("bd_rate_percent", "ci_low", "ci_high"))
    if math.isnan(value):
        return DeltaCell("refused", "", None, str(row["note"]))
    text = f"{value:+.1f} %"
    if math.isnan(low):
        return DeltaCell(text, "", None, str(row["note"]))
    is_better = None if low <= 0 <= high else value < 0
    return DeltaCell(text, f"{low:+.1f} to {high:+.1f}", is_better, str(row["note"]))
