"""Stored runs compared: pairs of values, statistics of their differences, a comparison folder.

The folder holds numbers and pictures; tables, plots and the page are made from it by the report.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import RunFolderError, unknown_name
from ..records import WHOLE, MetricColumn, Progress, silent
from ..store.lock import writing_folder
from ..store.run import StoredRun
from .pairing import (
    Mismatch,
    PairedCodec,
    Side,
    choose_baseline,
    describe_protocol,
    label_codecs,
    pair_codec,
    protocol_of,
    whole_values,
)
from .pictures import write_changed, write_patches
from .quoted import read_quoted
from .rows import CONFIDENCE, RESAMPLES, SEED, judged, mean_of, rows_of
from .statistics import MARGINS
from .store import (
    COMPARISON_COLUMNS,
    StoredComparison,
    clear_comparison,
    load_comparison,
    write_comparison,
)


def compare(
    runs: Sequence[StoredRun],
    folder: Path,
    *,
    baseline: str | None = None,
    quoted: Path | None = None,
    allow_mismatch: bool = False,
    margins: Mapping[str, float] | None = None,
    command: str = "",
    progress: Progress = silent,
    report: Callable[[Path], object] = lambda folder: None,
) -> StoredComparison:
    """Compare every codec of the runs with one of them, into a new comparison folder.

    The folder is held meanwhile. One in which a comparison was stopped is taken too.

    Args:
        runs: finished runs. folder: new, empty, or of a comparison without a page.
        baseline: the label of the codec to compare with (its name, or RUN/NAME where two runs have
            one of the name); the first codec of the first run where none is given.
        quoted: a quoted.toml of published figures, shown as they are.
        allow_mismatch: let codecs of another protocol stand apart instead of refusing them.
        margins: within what difference two codecs are the same, by metric or variant, in the
            metric's unit, instead of MARGINS. progress: told phase, done, total.
        report: makes the page in the folder.
    Returns: the comparison as it was stored. The same runs give the same bytes, but for `created`
        and `command`.
    Raises: RunFolderError where nothing can be compared, SuiteError for a bad quoted.toml.
    """
    sides = label_codecs(runs)
    first = choose_baseline(sides, baseline)
    paired, apart, mismatches = _pair_all(first, sides, allow_mismatch)
    columns = _compared_columns(paired)
    limits = _margins_of(columns, margins or {})
    units = {column.name: column.unit for column in columns}
    figures = [] if quoted is None else read_quoted(quoted, units)
    rows: list[dict[str, Any]] = []
    per_image: list[pd.DataFrame] = []
    for done, pair in enumerate(paired):
        progress("comparing", done, len(paired))
        chosen = rows_of(pair)
        mismatches += _without_values(pair)
        per_image += chosen
        rows += judged(pair, chosen, limits)
    progress("comparing", len(paired), len(paired))
    images = _images(paired)
    table = pd.DataFrame(rows, columns=pd.Index(COMPARISON_COLUMNS))
    behind = pd.concat(per_image) if per_image else pd.DataFrame()
    with writing_folder(folder, "compare"):
        clear_comparison(folder)
        record: dict[str, Any] = {
            **_provenance(runs, sides, first, folder, command),
            "protocol": {**protocol_of(first.run), "pictures": len(images)},
            "margins": limits,
            "metrics": [asdict(column) for column in columns],
            "mismatches": [asdict(entry) for entry in dict.fromkeys(mismatches)],
            "apart": [row for side in apart for row in _apart_rows(side)],
            "quoted": figures,
            "images": images,
            **write_changed(folder, paired, progress),
            "patches": write_patches(folder, first, paired, progress),
        }
        write_comparison(folder, record, table, behind)
        report(folder)
        return load_comparison(folder)


def _pair_all(
    baseline: Side, sides: Sequence[Side], allow_mismatch: bool
) -> tuple[list[PairedCodec], list[Side], list[Mismatch]]:
    """Pair what may be compared with the baseline; the rest stands apart, or is refused."""
    paired: list[PairedCodec] = []
    apart: list[Side] = []
    refused: list[Mismatch] = []
    mismatches: list[Mismatch] = []
    for side in sides:
        if side == baseline:
            continue
        pair, left_out = pair_codec(baseline, side)
        mismatches += left_out
        if pair is None:
            apart.append(side)
            refused.append(left_out[-1])
        else:
            paired.append(pair)
    if refused and not allow_mismatch:
        reasons = "; ".join(f"{entry.where} ({entry.what}): {entry.reason}" for entry in refused)
        raise RunFolderError(
            f"Cannot compare with {baseline.label}: {reasons}. Compare runs of one protocol over "
            "the same pictures, or let these stand apart by --allow-mismatch."
        )
    if not paired and not apart:
        raise RunFolderError(
            f"There is nothing to compare {baseline.label} with. Give a run of two or more codecs, "
            "or a second run."
        )
    return paired, apart, mismatches


def _compared_columns(paired: Sequence[PairedCodec]) -> list[MetricColumn]:
    return list(dict.fromkeys(column for pair in paired for column in pair.columns))


def _margins_of(
    columns: Sequence[MetricColumn], asked: Mapping[str, float]
) -> dict[str, float | None]:
    """Return each variant's margin: asked for it, for its metric, or of MARGINS."""
    valid = {name for column in columns for name in (column.name, column.variant)}
    for name, margin in asked.items():
        if name not in valid:
            raise RunFolderError(unknown_name("metric of a margin", name, valid))
        if not (math.isfinite(margin) and margin >= 0):
            raise RunFolderError(
                f"The margin of {name} is {margin}; expected a number of at least 0 in the "
                "metric's unit."
            )
    return {
        column.variant: asked.get(
            column.variant, asked.get(column.name, MARGINS.get(column.variant.split("/")[0]))
        )
        for column in columns
    }


