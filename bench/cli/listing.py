"""Plain lines for the terminal: what an image set holds, what a run found."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compare.store import StoredComparison
from ..errors import ReportError, VaebenchError
from ..images.find import find_images
from ..images.regions import read_regions
from ..rate.store import StoredRd
from ..store.lock import DISK_ERRORS
from ..store.run import StoredRun, load_run
from .options import tell

if TYPE_CHECKING:
    from ..compare.gate.result import GateResult
    from ..scoring.ladder.ladder import LadderResult


_NAMED = 10
"""How many of the like are named; the others are counted."""


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
    rows: list[tuple[str, str]] = []
    named: dict[str, list[str]] = defaultdict(list)
    for region in regions:
        named[region.image_id].append(f"{region.name} ({region.kind})")
    for image in found.images:
        names = named[image.image_id]
        details = [f"{image.width_px}x{image.height_px}", ", ".join(names), "; ".join(image.notes)]
        rows.append((image.image_id, "  ".join(filter(None, details))))
    yield from aligned(rows)
    yield f"{len(found.images)} pictures, {len(regions)} regions, {len(found.skipped)} unusable"
    for skipped in found.skipped:
        yield f"unusable: {skipped.image_id}: {skipped.reason}"
    yield from _of_no_picture([name for entry in read for name in entry.unused])


def _of_no_picture(unused: Sequence[str]) -> Iterator[str]:
    """Yield a line for each of the first regions that match no picture, and one for the others."""
    for name in unused[:_NAMED]:
        yield f"region of no picture in the set: {name}"
    if len(unused) > _NAMED:
        yield f"and {len(unused) - _NAMED} more regions of no picture in the set"


def summarise(run: StoredRun) -> Iterator[str]:
    """Yield the run's summary table, what was left out and why, and the report's path."""
    for name in ("summary", "timings"):
        yield from _means(run, name)
    for skipped in run.record.skipped:
        yield f"skipped {skipped.image_id}: {skipped.reason}"
    for note in run.record.notes:
        yield f"note: {note}"
    yield from _of_no_picture(run.record.unused_regions)
    reasons = Counter(
        (entry.metric, entry.codec if entry.image_id else None, entry.reason)
        for entry in run.record.unavailable
    )
    for (metric, codec, reason), count in reasons.items():
        where = f" ({codec}, {count} pictures)" if codec else ""
        yield f"unavailable {metric}{where}: {reason}"
    if (run.folder / "report.html").is_file():
        yield f"Report: {run.folder / 'report.html'}"


@contextmanager
def told_without_report(folder: Path | str) -> Generator[None]:
    """Print what is told of a run also where its report could not be written, which is raised."""
    try:
        yield
    except ReportError:
        tell_run(load_run(folder))
        raise


def tell_run(run: StoredRun) -> None:
    """Print what is told of a run.

    Raises: VaebenchError where the terminal's file does not take it: the run is there.
    """
    try:
        tell(summarise(run))
    except OSError as error:
        if error.filename is not None or error.errno not in DISK_ERRORS:
            raise
        raise VaebenchError(
            f"Cannot print the summary: {error.strerror}. The run folder {run.folder} is complete."
        ) from error


def _means(run: StoredRun, name: str) -> Iterator[str]:
    """Yield the lines of a table's first section, as a terminal shows it; none without rows.

    Of the run itself: its report may not be there.
    """
    from ...reports.tables.run import TABLES
    from ...reports.tables.sections import sections
    from ...reports.tables.writers import Table, to_markdown

    frame = TABLES[name](run)
    if frame.empty:
        return
    text = to_markdown(Table(name, run.record.name, frame, sections(name, frame, run)))
    first = text.split("\n### ")[0].removeprefix("### ")
    yield from re.sub(r"\\(\W|_)", r"\1", first).split("\n")


def aligned(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Return rows as lines, columns two spaces apart.

    Args:
        numbers: whether all columns but the first stand to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if numbers and place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def list_gate(result: GateResult) -> list[str]:
    """Return a table, the sentence of each rule that did not pass, and the verdict."""
    return [
        *aligned(result.rows()),
        *(
            f"{outcome.verdict}: {outcome.codec}, {outcome.rule}: {outcome.sentence}"
            for outcome in result.outcomes
            if outcome.verdict != "pass"
        ),
        result.summary,
    ]


def list_ladder(result: LadderResult) -> list[str]:
    """Return the ladder: what it is of, differences to the base, then the notes."""
    return [result.title(), *aligned(result.rows(), numbers=True), *result.notes()]


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
    if not row["n_images"]:
        return f"{row['variant']:<22}  unavailable: {row['note']}"
    told = f"{row['variant']:<22}  {row['mean_diff']:+.4g}{unit}"
    if math.isnan(row["mean_diff"]):
        told = f"{row['variant']:<22}  {row['note']}"
    if not math.isnan(row["ci_low"]):
        told += f" [{row['ci_low']:+.4g}, {row['ci_high']:+.4g}]"
    told += f", p {row['p_holm']:.2g}"
    told += f", won {row['share_won']:.0%} of {row['n_images']}"
    is_few = row["verdict"] == "undecided" and math.isnan(row["smallest_detectable"])
    return f"{told}, too few pictures for a verdict" if is_few else told


def list_rd(found: StoredRd) -> Iterator[str]:
    """Yield BD-rates a line a codec, then what was refused or failed, and why."""
    record = found.record
    for codec, rows in found.bd.groupby("codec", sort=False):
        cells: list[str] = []
        for row in rows.to_dict("records"):
            name = str(row["metric"]).partition("/")[0]
            value = float(row["bd_rate_percent"])
            cells.append(f"{name} {'refused' if math.isnan(value) else f'{value:+.1f} %'}")
        yield f"BD-rate of {codec} against {record['anchor']}: {', '.join(cells)}"
    refused: Any = found.bd[found.bd["bd_rate_percent"].isna()]
    for row in refused.to_dict("records"):
        yield f"  refused: {row['codec']}, {row['metric']}: {row['note']}"
    for entry in record["unavailable"]:
        where = f" ({len(entry['pictures'])} pictures)" if entry["pictures"] else ""
        yield f"Unavailable: {entry['variant']}{where}: {entry['reason']}"
    for entry in record["failures"]:
        pictures = ", ".join(entry["pictures"][:3])
        more = len(entry["pictures"]) - 3
        told = f"{pictures}{f' and {more} more' if more > 0 else ''}"
        yield f"Failed: {', '.join(entry['codecs'])} on {told}: {entry['reason']}"
    for entry in record["skipped"]:
        yield f"Skipped: {entry['image_id']}: {entry['reason']}"
