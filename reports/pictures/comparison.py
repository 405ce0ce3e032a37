"""The pictures of comparison.html: what changed most in either direction, and the worst patches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...bench.compare.store import StoredComparison
from ...bench.records import WHOLE
from ..tables.columns import Column
from ..tables.comparison_rows import compared_codecs, metric_columns
from ..tables.reading import significant
from .selection import scale_of_maps

OPEN_CHANGES = 2
"""Whole pictures, and as many regions, that are shown before the rest is unfolded."""

OPEN_PATCHES = 9
TALLEST_PX = 300
"""No picture of a strip is taller than this on the page, however tall its region."""

SMALLEST_PX = 96
"""A region smaller than this is enlarged to it."""


@dataclass(frozen=True)
class Change:
    """A picture or region beside its baseline; paths are below the folder, None where not kept."""

    image_id: str
    place: str
    size: str
    ratio: str
    widest_px: int
    is_whole: bool
    difference: str
    baseline_value: str
    codec_value: str
    pictures: dict[str, str | None]


@dataclass(frozen=True)
class Changes:
    """What changed most for one codec in one direction; `folded` is shown on demand."""

    codec: str
    verdict: str
    shown: tuple[Change, ...]
    folded: tuple[Change, ...]


@dataclass(frozen=True)
class Patch:
    """A window with a large error: where it lies, and the mean of the error map over it."""

    image_id: str
    place: str
    value: str
    ratio: str
    pictures: dict[str, str | None]


@dataclass(frozen=True)
class Patches:
    """The worst patches of one codec, worst first; `folded` is shown on demand."""

    codec: str
    shown: tuple[Patch, ...]
    folded: tuple[Patch, ...]


def changes_of(comparison: StoredComparison) -> list[Changes]:
    """Return for each codec what lost most, then what gained most."""
    columns = {column.variant: column for column in metric_columns(comparison)}
    sizes = {
        str(image["image_id"]): (int(image["width_px"]), int(image["height_px"]))
        for image in comparison.record["images"]
    }
    groups: list[Changes] = []
    for codec in compared_codecs(comparison):
        for verdict in ("worse", "better"):
            own = [
                _change(comparison, entry, columns[entry["variant"]], sizes)
                for entry in comparison.record["changed"]
                if entry["codec"] == codec and entry["verdict"] == verdict
            ]
            whole = [change for change in own if change.is_whole]
            parts = [change for change in own if not change.is_whole]
            shown = [*whole[:OPEN_CHANGES], *parts[:OPEN_CHANGES]]
            folded = [*whole[OPEN_CHANGES:], *parts[OPEN_CHANGES:]]
            groups.append(Changes(codec, verdict, tuple(shown), tuple(folded)))
    return groups


def changed_column(comparison: StoredComparison) -> Column | None:
    """Return the metric by which the pictures that changed most were chosen."""
    variants = {entry["variant"] for entry in comparison.record["changed"]}
    return next((c for c in metric_columns(comparison) if c.variant in variants), None)


def _change(
    comparison: StoredComparison,
    entry: dict[str, Any],
    column: Column,
    sizes: dict[str, tuple[int, int]],
) -> Change:
    image_id, box = str(entry["image_id"]), entry["box_px"]
    is_whole = entry["region"] == WHOLE
    width, height = sizes[image_id] if box is None else (box[2] - box[0], box[3] - box[1])
    kind = "" if is_whole else f"{entry['region']}, {entry['kind']}"
    return Change(
        image_id,
        kind,
        f"{width} × {height} px",
        f"{width} / {height}",
        round(TALLEST_PX * max(SMALLEST_PX, width) / max(SMALLEST_PX, height)),
        is_whole,
        column.quantity(float(entry["difference"]), signed=True),
        column.quantity(float(entry["baseline_value"])),
        column.quantity(float(entry["codec_value"])),
        {name: _kept(comparison, path) for name, path in entry["pictures"].items()},
    )


def patches_of(comparison: StoredComparison) -> list[Patches]:
    """Return the worst patches of the baseline, then of every codec."""
    groups: dict[str, list[Patch]] = {}
    for entry in comparison.record["patches"]:
        x0, y0, x1, y1 = entry["box_px"]
        patch = Patch(
            str(entry["image_id"]),
            f"at {x0}, {y0}",
            significant(float(entry["value"])),
            f"{x1 - x0} / {y1 - y0}",
            {name: _kept(comparison, path) for name, path in entry["pictures"].items()},
        )
        groups.setdefault(str(entry["codec"]), []).append(patch)
    return [
        Patches(codec, tuple(own[:OPEN_PATCHES]), tuple(own[OPEN_PATCHES:]))
        for codec, own in groups.items()
    ]


def error_top(comparison: StoredComparison) -> float | None:
    """Return the top of the error colours of the page, in the map's unit; None without maps.

    It is the largest 99.5th percentile of any map shown, so that a few pixels do not darken the
    rest, rounded up to two digits, at most the stored maximum.
    """
    stored = comparison.record["map"]
    paths = set(_map_paths(comparison))
    return None if stored is None else scale_of_maps(paths, float(stored["max"]))


def _map_paths(comparison: StoredComparison) -> Iterator[Path]:
    names = ("baseline_map", "codec_map", "map")
    for entry in (*comparison.record["changed"], *comparison.record["patches"]):
        for name in names:
            path = _kept(comparison, entry["pictures"].get(name))
            if path:
                yield comparison.folder / path


def _kept(comparison: StoredComparison, path: str | None) -> str | None:
    """Return a picture's path, None where it was not kept or is gone."""
    return path if path and (comparison.folder / path).is_file() else None
