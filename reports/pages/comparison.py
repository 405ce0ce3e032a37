"""comparison.html: one page that opens from disk, without network or server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from ..pictures.addresses import pair_address
from ..pictures.comparison import changed_column, changes_of, error_top, patches_of
from ..pictures.strips import colour_table, error_colours
from ..pictures.thumbnails import Thumbnails
from ..render import TABLE_SCRIPTS
from ..tables.columns import NOT_APPLICABLE, UNAVAILABLE, Column
from ..tables.comparison import comparison_sections, quoted_sections
from ..tables.comparison_rows import (
    QUOTED,
    ComparedRow,
    compared_codecs,
    compared_rows,
    metric_columns,
)
from ..viewer import viewer
from ..viewer.comparison import picture_name, viewed_comparison
from .comparison_words import headlines, left_out
from .made import Made, moment, scored_as, write_page

OPEN_CODECS = 2
"""Codecs whose pictures and full tables are unfolded; those of more would hide the rest."""


FEWEST_FOR_A_VERDICT = 6
"""Of fewer pictures no Wilcoxon p is below 5 %: 2/2⁵ is 6 %."""

CHAPTERS = (
    ("verdicts", "Verdicts"),
    ("changed", "What changed most"),
    ("patches", "Worst patches"),
    ("plots", "Plots"),
    ("means", "Means"),
    ("reading", "How to read it"),
    ("provenance", "Provenance"),
)
"""The sections of the page: id and title."""


def write_comparison_html(comparison: StoredComparison, made: Made) -> Path:
    """Write comparison.html, and the thumbnails that it shows, into the comparison folder."""
    thumbnails = Thumbnails(comparison.folder)

    def thumbnail(below: str, is_map: bool) -> str | None:
        """Return the thumbnail of a picture that the comparison kept."""
        make = thumbnails.error_map if is_map else thumbnails.picture
        return make(comparison.folder / below)

    looked_at = viewer.looked_at(viewed_comparison(comparison), single_file=False)
    chapters = [*([("viewer", "Look closer")] if looked_at else []), *CHAPTERS]
    path = write_page(
        comparison.folder / "comparison.html",
        {**_view(comparison), **made.view(), "chapters": chapters, "thumbnail": thumbnail},
        looked_at,
        scripts=TABLE_SCRIPTS,
        styles=["report.css", "comparison.css"],
    )
    thumbnails.remove_stale()
    return path


def _view(comparison: StoredComparison) -> dict[str, Any]:
    record = comparison.record
    rows = compared_rows(comparison)
    codecs = compared_codecs(comparison)
    scale = error_top(comparison)
    return {
        "record": record,
        "codecs": codecs,
        "open_codecs": OPEN_CODECS,
        "address": pair_address,
        "picture_name": picture_name,
        "headlines": headlines(comparison),
        "left_out": left_out(comparison),
        "protocol": _protocol(record),
        "per_cent": f"{100 * float(record['confidence']):g} %",
        "few": any(row.n_images < FEWEST_FOR_A_VERDICT for row in rows),
        "matrices": [_matrix([row for row in rows if row.codec == codec]) for codec in codecs],
        "sections": comparison_sections(comparison)[: len(codecs)],
        "means": _means(comparison, rows),
        "quoted": quoted_sections(comparison),
        "changed": changes_of(comparison),
        "changed_column": changed_column(comparison),
        "patches": patches_of(comparison),
        "scale": scale,
        "scale_label": f"{record['map']['variant']} per pixel" if scale else "",
        "colour_table": colour_table(scale, float(record["map"]["max"])) if scale else [],
        "colours": error_colours(),
        "margins": _margins(comparison),
    }


def _protocol(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what decides the numbers, as (what, how) pairs for one line."""
    suite = record["protocol"]
    return [
        ("baseline", str(record["baseline"])),
        ("pictures", str(suite["pictures"])),
        *scored_as(suite["size"], suite["fit"], suite["rounding"], suite.get("background")),
        ("runs", ", ".join(str(run["name"]) for run in record["runs"])),
        ("made", moment(record["created"])),
    ]


