"""Timings on disk: of their own, after an interruption, and beside the scores of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from vaebench.bench import api
from vaebench.bench.errors import CodecError, RunFolderError
from vaebench.bench.records import Timing
from vaebench.bench.store.run import StoredRun, load_run
from vaebench.bench.store.tables import TIMING_COLUMNS
from vaebench.bench.suite import Speed, Suite
from vaebench.bench.timing.run import add_timings, measure_speed
from vaebench.bench.timing.sweep import Variant

TINY = Speed(sizes=[64], stages=["encode", "decode"], samples=10, max_s=0.05)


def silent(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def speed_suite(*codecs: str, speed: Speed = TINY) -> Suite:
    return Suite.create(codecs=list(codecs), speed=speed)


SUITE = speed_suite("demo-f8c4:device=cpu", "jpeg:q=75")


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A speed run of a network and a classical codec."""
    folder = tmp_path_factory.mktemp("timed") / "speed"
    return measure_speed(SUITE, folder, "vaebench speed", silent)


def test_a_speed_run_is_a_finished_run_with_timings_alone(timed: StoredRun) -> None:
    assert tuple(pd.read_parquet(timed.folder / "timings.parquet").columns) == TIMING_COLUMNS
    stored = load_run(timed.folder)
    assert stored.record == timed.record
    assert stored.record.finished is True
    assert stored.record.timed is True
    assert stored.record.command == "vaebench speed"
    assert list(stored.codecs["name"]) == ["demo-f8c4-cpu", "jpeg-q75"]
    assert len(stored.scores) == 0
    assert len(stored.images) == 0
    assert stored.record.suite == SUITE
    cells = stored.timings[["codec", "stage", "status"]].to_records(index=False).tolist()
    assert cells == [
        ("demo-f8c4-cpu", "encode", "ok"),
        ("demo-f8c4-cpu", "decode", "ok"),
        ("jpeg-q75", "encode", "ok"),
        ("jpeg-q75", "decode", "ok"),
    ]


def test_what_is_on_disk_is_what_was_measured(timed: StoredRun) -> None:
    timings = load_run(timed.folder).timings
    for row in timings.to_dict("records"):
        samples = row["samples_ms"]
        assert len(samples) == len(row["wall_ms"]) == 10
        for percent in (50, 90, 99):
            assert row[f"p{percent}_ms"] == pytest.approx(np.percentile(samples, percent))
        assert row["images_per_s"] == pytest.approx(1000 / row["p50_ms"])
        assert row["megapixels_per_s"] == pytest.approx(row["images_per_s"] * 64 * 64 / 1e6)
        assert json.loads(row["settings"])["cache_flush"] is False
        assert row["device"] == "CPU"
        assert pd.isna(row["before"])
        assert pd.isna(row["peak_bytes"])
        assert pd.isna(row["share_of_peak"])
    network, jpeg = timings.iloc[1], timings.iloc[2]
    assert network["tflops"] == pytest.approx(network["flop"] / network["p50_ms"] / 1e9)
    assert network["dtype"] == "float32"
    assert pd.isna(jpeg["dtype"])
    assert pd.isna(jpeg["flop"])
    assert pd.isna(jpeg["tflops"])


def test_an_interrupted_run_keeps_the_cells_that_were_finished(tmp_path: Path) -> None:
    def interrupt(phase: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "speed"
    with pytest.raises(KeyboardInterrupt):
        measure_speed(speed_suite("jpeg:q=75", "jpeg:q=50"), folder, "", interrupt)
    stored = load_run(folder)
    assert stored.record.finished is False
    assert stored.record.timed is False
    assert list(stored.codecs["name"]) == ["jpeg-q75", "jpeg-q50"]
    assert list(stored.timings["codec"]) == ["jpeg-q75", "jpeg-q75", "jpeg-q50"]
    assert list(stored.timings["status"]) == ["ok"] * 3


def test_each_cell_is_on_disk_before_the_next_begins(tmp_path: Path) -> None:
    folder = tmp_path / "speed"
    rows: list[int] = []

    def count(phase: str, done: int, total: int) -> None:
        path = folder / "timings.parquet"
        rows.append(len(pd.read_parquet(path)) if path.is_file() else 0)

    measure_speed(speed_suite("jpeg:q=75", "jpeg:q=50"), folder, "", count)
    assert rows == [0, 1, 2, 3, 4]


def test_what_cannot_be_planned_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "speed"
    float16 = Speed(dtypes=["float16"])
    for suite in (
        speed_suite("jpeq"),
        speed_suite("demo-f8c4:device=cpu", speed=float16),
        # The second cannot be opened, which is told before the first is timed.
        speed_suite("jpeg:q=75", "demo-f8c4:nonsense=1"),
    ):
        with pytest.raises(CodecError):
            measure_speed(suite, folder, "", silent)
        assert not folder.exists()


def test_a_folder_that_holds_something_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    told: list[str] = []
    with pytest.raises(RunFolderError, match="not an empty folder"):
        measure_speed(speed_suite("jpeg:q=75"), tmp_path, "", lambda *step: told.append(step[0]))
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def score_tiny(photos: Path, folder: Path) -> Suite:
    suite = Suite.create(
        images=[str(photos / "a.png")], codecs=["jpeg:q=75"], metrics=["psnr"], keep="none"
    )
    api.run(suite, folder, history="off")
    return suite


def test_timings_beside_scores_leave_the_scores_as_they_were(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    suite = score_tiny(photos, folder)
    before = load_run(folder)
    scores = (folder / "scores.parquet").read_bytes()
    assert len(before.timings) == 0
    assert tuple(before.timings.columns) == TIMING_COLUMNS
    add_timings(folder, suite.model_copy(update={"speed": TINY}), silent)
    after = load_run(folder)
    assert (folder / "scores.parquet").read_bytes() == scores
    assert after.record == replace(before.record, timed=True)
    assert list(after.timings["stage"]) == ["encode", "decode"]
    assert list(after.timings["status"]) == ["ok", "ok"]


def test_timings_beside_scores_are_in_the_precision_that_was_scored(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    score_tiny(photos, folder)
    seen: list[str | None] = []

    def time_nothing(variants: list[Variant], *others: object) -> list[Timing]:
        seen.extend(variant.dtype for variant in variants)
        return []

    monkeypatch.setattr("vaebench.bench.timing.run.time_codecs", time_nothing)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    add_timings(folder, speed_suite("demo-f8c4", "two=demo-f8c4:dtype=bfloat16"), silent)
    assert seen == ["float32", "bfloat16"]


def test_a_run_of_a_suite_with_speed_is_timed_once(photos: Path, tmp_path: Path) -> None:
    suite = Suite.create(
        images=[str(photos / "a.png")],
        codecs=["jpeg:q=75"],
        metrics=["psnr"],
        keep="none",
        speed=TINY,
    )
    stored = api.run(suite, tmp_path / "run", history="off")
    assert stored.record.timed is True
    assert len(stored.timings) == 2
    table = (stored.folder / "timings.parquet").read_bytes()
    api.resume(stored.folder, history="off")
    assert (stored.folder / "timings.parquet").read_bytes() == table
