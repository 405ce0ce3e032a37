"""The history for other tools: pytest-benchmark, CSV, github-action-benchmark."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import HistoryError, unknown_name


def export(frame: pd.DataFrame, form: str) -> str:
    """Return measurements, as `History.read` gives them, in one of EXPORTS.

    Raises: HistoryError for an unknown form, or where nothing that it can hold was measured.
    """
    if form not in EXPORTS:
        raise HistoryError(unknown_name("export", form, EXPORTS))
    return EXPORTS[form](frame)


def to_csv(frame: pd.DataFrame) -> str:
    """Return every measurement at full precision; samples, extra and environment as JSON."""
    written = frame.copy()
    for name in ("samples", "extra", "environment"):
        written[name] = [
            "" if value is None else json.dumps(value, sort_keys=True) for value in frame[name]
        ]
    return written.to_csv(index=False)


def to_pytest_benchmark(frame: pd.DataFrame) -> str:
    """Return the newest run of each timed cell as `pytest-benchmark compare` reads it.

    Times are in seconds. The file can hold one machine and commit: those of the newest run.
    """
    newest = _newest(frame[frame["samples"].notna()], "was timed")
    last = newest.iloc[-1]
    commit = str(last["commit"] or "unknown")
    saved = {
        "machine_info": {"node": last["environment"].get("device"), **last["environment"]},
        "commit_info": {
            "id": commit.rstrip("+"),
            "dirty": commit.endswith("+"),
            "time": last["created"],
            "author_time": last["created"],
            "branch": "unknown",
            "project": "vaebench",
        },
        "benchmarks": [_benchmark(row) for row in newest.to_dict("records")],
        "datetime": last["created"],
        "version": "5.0.0",
    }
    return json.dumps(saved, indent=1, ensure_ascii=False)


def _benchmark(row: Any) -> dict[str, Any]:
    return {
        "group": None,
        "name": row["cell"],
        "fullname": row["cell"],
        "params": None,
        "param": None,
        "extra_info": {**row["extra"], "run_id": row["run_id"], "commit": row["commit"]},
        "options": {"timer": "perf_counter", "warmup": True},
        "stats": benchmark_statistics([sample / 1000 for sample in row["samples"]]),
    }


def benchmark_statistics(samples_s: Sequence[float]) -> dict[str, Any]:
    """Return the statistics that pytest-benchmark keeps of a benchmark, from seconds.

    Outliers are what is more than one standard deviation from the mean, and what is more than
    1.5 interquartile ranges beyond the quartiles (Tukey), which are Hazen's.
    """
    ordered = sorted(samples_s)
    count, total = len(ordered), sum(samples_s)
    q1, q3 = map(float, np.quantile(ordered, (0.25, 0.75), method="hazen"))
    fence = 1.5 * (q3 - q1)
    mean = statistics.mean(ordered)
    spread = statistics.stdev(ordered) if count > 1 else 0.0
    inside = [sample for sample in ordered if q1 - fence <= sample <= q3 + fence]
    far = sum(not mean - spread <= sample <= mean + spread for sample in ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": count,
        "median": statistics.median(ordered),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": count - len(inside),
        "stddev_outliers": far,
        "outliers": f"{far};{count - len(inside)}",
        "ld15iqr": inside[0],
        "hd15iqr": inside[-1],
        "ops": count / total,
        "total": total,
        "data": list(samples_s),
        "iterations": 1,
    }


def to_github_action_benchmark(frame: pd.DataFrame) -> str:
    """Return the newest of each cell where smaller is better, as `customSmallerIsBetter` JSON."""
    smaller = frame["higher_is_better"].map(lambda value: value is not None and not value)
    newest = _newest(frame[smaller & frame["value"].notna()], "has a measure that is to be small")
    entries: list[dict[str, Any]] = []
    for row in newest.to_dict("records"):
        entry = {
            "name": row["cell"] if row["kind"] == "score" else f"{row['cell']} · {row['measure']}",
            "unit": row["unit"] or "1",
            "value": row["value"],
            "extra": f"commit {row['commit']}, environment {row['fingerprint']}",
        }
        if row["samples"]:
            q1, q3 = np.percentile(row["samples"], (25, 75))
            entry["range"] = f"{q1:.4g} to {q3:.4g}"
        entries.append(entry)
    return json.dumps(entries, indent=1, ensure_ascii=False)


def _newest(frame: Any, what: str) -> pd.DataFrame:
    """Return the newest measurement of each cell and measure, oldest first."""
    if not len(frame):
        raise HistoryError(f"There is nothing to export: nothing in the history {what}.")
    return frame.groupby(["cell", "measure"], sort=False).tail(1)


EXPORTS: dict[str, Callable[[pd.DataFrame], str]] = {
    "pytest-benchmark": to_pytest_benchmark,
    "csv": to_csv,
    "github-action-benchmark": to_github_action_benchmark,
}
