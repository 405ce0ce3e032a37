"""The history in both databases, SQLite and a real PostgreSQL, with many writers at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from vaebench.bench.errors import HistoryError
from vaebench.bench.store.history.database import History, open_history
from vaebench.bench.store.history.measurements import Measurement

WRITERS, BATCHES, ROWS = 8, 5, 7
DATABASES = count()
ROW = Measurement(
    "timing", "run-1", "2026-01-01T00:00:00+00:00", "abc", "f" * 12, "vae", "vae · decode",
    "p50_ms", "ms", 12.5, False, (12.0, 12.5, 13.0), {"stage": "decode"},
)  # fmt: skip


def told(*command: object) -> str:
    """What a command prints; a skip where it does not run."""
    try:
        words = [str(word) for word in command]
        return subprocess.run(
            words, capture_output=True, text=True, cwd="/", check=True, timeout=60
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip()[-200:]
        pytest.skip(f"PostgreSQL does not start here: {reason}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own on loopback, gone after the tests."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    # The server refuses to run as root.
    runner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    # Not below pytest's own folder, which other users may not enter.
    folder = told(*runner, "mktemp", "-d")
    control = [*runner, binaries[-1] / "pg_ctl", "-D", folder, "-w"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        # The plainest locale, so that the default database is SQL_ASCII: the worst to read from.
        told(*runner, binaries[-1] / "initdb", "-D", folder, "-U", "team", "-A", "trust",
             "--locale=C", "--no-sync")  # fmt: skip
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        # Its log goes to a file: a server that held the pipe would keep us waiting for its end.
        told(*control, "-o", options, "-l", f"{folder}/log", "start")
        yield f"postgresql://team:secret@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, cwd="/")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new history: a file, or a database of its own on the server."""
    if request.param == "sqlite":
        return str(tmp_path / "history.sqlite")
    psycopg = pytest.importorskip("psycopg")
    server = request.getfixturevalue("postgres")
    name = f"history_{next(DATABASES)}"
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
    score = replace(ROW, kind="score", cell="other", measure="psnr/rgb8", higher_is_better=True)
    history.add({ROW.fingerprint: {"device": "CPU"}}, [ROW, none, score])
    frame = opened(where).read()
    assert frame["value"].tolist()[0] == 12.5
    assert np.isnan(frame["value"].tolist()[1])
    assert frame["cell"].tolist() == ["vae · decode", "vae · decode", "other"]
    assert frame["samples"].tolist()[:2] == [[12.0, 12.5, 13.0], None]
    assert frame["extra"].tolist()[0] == {"stage": "decode"}
    assert frame["environment"].tolist()[0] == {"device": "CPU"}
    assert frame["commit"].tolist() == ["abc", None, "abc"]
    assert frame["higher_is_better"].tolist() == [False, False, True]
    assert len(history.read(codec="vae")) == 3
    assert len(history.read(codec="other")) == len(history.read(cell="none")) == 0
    assert history.read(kind="score")["cell"].tolist() == ["other"]
    assert history.read(kind="timing", cell="vae · decode")["measure"].tolist() == [
        "p50_ms",
        "p99_ms",
    ]


def test_a_run_that_is_added_twice_changes_nothing(where: str) -> None:
    history = opened(where)
    for value in (12.5, 99.0):
        history.add({ROW.fingerprint: {}}, [replace(ROW, value=value)])
    assert history.read()["value"].tolist() == [12.5]


def test_what_fails_half_way_leaves_nothing(where: str) -> None:
    history = opened(where)
    unknown = replace(ROW, run_id="run-2", unit=None)  # type: ignore[arg-type]
    with pytest.raises(HistoryError, match="unit"):
        history.add({ROW.fingerprint: {}}, [ROW, unknown])
    assert len(history.read()) == 0
    history.add({ROW.fingerprint: {}}, [ROW])
    assert len(history.read()) == 1


def test_the_newest_of_each_cell_and_measure(where: str) -> None:
    history = opened(where)
    rows = [
        replace(
            ROW, run_id=f"run-{day}", created=f"2026-01-0{day}T00:00:00+00:00",
            measure=measure, value=day,
        )
        for day in (3, 1, 2)
        for measure in ("p50_ms", "p99_ms")
    ]  # fmt: skip
    history.add({ROW.fingerprint: {}}, rows)
    assert history.read()["value"].tolist() == [1, 1, 2, 2, 3, 3]
    assert history.read(last=2)["value"].tolist() == [2, 2, 3, 3]
    assert history.read_cells([ROW.cell], 1)["value"].tolist() == [3, 3]
    assert len(history.read_cells([], 1)) == 0


def test_another_programs_tables_are_left_alone(where: str) -> None:
    """Here a table that has the name of one of ours."""
    make = "CREATE TABLE measurements (weight int)"
    if "://" in where:
        import psycopg

        with psycopg.connect(where) as connection:
            connection.execute(make)
            connection.commit()
            with pytest.raises(HistoryError, match="no history of vaebench") as raised:
                open_history(where)
            found = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
            assert found.fetchall() == [(b"measurements",)]
    else:
        with contextlib.closing(sqlite3.connect(where)) as connection:
            connection.execute(make)
            with pytest.raises(HistoryError, match="no history of vaebench") as raised:
                open_history(where)
            found = connection.execute("SELECT name FROM sqlite_master")
            assert found.fetchall() == [("measurements",)]
    assert "secret" not in str(raised.value)


WRITERS_AT_ONCE = textwrap.dedent(
    """
    import multiprocessing, sys
    from dataclasses import replace
    from vaebench.bench.store.history.database import open_history
    from vaebench.bench.store.history.measurements import Measurement

    def write(where, writer, barrier):
        barrier.wait(60)
        history = open_history(where)
        for batch in range({batches}):
            rows = [
                Measurement("timing", f"run-{{writer}}-{{batch}}", "2026-01-01T00:00:00+00:00",
                            None, f"{{writer:012}}", "vae", f"cell {{row}}", "p50_ms", "ms",
                            float(writer), False, (1.0, 2.0))
                for row in range({rows})
            ]
            shared = [replace(rows[0], run_id="shared", cell=f"cell {{row}}") for row in (1, 2)]
            told = {{f"{{writer:012}}": {{"writer": writer}}, "f" * 12: {{"shared": True}}}}
            history.add(told, rows + shared)

    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier({writers})
    writers = [fork.Process(target=write, args=(sys.argv[1], writer, barrier))
               for writer in range({writers})]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert "torch" not in sys.modules
    sys.exit(any(writer.exitcode != 0 for writer in writers))
    """
).format(writers=WRITERS, batches=BATCHES, rows=ROWS)


def test_eight_writers_at_once_lose_nothing_and_double_nothing(where: str) -> None:
    """They race to lay the history out, too: it does not exist when they start."""
    command = [sys.executable, "-c", WRITERS_AT_ONCE, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    frame = opened(where).read()
    assert len(frame) == WRITERS * BATCHES * ROWS + 2
    assert not frame.duplicated(["run_id", "cell", "measure"]).any()
    told_by = frame[frame["run_id"] != "shared"].groupby("value")["run_id"].nunique()
    assert told_by.to_dict() == dict.fromkeys(map(float, range(WRITERS)), BATCHES)
