"""Plain lines for the terminal: what an image set holds, what a run found."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from ..compare.store import StoredComparison
from ..images.find import find_images
from ..images.regions import read_regions
from ..store.run import StoredRun


def list_images(sources: Sequence[str], region_sources: Sequence[str]) -> Iterator[str]:
    """Yield a line for each picture, its size, regions and conversions, then the problems.

    Raises: ImageError, RegionError.
    """
    found = find_images(sources)
    wanted = list(region_sources)
    if "sample" in sources and "sample" not in wanted:
        wanted.append("sample")
    read = [read_regions(source, found.images) for source in wanted]
    regions = [region for entry in read for region in entry.regions]
    width = max((len(image.image_id) for image in found.images), default=0)
    for image in found.images:
        names = [
            f"{region.name} ({region.kind})"
            for region in regions
            if region.image_id == image.image_id
        ]
        details = [f"{image.width_px}x{image.height_px}", ", ".join(names), "; ".join(image.notes)]
        yield "  ".join([image.image_id.ljust(width), *filter(None, details)]).rstrip()
    yield f"{len(found.images)} pictures, {len(regions)} regions, {len(found.skipped)} unusable"
    for skipped in found.skipped:
        yield f"unusable: {skipped.image_id}: {skipped.reason}"
    for unused in (name for entry in read for name in entry.unused):
        yield f"region of no picture in the set: {unused}"


def summarise(run: StoredRun) -> Iterator[str]:
    """Yield the run's summary table, what was left out and why, and the report's path."""
    yield from filter(None, (_means(run, name) for name in ("summary", "timings")))
    for skipped in run.record["skipped"]:
        yield f"skipped {skipped['image_id']}: {skipped['reason']}"
    for note in run.record.get("notes", []):
        yield f"note: {note}"
    reasons = Counter(
        (entry["metric"], entry["codec"] if entry["image_id"] else None, entry["reason"])
        for entry in run.record["unavailable"]
    )
    for (metric, codec, reason), count in reasons.items():
        where = f" ({codec}, {count} pictures)" if codec else ""
        yield f"unavailable {metric}{where}: {reason}"
    yield f"Report: {run.folder / 'report.html'}"


def _means(run: StoredRun, name: str) -> str:
    """Return the first section of a table, as a terminal shows it; empty where there is none."""
    path = run.folder / "tables" / f"{name}.md"
    if not path.is_file():
        return ""
    first = path.read_text(encoding="utf-8").split("\n### ")[0]
    return re.sub(r"\\(\W|_)", r"\1", first.removeprefix("### "))


def list_comparison(found: StoredComparison) -> Iterator[str]:
    """Yield a line for each codec, region and metric: the difference, its interval, the verdict."""
    record, table = found.record, found.table
    for label in dict.fromkeys(table["codec"]):
        yield f"{label} against {record['baseline']}:"
        rows: Any = table[table["codec"] == label]
        for row in rows.to_dict("records"):
            yield "  ".join(["", f"{row['verdict']:<9}", f"{row['region']:<8}", _difference(row)])
    for entry in record["mismatches"]:
        yield f"not compared: {entry['what']} ({entry['where']}): {entry['reason']}"
    yield f"Report: {found.folder / 'comparison.html'}"


def _difference(row: dict[Hashable, Any]) -> str:
    unit = f" {row['unit']}" if row["unit"] else ""
    if math.isnan(row["mean_diff"]):
        return f"{row['variant']:<22}  unavailable: {row['note']}"
    told = f"{row['variant']:<22}  {row['mean_diff']:+.4g}{unit}"
    if not math.isnan(row["ci_low"]):
        told += f" [{row['ci_low']:+.4g}, {row['ci_high']:+.4g}], p {row['p_holm']:.2g}"
    return f"{told}, won {row['share_won']:.0%} of {row['n_images']}"