def _matrix(rows: Sequence[ComparedRow]) -> dict[str, Any]:
    """Return a codec's verdicts: a row a metric, a column a region, None where nothing is."""
    regions = list(dict.fromkeys(row.region for row in rows))
    columns = list(dict.fromkeys(row.column for row in rows))
    cells = {(row.column.variant, row.region): row for row in rows}
    counts = {
        region: max(row.n_images for row in rows if row.region == region) for region in regions
    }
    return {
        "codec": rows[0].codec,
        "baseline": rows[0].baseline,
        "regions": [(region, counts[region]) for region in regions],
        "rows": [
            (column, [cells.get((column.variant, region)) for region in regions])
            for column in columns
        ],
    }


def _means(comparison: StoredComparison, rows: Sequence[ComparedRow]) -> dict[str, Any]:
    """Return the means of whole pictures: baseline, codecs, then quoted and apart, marked so."""
    record, columns = comparison.record, _mean_columns(comparison)
    whole = [row for row in rows if row.region == WHOLE]
    own: list[dict[str, Any]] = []
    if whole:
        values = _baseline_values(whole)
        own.append(_mean_row(str(record["baseline"]), "baseline", values, columns))
    for codec in compared_codecs(comparison):
        values = {
            row.column.variant: (row.codec_mean, row.n_images)
            for row in whole
            if row.codec == codec
        }
        own.append(_mean_row(codec, "", values, columns))
    apart: dict[tuple[str, str], dict[str, tuple[float | None, int]]] = {}
    for entry in record["apart"]:
        place = apart.setdefault((str(entry["codec"]), str(entry["protocol"])), {})
        place[str(entry["variant"])] = (entry["mean"], int(entry["n_images"]))
    own += [
        _mean_row(codec, "apart", values, columns, protocol)
        for (codec, protocol), values in apart.items()
    ]
    for entry in record["quoted"]:
        values = {str(entry["variant"]): (float(entry["value"]), 0)}
        row = _mean_row(str(entry["name"]), QUOTED, values, columns, str(entry["protocol"]))
        place = next(n for n, column in enumerate(columns) if column.variant in values)
        # In its source's own digits: 24.50 would claim one that 24.5 has not.
        row["cells"][place]["text"] = f"{entry['value']:g}"
        own.append(row)
    total = str(record["protocol"]["pictures"])
    for row in own:
        for cell in row["cells"]:
            cell["pictures"] = "" if cell["pictures"] in ("0", total) else cell["pictures"]
    return {"columns": columns, "rows": own}


def _mean_columns(comparison: StoredComparison) -> list[Column]:
    """Return the compared metrics, then those that only quoted or separate figures are of."""
    columns = {column.variant: column for column in metric_columns(comparison)}
    for entry in (*comparison.record["apart"], *comparison.record["quoted"]):
        variant = str(entry["variant"])
        root = variant.partition("/")[0]
        columns.setdefault(variant, Column(root, variant, str(entry["unit"]), None))
    return list(columns.values())


def _baseline_values(whole: Sequence[ComparedRow]) -> dict[str, tuple[float | None, int]]:
    """Return the baseline's means, each over the most pictures that any codec shares with it."""
    most: dict[str, ComparedRow] = {}
    for row in whole:
        known = most.setdefault(row.column.variant, row)
        if row.n_images > known.n_images:
            most[row.column.variant] = row
    return {variant: (row.baseline_mean, row.n_images) for variant, row in most.items()}


def _mean_row(
    name: str,
    kind: str,
    values: Mapping[str, tuple[float | None, int]],
    columns: Sequence[Column],
    protocol: str = "",
) -> dict[str, Any]:
    cells: list[dict[str, str]] = []
    for column in columns:
        mean, count = values.get(column.variant, (None, 0))
        absent = UNAVAILABLE if column.variant in values else NOT_APPLICABLE
        text = absent if mean is None else column.number(mean)
        cells.append({"text": text, "pictures": str(count)})
    return {"name": name, "kind": kind, "protocol": protocol, "cells": cells}


def _margins(comparison: StoredComparison) -> list[tuple[Column, str]]:
    """Return every metric and its margin in words."""
    record = comparison.record["margins"]
    found: list[tuple[Column, str]] = []
    for column in metric_columns(comparison):
        margin = record.get(column.variant)
        unit = f" {column.unit}" if column.unit else ""
        text = "no margin: never called the same" if margin is None else f"±{margin:g}{unit}"
        found.append((column, text))
    return found
