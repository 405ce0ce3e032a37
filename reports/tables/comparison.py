"""The tables of a comparison: data frames at full precision, and rectangles of text for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ...bench.compare.store import COMPARISON_COLUMNS, PER_IMAGE_COLUMNS, StoredComparison
from .columns import NOT_APPLICABLE, UNAVAILABLE, Column
from .comparison_rows import QUOTED, ComparedRow, compared_codecs, compared_rows, metric_columns
from .reading import Section
from .writers import Makers, Table, made_tables

CSV_COLUMNS = (*COMPARISON_COLUMNS, "protocol", "source")
"""A quoted figure has its value under `codec_mean`, and alone a protocol and a source."""

_MEASURED = (
    "mean_diff",
    "ci_low",
    "ci_high",
    "smallest_detectable",
    "share_won",
    "baseline_mean",
    "codec_mean",
    "mean",
)
"""Columns of numbers that every row would have; elsewhere an empty cell is no loss."""

_HEADER = (
    "region",
    "metric",
    "pictures",
    "baseline",
    "codec",
    "difference",
    "interval",
    "p (Holm)",
    "won",
    "detectable",
    "verdict",
)


def comparison_table(comparison: StoredComparison) -> pd.DataFrame:
    """Return every row of the comparison, then the quoted figures with the verdict `quoted`."""
    quoted = [
        {
            **dict.fromkeys(CSV_COLUMNS, ""),
            "codec": entry["name"],
            "metric": str(entry["variant"]).partition("/")[0],
            "variant": entry["variant"],
            "verdict": QUOTED,
            "unit": entry["unit"],
            "codec_mean": entry["value"],
            "protocol": entry["protocol"],
            "source": entry["source"],
        }
        for entry in comparison.record["quoted"]
    ]
    rows = [*comparison.table.to_dict("records"), *quoted]
    return pd.DataFrame(rows, columns=pd.Index(CSV_COLUMNS), dtype=object)


def comparison_sections(comparison: StoredComparison) -> list[Section]:
    """Return a section a codec, and one of the quoted figures where there are any."""
    rows = compared_rows(comparison)
    parts = [
        _codec_section([row for row in rows if row.codec == codec], comparison)
        for codec in compared_codecs(comparison)
    ]
    return [*parts, *quoted_sections(comparison)]


def _codec_section(rows: Sequence[ComparedRow], comparison: StoredComparison) -> Section:
    per_cent = f"{100 * float(comparison.record['confidence']):g} %"
    header = tuple(f"{per_cent} {name}" if name == "interval" else name for name in _HEADER)
    notes = tuple(
        (f"{row.column.variant}, {row.region}", f"{row.note}.") for row in rows if row.note
    )
    return Section(
        f"{rows[0].codec} against {rows[0].baseline}",
        header,
        tuple(_cells(row) for row in rows),
        (False, False, *(True,) * (len(header) - 3), False),
        notes,
    )


def _cells(row: ComparedRow) -> tuple[str, ...]:
    unit = f", {row.column.unit}" if row.column.unit else ""
    return (
        row.region,
        f"{row.column.variant}{unit}",
        str(row.n_images),
        _mean(row.baseline_mean, row.column),
        _mean(row.codec_mean, row.column),
        row.difference,
        row.interval,
        row.p_text,
        row.won,
        row.detectable,
        row.verdict_text,
    )


def _mean(value: float | None, column: Column) -> str:
    return NOT_APPLICABLE if value is None else column.number(value)


def quoted_sections(comparison: StoredComparison) -> list[Section]:
    """Return the figures that were typed in, with protocol and source; nothing without any."""
    rows = tuple(
        (
            str(entry["name"]),
            str(entry["variant"]),
            f"{entry['value']:g} {entry['unit']}".strip(),
            QUOTED,
            str(entry["protocol"]),
            str(entry["source"]),
        )
        for entry in comparison.record["quoted"]
    )
    header = ("name", "metric", "value", "kind", "protocol", "source")
    is_number = tuple(name == "value" for name in header)
    return [Section("Quoted figures, never computed with", header, rows, is_number)] if rows else []


def apart_table(comparison: StoredComparison) -> pd.DataFrame:
    """Return the means of codecs that were scored under another protocol."""
    columns = ["codec", "variant", "unit", "mean", "n_images", "protocol"]
    return pd.DataFrame(comparison.record["apart"], columns=pd.Index(columns), dtype=object)


def apart_sections(comparison: StoredComparison) -> list[Section]:
    """Return the same for reading."""
    known = {column.variant: column for column in metric_columns(comparison)}
    rows: list[tuple[str, ...]] = []
    for entry in comparison.record["apart"]:
        variant, unit, mean = str(entry["variant"]), str(entry["unit"]), entry["mean"]
        root = variant.partition("/")[0]
        column = known.get(variant, Column(root, variant, unit, None))
        text = UNAVAILABLE if mean is None else column.quantity(float(mean))
        rows.append((entry["codec"], variant, text, str(entry["n_images"]), entry["protocol"]))
    header = ("codec", "metric", "mean", "pictures", "protocol")
    is_number = (False, False, True, True, False)
    return [Section("Apart: another protocol", header, tuple(rows), is_number)] if rows else []


def mismatches_table(comparison: StoredComparison) -> pd.DataFrame:
    """Return what was left out of the comparison, and why."""
    columns = ["what", "where", "reason"]
    return pd.DataFrame(comparison.record["mismatches"], columns=pd.Index(columns), dtype=object)


def mismatches_sections(comparison: StoredComparison) -> list[Section]:
    """Return the same for reading."""
    header = ("what", "where", "reason")
    rows = tuple(
        tuple(str(entry[name]) for name in header) for entry in comparison.record["mismatches"]
    )
    return [Section("Left out", header, rows, (False,) * 3)] if rows else []


def per_image_table(comparison: StoredComparison) -> pd.DataFrame:
    """Return the values of every picture behind the rows."""
    return comparison.per_image.reindex(columns=list(PER_IMAGE_COLUMNS)).astype(object)


def per_image_sections(comparison: StoredComparison) -> list[Section]:
    """Return the same for reading: a section a codec, region and metric."""
    columns = {column.variant: column for column in metric_columns(comparison)}
    frame: Any = comparison.per_image
    parts: list[Section] = []
    keys = ["codec", "region", "variant"]
    for (codec, region, variant), group in frame.groupby(keys, sort=False):
        column = columns[variant]
        rows = tuple(
            (
                str(row["image_id"]),
                column.number(float(row["baseline_value"])),
                column.number(float(row["codec_value"])),
                column.number(float(row["difference"]), signed=True),
            )
            for row in group.to_dict("records")
        )
        baseline = str(group["baseline"].iloc[0])
        header = ("picture", baseline, str(codec), "difference")
        title = f"{codec} against {baseline}, {region}, {variant}"
        parts.append(Section(title, header, rows, (False, True, True, True)))
    return parts


COMPARISON_TABLES: Makers[StoredComparison] = {
    "comparison": (comparison_table, comparison_sections),
    "per_image": (per_image_table, per_image_sections),
    "apart": (apart_table, apart_sections),
    "mismatches": (mismatches_table, mismatches_sections),
}


def comparison_tables(comparison: StoredComparison) -> Iterator[Table]:
    """Yield the tables that have rows."""
    name = str(comparison.record["name"])
    return made_tables(COMPARISON_TABLES, comparison, name, _MEASURED)
