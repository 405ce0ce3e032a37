"""The history on SQLite and on a real PostgreSQL, with many writers at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from vaebench.bench import history as history_module
from vaebench.bench.errors import HistoryError
from vaebench.bench.history import History, open_history, record_run, trend, trend_of
from vaebench.bench.measurements import Measurement, measurements_of
from vaebench.bench.records import CodecInfo, Score, Timing
from vaebench.bench.store import (
    TREND_COLUMNS,
    StoredRun,
    create_run,
    finish_run,
    load_run,
    write_part,
    write_timings,
)

WRITERS, BATCHES, ROWS = 8, 5, 7
ROW = Measurement(
    "timing", "run-1", "2026-01-01T00:00:00+00:00", "abc", "f" * 12, "vae", "vae · decode",
    "p50_ms", "ms", 12.5, False, (12.0, 12.5, 13.0), {"stage": "decode"},
)  # fmt: skip


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server of our own on loopback, gone after the tests."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries or not hasattr(os, "geteuid"):
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    as_root = os.geteuid() == 0
    runner = ["runuser", "-u", "postgres", "--"] if as_root else []
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(subprocess.check_output([*runner, "mktemp", "-d"], text=True).strip())
    control = [*runner, str(binaries[-1] / "pg_ctl"), "-D", str(folder), "-w"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
    start = [*control, "-o", options, "-l", f"{folder}/log", "start"]
    initdb = [*runner, str(binaries[-1] / "initdb"), "-D", str(folder), "-U", "team", "-A", "trust"]
    try:
        for command in (initdb, start):
            done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
            if done.returncode:
                pytest.skip(f"PostgreSQL does not start here: {done.stderr.strip()[-200:]}")
        yield f"postgresql://team:secret@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"], capture_output=True, cwd="/", check=False
        )
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new history: a file, or a database of its own on the server."""
    if request.param == "sqlite":
        return str(tmp_path / "history.sqlite")
    import psycopg

    server = request.getfixturevalue("postgres")
    name = f"test_{abs(hash(request.node.name)) % 10**8}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rpartition('/')[0]}/{name}"


def opened(where: str) -> History:
    history = open_history(where)
    assert history is not None
    return history


def test_what_is_added_is_read_back(where: str) -> None:
    history = opened(where)
    none = replace(ROW, measure="p99_ms", value=None, samples=None, commit=None)
    history.add({ROW.fingerprint: {"device": "CPU"}}, [ROW, none])
    frame = opened(where).read()
    assert frame["value"].tolist()[0] == 12.5
    assert np.isnan(frame["value"].tolist()[1])
    assert frame["samples"].tolist() == [[12.0, 12.5, 13.0], None]
    assert frame["extra"].tolist()[0] == {"stage": "decode"}
    assert frame["environment"].tolist()[0] == {"device": "CPU"}
    assert frame["commit"].tolist() == ["abc", None]
    assert len(history.read(codec="other")) == len(history.read(cell="other")) == 0


def test_a_run_that_is_added_twice_changes_nothing(where: str) -> None:
    history = opened(where)
    for value in (12.5, 99.0):
        history.add({ROW.fingerprint: {}}, [replace(ROW, value=value)])
    assert history.read()["value"].tolist() == [12.5]


def test_the_newest_of_each_cell(where: str) -> None:
    history = opened(where)
    rows = [
        replace(ROW, run_id=f"run-{day}", created=f"2026-01-0{day}T00:00:00+00:00", value=day)
        for day in (3, 1, 2)
    ]
    history.add({ROW.fingerprint: {}}, rows)
    assert history.read()["value"].tolist() == [1, 2, 3]
    assert history.read(last=2)["value"].tolist() == [2, 3]


WRITER = textwrap.dedent(
    """
    import sys, time
    from dataclasses import replace
    from vaebench.bench.history import open_history
    from vaebench.bench.measurements import Measurement
    where, writer, start = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    time.sleep(max(0, start - time.time()))
    history = open_history(where)
    for batch in range({batches}):
        rows = [
            Measurement("timing", f"run-{{writer}}-{{batch}}", "2026-01-01T00:00:00+00:00", None,
                        f"{{writer:012}}", "vae", f"cell {{row}}", "p50_ms", "ms", 1.0, False)
            for row in range({rows})
        ]
        shared = [replace(rows[0], run_id="shared", cell="one")]
        history.add({{f"{{writer:012}}": {{"writer": writer}}}}, rows + shared)
    assert "torch" not in sys.modules
    """
).format(batches=BATCHES, rows=ROWS)


def test_eight_writers_at_once_lose_nothing_and_double_nothing(where: str) -> None:
    """They race to lay the history out, too: it does not exist when they start."""
    import time

    start = time.time() + 4
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, where, str(writer), str(start)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for writer in range(WRITERS)
    ]
    for writer in writers:
        _, told = writer.communicate(timeout=120)
        assert writer.returncode == 0, told
    frame = opened(where).read()
    assert len(frame) == WRITERS * BATCHES * ROWS + 1
    assert not frame.duplicated(["run_id", "cell", "measure"]).any()
    assert frame["fingerprint"].nunique() == WRITERS


def test_a_password_is_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HistoryError) as raised:
        open_history("postgresql://team:topsecret@127.0.0.1:1/none")
    assert "topsecret" not in str(raised.value)
    assert "team:***@127.0.0.1:1" in str(raised.value)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("mysql://team:topsecret@host/db", "mysql"),
        ("postgresql://team:topsecret@host:port/db", "cannot be read"),
        ("/proc/none/history.sqlite", "Pass --history PATH"),
    ],
)
def test_what_cannot_be_a_history_is_one_sentence(where: str, sentence: str) -> None:
    with pytest.raises(HistoryError, match=sentence) as raised:
        open_history(where)
    assert "topsecret" not in str(raised.value)


