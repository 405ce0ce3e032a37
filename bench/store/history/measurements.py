"""What a stored run tells the history: a row a number, keyed by cell, environment and commit."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ...records import RATES, WHOLE
from ..environment import git_revision
from ..rates import rate_of_set
from ..run import StoredRun

TIMING_MEASURES = {
    "p50_ms": ("ms", False),
    "p90_ms": ("ms", False),
    "p99_ms": ("ms", False),
    "images_per_s": ("1/s", True),
    "peak_bytes": ("B", False),
}
"""What is remembered of a timing: its unit, and whether higher is better."""

_MACHINE = ("driver", "cuda", "torch", "diffusers", "cpu", "threads")


@dataclass(frozen=True)
class Measurement:
    """One number of one run: a timing's percentile, or a mean score.

    `cell` names what was measured so that equal cells make a trend; `commit` is that of the
    checkout in which the run was made; `samples` are a timing's, in ms. `value` is None where a
    mean is infinite; `extra` says so.
    """

    kind: Literal["timing", "score"]
    run_id: str
    created: str
    commit: str | None
    fingerprint: str
    codec: str
    cell: str
    measure: str
    unit: str
    value: float | None
    higher_is_better: bool | None
    samples: tuple[float, ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a database takes them."""
        samples = None if self.samples is None else list(self.samples)
        return {**asdict(self), "samples": samples, "extra": dict(self.extra)}


def measurements_of(run: StoredRun) -> list[Measurement]:
    """Return a finished run's timings and mean scores as measurements."""
    commit = _commit()
    return [*_timings(run, commit), *_scores(run, commit)]


def environments_of(run: StoredRun) -> dict[str, dict[str, Any]]:
    """Return what each fingerprint of a run's measurements stands for."""
    told = [_timing_environment(run, row) for row in _timed_rows(run)]
    if len(run.scores):
        told.append(_score_environment(run))
    return {_fingerprint(environment): environment for environment in told}


def _timed_rows(run: StoredRun) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run.timings.to_dict("records")
    return [row for row in rows if len(row["samples_ms"])]


def _timings(run: StoredRun, commit: str | None) -> Iterator[Measurement]:
    weights = {codec.name: codec.weights_sha256 for codec in run.record.codecs}
    for row in _timed_rows(run):
        cell = [
            row["codec"],
            row["stage"],
            f"{row['width_px']}×{row['height_px']}",
            f"batch {row['batch']}",
            *([row["dtype"]] if isinstance(row["dtype"], str) else []),
            row["mode"],
            row["device"],
        ]
        extra = {
            "stage": row["stage"],
            "status": row["status"],
            "settled": bool(row["settled"]),
            "weights_sha256": weights.get(row["codec"]),
        }
        for measure, (unit, higher_is_better) in TIMING_MEASURES.items():
            if pd.isna(row[measure]):
                continue
            yield Measurement(
                "timing",
                run.record.run_id,
                run.record.created.isoformat(),
                commit,
                _fingerprint(_timing_environment(run, row)),
                row["codec"],
                " · ".join(cell),
                measure,
                unit,
                float(row[measure]),
                higher_is_better,
                tuple(map(float, row["samples_ms"])) if measure == "p50_ms" else None,
                extra,
            )


def _scores(run: StoredRun, commit: str | None) -> Iterator[Measurement]:
    if not len(run.scores):
        return
    weights = {codec.name: codec.weights_sha256 for codec in run.record.codecs}
    directions = {entry.variant: entry.higher_is_better for entry in run.record.metrics}
    where = _protocol(run)
    pixels = {image.image_id: image.width_px * image.height_px for image in run.record.images}
    scores = run.scores.assign(part=run.scores["kind"].where(run.scores["region"] != WHOLE, WHOLE))
    known = scores.dropna(subset=["value"])
    keys = ["codec", "variant", "unit", "metric", "part"]
    groups: Any = known.groupby(keys, sort=False)
    for (codec, variant, unit, metric, part), group in groups:
        values = group["value"].to_numpy(float)
        if metric in RATES:
            mean = rate_of_set(str(metric), values, group["image_id"].map(pixels).to_numpy(float))
        else:
            mean = float(values.mean())
        extra: dict[str, Any] = {
            "values": len(group),
            "weights_sha256": weights.get(codec),
            "protocol": where,
        }
        if not math.isfinite(mean):
            extra["note"] = "the mean is infinite: some pictures are identical"
        yield Measurement(
            "score",
            run.record.run_id,
            run.record.created.isoformat(),
            commit,
            _fingerprint(_score_environment(run)),
            str(codec),
            " · ".join([str(codec), str(variant), str(part), where]),
            str(variant),
            str(unit),
            mean if math.isfinite(mean) else None,
            directions.get(variant) if metric not in RATES else None,
            None,
            extra,
        )


def _protocol(run: StoredRun) -> str:
    """Return the set and the protocol: what is scored otherwise is another cell."""
    hashes = sorted(image.sha256 for image in run.record.images)
    suite = run.record.suite
    size = f"{suite.size} px {suite.fit}" if suite.size else "native size"
    size += f" on {suite.background}" if suite.fit == "pad" else ""
    return f"{len(hashes)} pictures {_fingerprint(hashes)[:8]}, {size}, {suite.rounding}"


def _timing_environment(run: StoredRun, row: Mapping[str, Any]) -> dict[str, Any]:
    environment = run.record.environment
    state = json.loads(row["before"]) if isinstance(row["before"], str) else {}
    return {
        **{name: getattr(environment, name) for name in _MACHINE},
        "device": row["device"],
        "dtype": row["dtype"] if isinstance(row["dtype"], str) else None,
        "settings": json.loads(row["settings"]),
        "application_sm_clock_mhz": state.get("application_sm_clock_mhz"),
    }


def _score_environment(run: StoredRun) -> dict[str, Any]:
    environment = run.record.environment
    return {name: getattr(environment, name) for name in ("device", *_MACHINE)}


def _fingerprint(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _commit() -> str | None:
    """Return the commit of the checkout that the working folder lies in."""
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)
    return None if root is None else git_revision(root)