def _without_values(pair: PairedCodec) -> list[Mismatch]:
    """List where a metric has no value on one side, and why, as the runs say."""
    mismatches: list[Mismatch] = []
    for column in pair.columns:
        reasons: dict[str, list[str]] = {}
        values = pair.values
        chosen = (values["variant"] == column.variant) & (values["part"] == WHOLE)
        lacking = values[chosen & values[["baseline_value", "codec_value"]].isna().any(axis=1)]
        for sha256 in lacking["sha256"]:
            picture = next(entry for entry in pair.pictures if entry.sha256 == sha256)
            reason = _reason(pair.baseline, column, picture.image_id) or _reason(
                pair.side, column, picture.codec_image_id
            )
            reasons.setdefault(reason or "has no value", []).append(picture.image_id)
        for reason, names in reasons.items():
            where = f"{pair.side.label} against {pair.baseline.label}: {column.variant}"
            is_all = len(names) == len(pair.pictures)
            mismatches.append(
                Mismatch("value", where if is_all else f"{where}, {', '.join(names)}", reason)
            )
    return mismatches


def _reason(side: Side, column: MetricColumn, image_id: str) -> str | None:
    for entry in side.run.record.unavailable:
        is_own = entry.codec in (None, side.codec) and entry.image_id in (None, image_id)
        if is_own and entry.variant == column.variant:
            return entry.reason
    return None


def _apart_rows(side: Side) -> list[dict[str, Any]]:
    """Return the means of whole pictures of a codec that is compared with nothing."""
    rows: list[dict[str, Any]] = []
    for column in side.run.record.metrics:
        values = whole_values(side, column.variant)
        finite = values[np.isfinite(values)]
        rows.append(
            {
                "codec": side.label,
                "variant": column.variant,
                "unit": column.unit,
                "mean": mean_of(finite),
                "n_images": int(finite.size),
                "protocol": describe_protocol(side.run),
            }
        )
    return rows


def _images(paired: Sequence[PairedCodec]) -> list[dict[str, Any]]:
    """Return the pictures that any codec was compared on, under the baseline's names."""
    pictures = {picture.sha256: picture for pair in paired for picture in pair.pictures}
    keys = ("sha256", "image_id", "width_px", "height_px")
    return [{key: getattr(picture, key) for key in keys} for picture in pictures.values()]


def _provenance(
    runs: Sequence[StoredRun], sides: Sequence[Side], baseline: Side, folder: Path, command: str
) -> dict[str, Any]:
    infos = {(run.record.run_id, info.name): info for run in runs for info in run.record.codecs}
    codecs = [(side, side.run.record.run_id) for side in sides]
    return {
        "name": folder.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "vaebench": version("vaebench"),
        "runs": [
            {
                "run_id": run.record.run_id,
                "name": run.record.name,
                "folder": str(run.folder),
                "set_hash": _set_hash(run),
                "environment": asdict(run.record.environment),
            }
            for run in runs
        ],
        "baseline": baseline.label,
        "codecs": [
            {"label": side.label, "run": run_id, "info": asdict(infos[run_id, side.codec])}
            for side, run_id in codecs
        ],
        "seed": SEED,
        "resamples": RESAMPLES,
        "confidence": CONFIDENCE,
    }


def _set_hash(run: StoredRun) -> str:
    """Return a hash of the pictures' contents, whatever their names and order."""
    digests = sorted({image.sha256 for image in run.record.images})
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
