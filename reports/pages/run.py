"""report.html: one page that opens from disk, without network or server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...bench.store.atomic import write_atomic
from ...bench.store.run import StoredRun
from ..pictures.addresses import view_address
from ..pictures.strips import colour_table, error_colours, picture_rows, region_strips, scale_of
from ..pictures.thumbnails import Thumbnails
from ..plots.error_maps import missing_maps, scale_label
from ..render import TABLE_SCRIPTS, part_script
from ..tables.columns import primary_column
from ..tables.latents import latent_findings, latent_sections
from ..tables.run import scored_images, summary, unavailable, worst
from ..tables.scores import score_table
from ..tables.sections import sections
from ..tables.timings import timed_cells, timing_sections
from ..viewer import viewer
from ..viewer.viewed import viewed_run
from . import findings, speed
from .definitions import explain, explain_speed
from .heading import leading, protocol, question
from .made import Drawn, Made, write_page
from .overview import gap_rows, overview

OPEN_STRIPS = 6
OPEN_NOTICES = 6
"""More lines than this at the top of the page are folded: they would hide what it is about."""

SCORES = "tables/scores"
"""The part of the page that holds all scores, which grows with the pictures as nothing else."""


def write_html(run: StoredRun, made: Made, *, single_file: bool = False) -> Path:
    """Write report.html, and the thumbnails that it shows, into the run folder.

    Args:
        single_file: whether the page holds pictures and plots itself.
    """
    thumbnails = Thumbnails(run.folder)
    looked_at = viewer.looked_at(viewed_run(run), single_file=single_file)
    scores = score_table(run) if scored_images(run) else None
    _write_scores(run, None if single_file else scores)
    view = {**_view(run, made, thumbnails, has_viewer=looked_at is not None), "scores": scores}
    path = write_page(
        run.folder / "report.html",
        view,
        looked_at,
        scripts=[*TABLE_SCRIPTS, "plots.js"],
        styles=["report.css"],
        single_file=single_file,
        has_parts=True,
    )
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
    run: StoredRun, made: Made, thumbnails: Thumbnails, *, has_viewer: bool
) -> dict[str, Any]:
    record, plots = run.record, made.plots()
    scored = bool(record.images or record.metrics)
    return {
        **made.view(),
        "name": record.name,
        "record": record,
        "codecs": [vars(info) for info in record.codecs],
        "environment": vars(record.environment),
        "pictures": len(record.images),
        "scored": scored,
        "chapters": _chapters(run, scored, bool(plots.get("trend")), has_viewer),
        "question": question(run, scored),
        "protocol": protocol(run, scored),
        "address": view_address,
        "unavailable": unavailable(run).to_dict("records"),
        "open_notices": OPEN_NOTICES,
        "scores_part": SCORES,
        "definitions": [*explain(run), *explain_speed(run)],
        **_quality(run),
        **_pictures(run, thumbnails),
        "latent_findings": latent_findings(run),
        "latent_sections": latent_sections(run),
        **_speed(run, plots, made.missing),
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
    scale, stored = scale_of(run), run.record.error_map
    return {
        "open_strips": OPEN_STRIPS,
        "strips": region_strips(run, scale, thumbnails),
        "worst_rows": picture_rows(run, scale, thumbnails),
        "scale": scale,
        "scale_label": scale_label(run) if scale else "",
        "missing_maps": missing_maps(run),
        "colour_table": colour_table(scale, stored.max) if scale and stored else [],
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
    run: StoredRun, plots: dict[str, list[Drawn]], missing: Mapping[str, str]
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


def _not_drawn(missing: Mapping[str, str]) -> list[str]:
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
