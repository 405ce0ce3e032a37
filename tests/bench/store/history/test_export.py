"""What other tools make of the history."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats
from vaebench.bench.errors import HistoryError
from vaebench.bench.store.history.database import open_history, trend
from vaebench.bench.store.history.export import EXPORTS, benchmark_statistics, export
from vaebench.bench.store.history.listing import list_trends
from vaebench.bench.store.history.measurements import Measurement

CELLS = ("vae · decode · 512×512", "vae · encode · 512×512")


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """Thirty runs of two timed cells, the second slower since the 21st, and one score."""
    history = open_history(str(tmp_path / "h.sqlite"))
    assert history is not None
    random = np.random.default_rng(0)
    for run in range(30):
        rows = []
        for place, cell in enumerate(CELLS):
            samples = tuple(random.normal(10 + 1.0 * (place and run >= 20), 0.02, 20).tolist())
            common = ("timing", f"run-{run}", f"2026-01-{run + 1:02}T08:00:00+00:00", f"{run:040}")
            row = Measurement(
                *common, "f" * 12, "vae", cell, "p50_ms", "ms", float(np.median(samples)), False,
                samples, {"stage": "decode"},
            )  # fmt: skip
            rate = replace(row, measure="images_per_s", unit="1/s", samples=None)
            rows += [row, replace(rate, value=100.0, higher_is_better=True)]
        score = replace(rows[0], kind="score", cell="vae · psnr/rgb8 · whole", measure="psnr/rgb8")
        rows.append(replace(score, unit="dB", value=30.0, higher_is_better=True, samples=None))
        history.add({"f" * 12: {"device": "a GPU", "torch": "2.6"}}, rows)
    return history.read()


def test_pytest_benchmark_reads_the_export(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_text(export(frame, "pytest-benchmark"), encoding="utf-8")
    older = tmp_path / "older.json"
    older.write_text(export(frame[frame["created"] < "2026-01-15"], "pytest-benchmark"), "utf-8")
    command = [Path(sys.executable).with_name("pytest-benchmark"), "compare", older, path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(cell in done.stdout for cell in CELLS)
    saved = json.loads(path.read_text("utf-8"))
    assert saved["machine_info"]["device"] == "a GPU"
    assert saved["commit_info"]["id"] == f"{29:040}"
    assert [entry["extra_info"]["run_id"] for entry in saved["benchmarks"]] == ["run-29"] * 2


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=40))
def test_the_statistics_are_those_of_pytest_benchmark(samples: list[float]) -> None:
    """Against the Stats of pytest-benchmark 5.3.1, to the last digit but one of the samples."""
    reference = Stats()
    for sample in samples:
        reference.update(sample)
    mine = benchmark_statistics(samples)
    assert set(Stats.fields) <= set(mine)
    for name, expected in reference.as_dict().items():
        if isinstance(expected, float):
            assert mine[name] == pytest.approx(expected, rel=1e-15, abs=1e-15 * max(samples)), name
        else:
            assert mine[name] == expected, name


def test_github_action_benchmark_gets_what_is_to_be_small(frame: pd.DataFrame) -> None:
    entries = json.loads(export(frame, "github-action-benchmark"))
    assert [entry["name"] for entry in entries] == [f"{cell} · p50_ms" for cell in CELLS]
    assert all(isinstance(entry["value"], float) and entry["unit"] == "ms" for entry in entries)
    assert entries[1]["value"] == pytest.approx(11, abs=0.1)


def test_csv_holds_every_measurement(frame: pd.DataFrame) -> None:
    read = pd.read_csv(io.StringIO(export(frame, "csv")))
    assert len(read) == len(frame) == 150
    assert json.loads(read["samples"][0]) == frame["samples"][0]


@pytest.mark.parametrize("form", ["pytest-benchmark", "github-action-benchmark"])
def test_an_empty_history_has_nothing_to_export(frame: pd.DataFrame, form: str) -> None:
    with pytest.raises(HistoryError, match="nothing to export"):
        export(frame[:0], form)


def test_an_unknown_form_is_answered_with_the_valid_ones(frame: pd.DataFrame) -> None:
    with pytest.raises(HistoryError, match=f"{sorted(EXPORTS)[0]}.*{sorted(EXPORTS)[-1]}"):
        export(frame, "xml")


def test_the_listing_names_the_step_and_its_commits(frame: pd.DataFrame) -> None:
    lines = list(list_trends(trend(frame)))
    assert len(lines) == 4
    decode, encode, step, score = lines
    assert decode.startswith(f"{CELLS[0]} · p50_ms: 10")
    assert "[30 runs" in decode
    assert "suspected step" not in decode + score
    assert encode.startswith(f"{CELLS[1]} · p50_ms: 10.99 ms, +9.9% (median of 29 before: 10)")
    assert step.strip().startswith("suspected step: +10.")
    assert "2026-01-21 08:00" in step
    assert score.startswith("vae · psnr/rgb8 · whole: 30 dB, +0.0%")


def test_the_listing_tells_of_another_environment_and_calls_it_no_step(
    frame: pd.DataFrame,
) -> None:
    """Ten runs under one driver, then twenty that take a tenth longer under the next."""
    timed = frame[frame["cell"] == CELLS[0]].reset_index(drop=True)
    newer = timed["created"] >= "2026-01-11"
    timed.loc[newer, "fingerprint"] = "e" * 12
    timed.loc[newer, "value"] *= 1.1
    assert not trend(timed)["is_step"].any()
    line, other = list_trends(trend(timed))
    assert "p50_ms: 11.01 ms, +0.1% (median of 19 before: 11) " in line
    assert "[30 runs, 2 environments, at " in line
    expected = f"other environment: on 2026-01-11 08:00, {'f' * 12} → {'e' * 12}, not compared"
    assert other.strip() == expected


def test_an_empty_history_is_said() -> None:
    (line,) = list_trends(pd.DataFrame())
    assert "empty" in line
