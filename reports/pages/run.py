"""report.html: one page that opens from disk, without network or server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bench.store.run import StoredRun, write_atomic
from ..pictures.addresses import view_address
from ..pictures.strips import colour_table, error_colours, picture_rows, region_strips, scale_of
from ..pictures.thumbnails import Thumbnails
from ..plots.error_maps import missing_maps, scale_label
from ..plots.points import PlotPoints
from ..render import BASE_SCRIPTS, SCRIPT_SOURCES, TABLE_SCRIPTS, page_frame, part_script, render
from ..tables.columns import primary_column
from ..tables.latents import latent_findings, latent_sections
from ..tables.run import scored_images, summary, unavailable, worst
from ..tables.scores import score_table
from ..tables.timings import timed_cells, timing_sections
from ..tables.writers import notes, sections
from ..viewer import viewer
from . import findings, speed
from .definitions import explain, explain_speed
from .heading import leading, protocol, question
from .overview import gap_rows, overview

OPEN_STRIPS = 6
OPEN_NOTICES = 6
"""More lines than this at the top of the page are folded: they would hide what it is about."""

SHOWN_ROWS = 200
"""Of pictures and their hashes, and of remarks; a longer list is in run.json."""

SCORES = "tables/scores"
"""The part of the page that holds all scores, which grows with the pictures as nothing else."""


@dataclass(frozen=True)
class Drawn:
    """A plot as it was written: its stem, what it shows, whether it holds pictures, its links.

    `ratio` is its width to its height, as CSS says it: the page keeps its place until it is loaded.
    """

    name: str
    stem: str
    caption: str
    has_pictures: bool
    points: PlotPoints | None = None
    ratio: str = "auto"


def write_html(
    run: StoredRun,
    drawn: Sequence[Drawn],
    missing: dict[str, str],
    written: Sequence[str],
    *,
    single_file: bool = False,
) -> Path:
    """Write report.html, and the thumbnails that it shows, into the run folder.

    Args:
        drawn: the plots that were written. missing: why the others were not, by name.
        written: the tables that were written, by name.
        single_file: whether the page holds pictures and plots itself.
    """
    path = run.folder / "report.html"
    thumbnails = Thumbnails(run.folder)
    looked_at = viewer.viewer_view(run, single_file=single_file)
    if looked_at and not single_file:
        viewer.write_viewer_files(run, looked_at["pictures"])
    scores = score_table(run) if scored_images(run) else None
    _write_scores(run, None if single_file else scores)
    view = _view(run, drawn, missing, written, thumbnails, has_viewer=looked_at is not None)
    frame = page_frame(
        run.folder,
        [
            *(viewer.SCRIPTS if looked_at else BASE_SCRIPTS),
            *TABLE_SCRIPTS,
            "plots.js",
        ],
        ["report.css", *(viewer.STYLES if looked_at else ())],
        single_file=single_file,
        beside=() if single_file else SCRIPT_SOURCES,
    )
    page = render("report.html.j2", {**view, **frame, "viewer": looked_at, "scores": scores})
    write_atomic(path, page.encode())
    thumbnails.remove_stale()
    return path


def _write_scores(run: StoredRun, scores: dict[str, Any] | None) -> None:
    """Write the scores that the page loads once it is drawn; None removes an earlier report's."""
    path = run.folder / f"{SCORES}.js"
    if scores is None:
        path.unlink(missing_ok=True)
    else:
        write_atomic(path, part_script(path.stem, scores))


def _view(
    run: StoredRun,
    drawn: Sequence[Drawn],
    missing: dict[str, str],
    written: Sequence[str],
    thumbnails: Thumbnails,
    *,
    has_viewer: bool,
) -> dict[str, Any]:
    record = run.record
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
        "scored": scored,
        "chapters": _chapters(run, scored, bool(plots.get("trend")), has_viewer),
        "question": question(run, scored),
        "protocol": protocol(run, scored),
        "address": view_address,
        "unavailable": unavailable(run).to_dict("records"),
        "open_notices": OPEN_NOTICES,
        "notes": notes(run),
        "plots": plots,
        "missing": missing,
        "shown_rows": SHOWN_ROWS,
        "scores_part": SCORES,
        "definitions": [*explain(run), *explain_speed(run)],
        "tables": list(written),
        **_quality(run),
        **_pictures(run, thumbnails),
        "latent_findings": latent_findings(run),
        "latent_sections": latent_sections(run),
        **_speed(run, plots, missing),
    }


def _quality(run: StoredRun) -> dict[str, Any]:
    """Return what the sections about scores show."""
    table = summary(run)
    column = findings.region_column(run)
    found = findings.gaps(run, column) if column else []
    deepest = findings.deepest_region(found)
    return {
        "primary": primary_column(run),
        "leading": leading(run, deepest),
        "overview": overview(run, table),
        "summary_sections": sections("summary", table, run)[1:],
        "region_column": column,
        "sentences": findings.sentences(found),
        "beside": findings.picture_sentence(found, deepest) if deepest else "",
        "gaps": gap_rows(run, column, found) if column else [],
        "region_count": len(run.regions),
        "worst_sections": sections("worst", worst(run), run),
    }


def _pictures(run: StoredRun, thumbnails: Thumbnails) -> dict[str, Any]:
    """Return the pictures of the page, and the colours of their errors."""
    scale = scale_of(run)
    return {
        "open_strips": OPEN_STRIPS,
        "strips": region_strips(run, scale, thumbnails),
        "worst_rows": picture_rows(run, scale, thumbnails),
        "scale": scale,
        "scale_label": scale_label(run) if scale else "",
        "missing_maps": missing_maps(run),
        "colour_table": (
            colour_table(scale, float(run.record["error_map"]["max"])) if scale else []
        ),
        "colours": error_colours(),
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


def _chapters(
    run: StoredRun, scored: bool, has_trend: bool, has_viewer: bool
) -> list[tuple[str, str]]:
    """Return the sections that the page has, as (id, title); one without content is left out."""
    quality = [
        ("summary", "Summary"),
        ("regions", "Regions"),
        ("worst", "Worst pictures"),
        *([("pictures", "Every picture")] if scored_images(run) else []),
        ("distributions", "Distributions"),
        ("rate", "Rate"),
    ]
    return [
        *([("viewer", "Look closer")] if has_viewer else []),
        *(quality if scored else []),
        *([("speed", "Speed")] if timed_cells(run) else []),
        *([("history", "History")] if has_trend else []),
        *([("latents", "Latents")] if scored else []),
        ("reading", "How to read it"),
        ("provenance", "Provenance"),
    ]