def test_a_foreign_file_and_a_newer_history_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("no database " * 100)
    with pytest.raises(HistoryError, match="not a database"):
        open_history(str(foreign))
    assert foreign.read_text().startswith("no database")
    newer = tmp_path / "newer.sqlite"
    opened(str(newer))
    with contextlib.closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE vaebench_history SET version = 99")
    with pytest.raises(HistoryError, match="Install a newer vaebench"):
        open_history(str(newer))


def test_where_the_history_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_history("off") is None
    monkeypatch.setenv("VAEBENCH_HISTORY", str(tmp_path / "team.sqlite"))
    assert opened("").name == str(tmp_path / "team.sqlite")
    monkeypatch.delenv("VAEBENCH_HISTORY")
    monkeypatch.setattr(history_module.platformdirs, "user_data_path", lambda name: tmp_path / name)
    assert opened("").name == str(tmp_path / "vaebench" / "history.sqlite")


def test_reading_the_history_needs_no_torch() -> None:
    code = "import sys, vaebench.bench.history; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def stored(folder: Path, run_id: str, p50_ms: float = 10.0, torch: str = "2.6") -> StoredRun:
    """A run of two pictures and one timing."""
    codecs = [CodecInfo("vae", "autoencoder", "./vae", {}, weights_sha256="ab" * 32)]
    machine = {"device": "cpu", "cpu": "a CPU", "threads": 2, "driver": None, "cuda": None}
    record = {
        "schema_version": 1, "run_id": run_id, "name": run_id, "finished": False,
        "created": f"2026-01-01T00:00:{len(run_id):02}+00:00",
        "suite": {"size": 64, "fit": "crop", "rounding": "8bit"},
        "environment": {**machine, "torch": torch, "diffusers": "0.35"},
        "images": [{"image_id": name, "sha256": name * 8} for name in "ab"],
        "metrics": [{"variant": "psnr/rgb8", "higher_is_better": True}],
        "codecs": [vars(codec) | {"settings": {}} for codec in codecs],
        "unavailable": [], "regions": [],
    }  # fmt: skip
    create_run(folder, record)
    for name, psnr in (("a", 30.0), ("b", 34.0)):
        scores = [
            Score(name, "vae", "whole", "whole", "psnr", "psnr/rgb8", psnr, "dB"),
            Score(name, "vae", "left", "eye", "psnr", "psnr/rgb8", psnr - 5, "dB"),
            Score(name, "vae", "whole", "whole", "mse", "mse/rgb8", 0.0 if psnr else None, ""),
        ]
        write_part(folder, name, scores, [])
    finish_run(folder, record)
    samples = tuple(p50_ms + step for step in (-1.0, 0.0, 1.0))
    timing = Timing(
        "vae", "decode", "float32", 2, 64, 64, "eager", {"compile": False}, "CPU", "perf_counter",
        samples_ms=samples, wall_ms=samples,
    )  # fmt: skip
    lost = replace(timing, batch=8, status="out of memory", samples_ms=(), wall_ms=())
    write_timings(folder, [timing, lost])
    return load_run(folder)


def test_a_run_is_told_as_timings_and_mean_scores(tmp_path: Path) -> None:
    rows = measurements_of(stored(tmp_path / "run", "r"))
    timings = {row.measure: row.value for row in rows if row.kind == "timing"}
    assert timings == {"p50_ms": 10.0, "p90_ms": 10.8, "p99_ms": 10.98, "images_per_s": 200.0}
    (cell,) = {row.cell for row in rows if row.kind == "timing"}
    assert cell == "vae · decode · 64×64 · batch 2 · float32 · eager · CPU"
    scores = [row for row in rows if row.kind == "score"]
    assert [row.value for row in scores] == [32.0, 27.0, 0.0]
    assert [row.higher_is_better for row in scores[:2]] == [True, True]
    assert all("2 pictures" in row.cell and "64 px crop, 8bit" in row.cell for row in scores)
    assert [" · eye · " in row.cell for row in scores] == [False, True, False]


def test_an_infinite_mean_is_no_number(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", "r")
    run.scores.loc[run.scores["kind"] == "eye", "value"] = np.inf
    (row,) = [row for row in measurements_of(run) if " · eye · " in row.cell]
    assert row.value is None
    assert "infinite" in row.extra["note"]
    json.dumps(row.to_dict())


def test_the_trend_of_a_runs_own_cells(tmp_path: Path) -> None:
    history = opened(str(tmp_path / "h.sqlite"))
    for place in range(20):
        run_id = "r" * (place + 1)
        run = stored(tmp_path / run_id, run_id, 10.0 + 0.01 * (place % 3) + (place >= 12))
        record_run(run, history)
    found = trend_of(run, history)
    assert tuple(found.columns) == TREND_COLUMNS
    timed = found[found["measure"] == "p50_ms"]
    assert len(timed) == 20
    assert np.flatnonzero(timed["is_step"]).tolist() == [12]
    assert not found[found["measure"] == "psnr/rgb8"]["is_step"].any()
    other = stored(tmp_path / "other", "r" * 21, 20.0, torch="2.7")
    record_run(other, history)
    timed = trend_of(other, history).query("measure == 'p50_ms'")
    assert timed["fingerprint"].nunique() == 2
    assert np.flatnonzero(timed["is_step"]).tolist() == [12]


def test_an_empty_history_has_no_trend(tmp_path: Path) -> None:
    frame = opened(str(tmp_path / "h.sqlite")).read()
    assert isinstance(frame, pd.DataFrame)
    assert len(trend(frame)) == 0
