"""The tables of a run as its files hold them: for a program in full, for a reader in sections."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from ...bench.store.run import StoredRun
from .columns import NOT_APPLICABLE, UNAVAILABLE, Column, quality_columns, rate_columns
from .latents import latent_sections
from .reading import Section
from .run import COUNTS, TABLES, unavailable
from .timings import timing_sections
from .writers import Table


def run_tables(run: StoredRun) -> Iterator[Table]:
    """Yield the tables of a run that have rows; one that lacks a number ends with the reasons."""
    measured = {column.variant for column in quality_columns(run)}
    for name, make in TABLES.items():
        frame = make(run)
        if frame.empty:
            continue
        parts = sections(name, frame, run)
        if any(cell == UNAVAILABLE for part in parts for row in part.rows for cell in row):
            told = tuple((UNAVAILABLE, note) for note in notes(run))
            parts[-1] = replace(parts[-1], notes=(*parts[-1].notes, *told))
        yield Table(name, run.record.name, frame, parts, measured)


def sections(name: str, table: pd.DataFrame, run: StoredRun) -> list[Section]:
    """Return a table of TABLES as sections of text: one for each variant where it has many."""
    if name == "timings":
        return timing_sections(run)
    if name == "latents":
        return latent_sections(run)
    columns = {column.variant: column for column in (*quality_columns(run), *rate_columns(run))}
    if table.columns.nlevels == 1:
        return [_section(name, table, columns)]
    variants = list(dict.fromkeys(table.columns.get_level_values(0)))
    parts = [_overview(table, columns, len(run.images))] if name == "summary" else []
    for variant in variants:
        column = columns[variant]
        if not column.is_rate:
            part = table.xs(variant, axis=1, level=0)
            parts.append(_section(f"{column.label} ({variant})", part, columns, column))
    return parts


def _overview(table: pd.DataFrame, columns: dict[str, Column], pictures: int) -> Section:
    variants = [variant for variant, statistic in table.columns if statistic == "mean"]
    rows = tuple(
        (str(codec), *(mean_text(row, columns[variant], pictures) for variant in variants))
        for codec, row in table.iterrows()
    )
    return Section("Means", ("codec", *variants), rows, (False, *(True for _ in variants)))


def mean_text(row: Any, column: Column, pictures: int) -> str:
    """Return a summary row's mean for reading, and what it is a mean of where that is not all.

    A set with identical pictures reads `inf (3 of 24 identical; the rest 41.20)`.
    """
    values = row[column.variant]
    text = column.number(float(values["mean"]))
    if math.isnan(values["mean"]):
        return text
    told: list[str] = []
    known, infinite = int(values["pictures"]), int(values.get("infinite", 0))
    if infinite:
        told.append(f"{infinite} of {known} identical")
        if infinite < known:
            told[0] += f"; the rest {column.number(float(values['mean of the finite']))}"
    if known < pictures:
        told.append(f"{known} of {pictures} pictures")
    return f"{text} ({'; '.join(told)})" if told else text


def _section(
    title: str, table: pd.DataFrame, columns: dict[str, Column], column: Column | None = None
) -> Section:
    flat = table.reset_index() if any(table.index.names) else table
    header = tuple(str(name) for name in flat.columns)
    owners = [column or columns.get(name) for name in header]
    keys = set(table.index.names)
    rows = tuple(
        tuple(
            _text(value, name, None if name in keys else owner)
            for value, name, owner in zip(row, header, owners, strict=True)
        )
        for row in flat.itertuples(index=False, name=None)
    )
    numeric = tuple(
        name == "rank" or pd.api.types.is_numeric_dtype(flat[name]) for name in flat.columns
    )
    return Section(title, header, rows, numeric)


def _text(value: Any, statistic: str, column: Column | None) -> str:
    if isinstance(value, str):
        return value or {"region": "(mean)", "image_id": ""}.get(statistic, NOT_APPLICABLE)
    if column is None or statistic in COUNTS:
        return str(int(value))
    return column.number(float(value), signed=statistic == "gap")


def notes(run: StoredRun) -> list[str]:
    """Return why numbers are missing and the mend, a sentence a reason."""
    lines: list[str] = []
    for row in unavailable(run).to_dict("records"):
        codec = "" if row["codec"] == "all" else f", {row['codec']}"
        pictures = "" if row["pictures"] == "all" else f", {row['pictures']}"
        lines.append(f"{row['variant']}{codec}{pictures}: {row['reason']}")
    return lines
