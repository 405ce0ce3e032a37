"""Where the history is, what a run tells it, and the trend it shows; SQLite alone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sql
from vaebench.bench.errors import HistoryError
from vaebench.bench.records import (
    CodecInfo,
    Environment,
    ImageRef,
    MetricColumn,
    Region,
    Score,
    Timing,
)
from vaebench.bench.store.history import database as history_module
from vaebench.bench.store.history import engines as history_engines
from vaebench.bench.store.history.database import History, open_history, record_run, trend, trend_of
from vaebench.bench.store.history.measurements import Measurement, measurements_of
from vaebench.bench.store.parts import parts_of, write_part
from vaebench.bench.store.record import RunRecord
from vaebench.bench.store.run import StoredRun, create_run, finish_run, load_run
from vaebench.bench.store.tables import TREND_COLUMNS, write_timings
from vaebench.bench.suite import Suite

ROW = Measurement(
    "timing", "run-1", "2026-01-01T00:00:00+00:00", "abc", "f" * 12, "vae", "vae · decode",
    "p50_ms", "ms", 12.5, False, (12.0, 12.5, 13.0), {"stage": "decode"},
)  # fmt: skip


def opened(where: str) -> History:
    history = open_history(where)
    assert history is not None
    return history


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        (
            "postgresql://team:topsecret@127.0.0.1:1/none",
            r"team:\*\*\*@127.0.0.1:1/none: .*refused",
        ),
        ("postgresql://team@127.0.0.1:1/none?password=topsecret", "team@127.0.0.1:1/none: "),
        ("postgresql://team:top@topsecret@host/db", "Write %40"),
        ("postgresql://team:topsecret@host:port/db", "cannot be read"),
        ("postgresql://team:topsecret@127.0.0.1:1/db?sslmode=none", "sslmode"),
        ("mysql://team:topsecret@host/db", "mysql"),
        ("postgresql:team:topsecret@host/db", "cannot be read"),
        ("host=127.0.0.1 password=topsecret", "cannot be read"),
        ("/proc/none/history.sqlite", "Pass --history PATH"),
        ("/", "unable to open"),
    ],
)
def test_what_cannot_be_a_history_is_one_sentence_without_a_password(
    where: str, sentence: str
) -> None:
    with pytest.raises(HistoryError, match=sentence) as raised:
        open_history(where)
    assert "\n" not in str(raised.value)
    assert "topsecret" not in "".join(traceback.format_exception(raised.value))


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * history_engines.CONNECT_S < 10
    monkeypatch.setattr(history_engines, "CONNECT_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(HistoryError, match="timeout"):
            open_history(f"postgresql://team:topsecret@127.0.0.1:{port}/none")


def test_without_the_driver_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(HistoryError, match=r"vaebench\[postgres\]"):
        open_history("postgresql://team@127.0.0.1:1/none")


def test_a_foreign_file_and_a_newer_history_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("no database " * 100)
    with pytest.raises(HistoryError, match="not a database"):
        open_history(str(foreign))
    assert foreign.read_text().startswith("no database")
    bookmarks = tmp_path / "bookmarks.sqlite"
    with contextlib.closing(sqlite3.connect(bookmarks)) as connection, connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    before = bookmarks.read_bytes()
    with pytest.raises(HistoryError, match="no history of vaebench: it has the tables bookmarks"):
        open_history(str(bookmarks))
    assert bookmarks.read_bytes() == before
    newer = tmp_path / "newer.sqlite"
    opened(str(newer))
    with contextlib.closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE vaebench_history SET version = 99")
    with pytest.raises(HistoryError, match="Install a newer vaebench"):
        open_history(str(newer))


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    history = opened(str(path))
    history.add({ROW.fingerprint: {}}, [ROW])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM measurements")
        assert opened(str(path)).read()["value"].tolist() == [12.5]
        writer.execute("ROLLBACK")


def test_a_file_that_may_only_be_read_is_told(tmp_path: Path) -> None:
    """Not by permissions, which root does not heed: the database itself refuses to be written."""
    history = opened(str(tmp_path / "h.sqlite"))
    readonly = sql.create_engine(
        f"sqlite:///file:{tmp_path / 'h.sqlite'}?mode=ro&uri=true",
        connect_args={"isolation_level": None},
    )
    history.add({ROW.fingerprint: {}}, [ROW])
    held = History(readonly)
    assert held.read()["value"].tolist() == [12.5]
    with pytest.raises(HistoryError, match="readonly"):
        held.add({ROW.fingerprint: {}}, [replace(ROW, run_id="another")])


DAMAGE = [
    ("extra", "{"),
    ("extra", "[1]"),
    ("samples", "12"),
    ("created", "yesterday"),
    ("value", "much"),
    ("value", b"\x00"),
]


@pytest.mark.parametrize(("column", "value"), DAMAGE)
def test_a_history_takes_no_value_that_is_none(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "h.sqlite"
    opened(str(path)).add({ROW.fingerprint: {}}, [ROW])
    with (
        contextlib.closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.DatabaseError, match=r"CHECK|malformed JSON"),
    ):
        connection.execute(f"UPDATE measurements SET {column} = ?", (value,))


@pytest.mark.parametrize(
    ("column", "value"), [("extra", "{"), ("created", "yesterday"), ("value", "much"), *DAMAGE[-1:]]
)
def test_a_damaged_cell_is_one_sentence(tmp_path: Path, column: str, value: object) -> None:
    path = tmp_path / "h.sqlite"
    history = opened(str(path))
    history.add({ROW.fingerprint: {}}, [ROW, replace(ROW, run_id="run-2", value=13.5)])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE measurements SET {column} = ? WHERE id = 1", (value,))
    with pytest.raises(HistoryError, match=r"history .*h\.sqlite") as told:
        history.read()
    assert "\n" not in str(told.value)


def test_measurements_without_their_environment_are_told(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    history = opened(str(path))
    history.add({ROW.fingerprint: {}}, [ROW])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM environments")
    with pytest.raises(HistoryError, match="is damaged: measurements lack their environment"):
        history.read()


def test_a_history_on_a_disk_that_may_only_be_read_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "disk #1"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not is_root or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk, so root")
    try:
        path = folder / "h.sqlite"
        opened(str(path)).add({ROW.fingerprint: {}}, [ROW])
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(HistoryError, match="unable to open"):
            open_history(str(path))
        history = open_history(str(path), to_read=True)
        assert history is not None
        assert history.read()["value"].tolist() == [12.5]
        with pytest.raises(HistoryError, match="readonly"):
            history.add({ROW.fingerprint: {}}, [replace(ROW, run_id="another")])
        # What waits in a log would be missing.
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        (folder / "h.sqlite-wal").write_bytes(b"")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(HistoryError, match="unable to open"):
            open_history(str(path), to_read=True)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_where_the_history_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_history("off") is None
    monkeypatch.setenv("VAEBENCH_HISTORY", str(tmp_path / "team.sqlite"))
    assert opened("").name == str(tmp_path / "team.sqlite")
    monkeypatch.delenv("VAEBENCH_HISTORY")
    monkeypatch.setattr(history_module.platformdirs, "user_data_path", lambda name: tmp_path / name)
    assert opened("").name == str(tmp_path / "vaebench" / "history.sqlite")


def test_reading_the_history_needs_no_torch() -> None:
    code = "import sys, vaebench.bench.store.history.database; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def stored(folder: Path, run_id: str, p50_ms: float = 10.0, torch: str = "2.6") -> StoredRun:
    """A run of two pictures and one timing."""
    machine = Environment(
        "cpu", None, None, torch, "0.35", "0.1", "3.11", "linux", "a CPU", 2, None
    )
    record = RunRecord(
        run_id=run_id,
        name=run_id,
        created=datetime(2026, 1, 1, 0, 0, len(run_id), tzinfo=UTC),
        command="",
        working_folder=None,
        suite=Suite.create(codecs=["vae=./vae"], size=64, fit="crop"),
        environment=machine,
        images=tuple(ImageRef(name, "set", name, name * 64, 64, 64) for name in "ab"),
        regions=tuple(Region(name, "left", "eye", (1, 1, 9, 9)) for name in "ab"),
        metrics=(
            MetricColumn("psnr", "psnr/rgb8", "dB", True),
            MetricColumn("mse", "mse/rgb8", "", None),
        ),
        codecs=(CodecInfo("vae", "autoencoder", "./vae", {}, weights_sha256="ab" * 32),),
    )
    create_run(folder, record)
    for name, psnr in (("a", 30.0), ("b", 34.0)):
        scores = [
            Score(name, "vae", "whole", "whole", "psnr", "psnr/rgb8", psnr, "dB"),
            Score(name, "vae", "left", "eye", "psnr", "psnr/rgb8", psnr - 5, "dB"),
            Score(name, "vae", "whole", "whole", "mse", "mse/rgb8", 0.0 if psnr else None, ""),
        ]
        write_part(folder, name, scores, [], {})
    finish_run(folder, record, parts_of(folder, record))
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
