"""report.html: one page that opens from disk, without network, server or script."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from ..bench.store import StoredRun, write_atomic
from . import findings, speed
from .columns import Column, primary_column, quality_columns, rate_columns
from .definitions import explain, explain_speed
from .markup import mean_text, notes, sections
from .page import render
from .pictures import colour_table, error_colours, picture_rows, region_strips, scale_of
from .plots.error_maps import missing_maps, scale_label
from .reading import Section
from .tables import codec_names, per_image, per_region, summary, unavailable, worst
from .timings import CPU, devices_of, timed_cells, timing_sections

OPEN_STRIPS = 6
SHOWN_ROWS = 1500
"""A longer table makes a page that no browser scrolls smoothly; the CSV has all of it."""


@dataclass(frozen=True)
class Drawn:
    """A plot as it was written: its stem, what it shows, whether it holds pictures."""

    name: str
    stem: str
    caption: str
    has_pictures: bool


def write_html(
    run: StoredRun, drawn: Sequence[Drawn], missing: dict[str, str], written: Sequence[str]
) -> Path:
    """Write report.html into the run folder.

    Args:
        drawn: the plots that were written. missing: why the others were not, by name.
        written: the tables that were written, by name.
    """
    path = run.folder / "report.html"
    write_atomic(path, render("report.html.j2", _view(run, drawn, missing, written)).encode())
    return path


def _view(
    run: StoredRun, drawn: Sequence[Drawn], missing: dict[str, str], written: Sequence[str]
) -> dict[str, Any]:
    record, table = run.record, summary(run)
    column = findings.region_column(run)
    found = findings.gaps(run, column) if column else []
    deepest = findings.deepest_region(found)
    scale = scale_of(run)
    scored = bool(record["images"] or record["metrics"])
    plots = {
        name: [plot for plot in drawn if plot.name == name]
        for name in dict.fromkeys([*(plot.name for plot in drawn), *missing])
    }
    return {
        "name": record["name"],
        "record": record,
        "codecs": record["codecs"],
        "pictures": len(run.images),
        "primary": primary_column(run),
        "scored": scored,
        "chapters": _chapters(run, scored, bool(plots.get("trend"))),
        "question": _question(run, scored),
        "protocol": _protocol(run, scored),
        **_speed(run, plots, missing),
        "unavailable": unavailable(run).to_dict("records"),
        "notes": notes(run),
        "overview": _overview(run, table),
        "summary_sections": sections("summary", table, run)[1:],
        "region_column": column,
        "deepest": deepest,
        "sentences": findings.sentences(found),
        "beside": findings.picture_sentence(found, deepest) if deepest else "",
        "gaps": _gap_rows(run, column, found) if column else [],
        "region_sections": sections("per_region", per_region(run), run) if run.regions else [],
        "open_strips": OPEN_STRIPS,
        "strips": region_strips(run, scale),
        "region_count": len(run.regions),
        "worst_rows": picture_rows(run, scale),
        "worst_sections": sections("worst", worst(run), run),
        "scale": scale,
        "scale_label": scale_label(run) if scale else "",
        "missing_maps": missing_maps(run),
        "colour_table": colour_table(scale, float(record["error_map"]["max"])) if scale else [],
        "colours": error_colours(),
        "plots": plots,
        "missing": missing,
        "images_table": _cut(sections("per_image", per_image(run), run)[0]),
        "shown_rows": SHOWN_ROWS,
        "definitions": [*explain(run), *explain_speed(run)],
        "tables": list(written),
    }


SPEED_PLOTS = {
    "quality_latency": "quality against latency",
    "stage_split": "encode and decode",
    "latency_by_size": "latency against size",
    "latency_by_batch": "latency against batch",
    "throughput": "throughput",
    "memory": "memory",
}


def _speed(
    run: StoredRun, plots: dict[str, list[Drawn]], missing: dict[str, str]
) -> dict[str, Any]:
    """Return the speed section's part of the view; `timed` tells whether there is one."""
    if not timed_cells(run):
        return {"timed": False, "problems": []}
    drawn = [plot for name in SPEED_PLOTS for plot in plots.get(name, [])]
    return {
        "timed": True,
        "problems": speed.problems(run),
        "headline": speed.headline(run),
        "timing_sections": timing_sections(run),
        "speed_plots": drawn,
        "not_drawn": _not_drawn(missing if len(run.scores) else {**missing, "quality_latency": ""}),
        "facts": speed.facts(run),
    }


def _not_drawn(missing: dict[str, str]) -> list[str]:
    """Return the plots of speed that have nothing to show: a text a reason."""
    reasons: dict[str, list[str]] = {}
    for name, title in SPEED_PLOTS.items():
        if missing.get(name):
            reasons.setdefault(missing[name], []).append(title)
    return [f"{' and '.join(titles)} ({reason})" for reason, titles in reasons.items()]


def _chapters(run: StoredRun, scored: bool, has_trend: bool) -> list[tuple[str, str]]:
    """Return the sections that the page has, as (id, title); one without content is left out."""
    quality = [
        ("summary", "Summary"),
        ("regions", "Regions"),
        ("worst", "Worst pictures"),
        ("distributions", "Distributions"),
        ("rate", "Rate"),
    ]
    later = [("latents", "Latents"), ("pictures", "Every picture")]
    return [
        *(quality if scored else []),
        *([("speed", "Speed")] if timed_cells(run) else []),
        *([("history", "History")] if has_trend else []),
        *(later if scored else []),
        ("reading", "How to read it"),
        ("provenance", "Provenance"),
    ]


def _question(run: StoredRun, scored: bool) -> dict[str, Any]:
    """Return the question that the page answers: words before and after the codecs' names."""
    cells = timed_cells(run)
    names = codec_names(run) or list(dict.fromkeys(cell.codec for cell in cells))
    one = len(names) == 1
    if not scored:
        devices = ["a CPU" if device == CPU else device for device in devices_of(cells)]
        where = f" on {' and '.join(devices)}" if devices else ""
        verb = "is" if one else "are"
        return {"before": f"How fast {verb}", "names": names, "after": f"{where}?"}
    count = len(run.images)
    pictures = f" do to {count} picture{'' if count == 1 else 's'}"
    speed_too = f", and how fast {'is it' if one else 'are they'}?" if cells else "?"
    joint = ", where" if cells else ", and where"
    verb = "does" if one else "do"
    return {"before": f"What {verb}", "names": names, "after": f"{pictures}{joint}{speed_too}"}


def _protocol(run: StoredRun, scored: bool) -> list[tuple[str, str]]:
    """Return what decides the numbers, as (what, how) pairs for one line."""
    made = str(run.record["created"]).replace("T", " ").replace("Z", " UTC")
    quality = _quality_protocol(run) if scored else []
    return [*quality, *speed.protocol(run), ("made", made.replace("+00:00", " UTC"))]


def _quality_protocol(run: StoredRun) -> list[tuple[str, str]]:
    suite = run.record["suite"]
    size, fit = suite.get("size"), suite.get("fit")
    sets = ", ".join(dict.fromkeys(str(image["image_set"]) for image in run.record["images"]))
    rounding = "scored unrounded" if suite.get("rounding") == "float" else "rounded to 8 bits"
    hashes = "".join(str(image["sha256"]) for image in run.record["images"])
    return [
        ("pictures", f"{len(run.images)} from {sets}" if sets else str(len(run.images))),
        ("size", f"{size} px, {fit}" if size else "native"),
        ("reconstructions", rounding),
        ("set hash", hashlib.sha256(hashes.encode()).hexdigest()[:12]),
    ]


def _overview(run: StoredRun, table: pd.DataFrame) -> dict[str, Any]:
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


def _gap_rows(run: StoredRun, column: Column, found: list[findings.Gap]) -> list[dict[str, Any]]:
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
        name = findings.plural(str(kind))
        rows.append({"kind": name, "count": counts.get(str(kind), 0), "cells": cells})
    return rows


def _cut(section: Section) -> dict[str, Any]:
    return {
        "header": section.header,
        "rows": section.rows[:SHOWN_ROWS],
        "is_number": section.is_number,
        "total": len(section.rows),
    }
