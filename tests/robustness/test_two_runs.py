"""Two processes and one run folder, or one history: one after the other, or one is refused."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from vaebench.bench import api
from vaebench.bench.errors import HistoryWarning, RunFolderError, VaebenchError
from vaebench.bench.store.history import engines as history_engines
from vaebench.bench.store.lock import LOCK_NAME, writing_run
from vaebench.bench.store.record import write_record
from vaebench.bench.store.run import load_run
from vaebench.bench.suite import Suite

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


@pytest.fixture
def chosen(tmp_path: Path) -> Suite:
    """Four small pictures and one codec."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(5)
    for name in "abcd":
        pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return Suite.create(images=[str(folder)], codecs=["jpeg:q=40"], metrics=["psnr"])


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report, which takes longest and locks nothing of its own."""
    monkeypatch.setattr(api, "_write_report", lambda folder, progress: folder)


@contextmanager
def another_process(work: Callable[[Any], None]) -> Iterator[int]:
    """Have work done in another process, which is given a function to call when it got there.

    Yields: its process id, from that moment on; killed at the end.
    """
    fork = multiprocessing.get_context("fork")
    there = fork.Event()
    process = fork.Process(target=work, args=(there,))
    process.start()
    try:
        assert there.wait(60)
        assert process.pid is not None
        yield process.pid
    finally:
        process.kill()
        process.join()


def hold(folder: Path) -> Callable[[Any], None]:
    """Hold a run folder until killed."""

    def work(there: Any) -> None:
        with writing_run(folder, "run"):
            there.set()
            time.sleep(600)

    return work


def test_a_folder_that_is_being_written_is_refused_and_its_writer_named(
    chosen: Suite, tmp_path: Path, no_report: None
) -> None:
    folder = tmp_path / "run"
    run = api.run(chosen, folder, quiet, "command", "off")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    writers: list[Callable[[], object]] = [
        lambda: api.run(chosen, folder, quiet, "command", "off"),
        lambda: api.resume(folder, quiet, "off"),
        lambda: api.speed(codecs=["demo-f8c4"], out=folder),
        lambda: api.score(folder, ["mae"]),
        lambda: api.report(folder),
    ]
    with another_process(hold(folder)) as pid:
        for write in writers:
            with pytest.raises(RunFolderError) as refused:
                write()
            assert f"process {pid} on " in str(refused.value)
            assert "(vaebench run, since " in str(refused.value)
            assert "\n" not in str(refused.value)
        assert load_run(folder).scores.equals(run.scores)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after.pop(folder / LOCK_NAME)
    assert after == before


def test_the_lock_of_a_killed_process_holds_nobody_up(
    chosen: Suite, tmp_path: Path, no_report: None
) -> None:
    folder = tmp_path / "new" / "run"
    with another_process(hold(folder)):
        pass
    assert (folder / LOCK_NAME).is_file()
    with pytest.raises(RunFolderError, match="stopped before it began to score"):
        api.resume(folder, quiet, "off")
    assert len(api.run(chosen, folder, quiet, "command", "off").images) == 4
    assert not (folder / LOCK_NAME).exists()


def test_of_two_runs_that_begin_at_once_one_is_made(
    chosen: Suite, tmp_path: Path, no_report: None
) -> None:
    whole = api.run(chosen, tmp_path / "whole" / "run", quiet, "command", "off")
    fork = multiprocessing.get_context("fork")
    for attempt in range(3):
        folder = tmp_path / str(attempt) / "run"
        barrier, told = fork.Barrier(4), fork.SimpleQueue()

        def begin(folder: Path = folder, barrier: Any = barrier, told: Any = told) -> None:
            barrier.wait(60)
            try:
                api.run(chosen, folder, quiet, "command", "off")
                told.put("made")
            except VaebenchError as error:
                told.put(str(error))

        runs = [fork.Process(target=begin) for _ in range(4)]
        for run in runs:
            run.start()
        outcomes = [told.get() for _ in runs]
        for run in runs:
            run.join()
        assert outcomes.count("made") == 1
        outcomes.remove("made")
        # The slower ones may come when the first has ended.
        assert all("is writing in it" in text or "--resume" in text for text in outcomes), outcomes
        for name in ("scores.parquet", "reconstructions/jpeg-q40/b.png.png"):
            assert (folder / name).read_bytes() == (whole.folder / name).read_bytes()
        assert not (folder / LOCK_NAME).exists()


def test_what_fails_before_it_begins_leaves_no_folder(tmp_path: Path, chosen: Suite) -> None:
    lost = Suite.create(images=[str(tmp_path / "none")], codecs=["jpeg"])
    with pytest.raises(VaebenchError):
        api.run(lost, tmp_path / "new" / "run", quiet, "command", "off")
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(VaebenchError):
        api.run(lost, tmp_path / "mine", quiet, "command", "off")
    assert list((tmp_path / "mine").iterdir()) == []
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not an empty folder"):
        api.run(chosen, tmp_path / "mine", quiet, "command", "off")
    with pytest.raises(RunFolderError, match="is no run folder"):
        api.report(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(RunFolderError, match="it is no folder"):
        api.run(chosen, tmp_path / "mine" / "notes.txt", quiet, "command", "off")


def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with (
        pytest.raises(RunFolderError, match="has no locks") as refused,
        writing_run(tmp_path / "run", "run"),
    ):
        raise AssertionError("it was not locked")
    assert "\n" not in str(refused.value)


def test_an_error_about_another_file_is_not_told_as_the_run_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing_run(tmp_path / "run", "run"):
        (tmp_path / "weights" / "none.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("command", "mend"),
    [
        ("run", "then vaebench run --resume "),
        ("speed", "Choose another --out."),
        ("score", "and give the same command again."),
    ],
)
def test_a_full_disk_is_told_with_what_goes_on_after_it(
    tmp_path: Path, command: str, mend: str
) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="No space") as told, writing_run(tmp_path, command):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert mend in str(told.value)


def test_a_run_that_ends_while_it_is_read_is_read_whole(
    chosen: Suite, tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.run(chosen, tmp_path / "run", quiet, "command", "off")
    record = run.record
    write_record(run.folder, replace(record, finished=False))
    from vaebench.bench.store import run as store

    read = store.parts_of

    def read_late(folder: Path, found: Any) -> Any:
        write_record(folder, record)
        return read(folder, found)

    monkeypatch.setattr(store, "parts_of", read_late)
    assert load_run(run.folder).scores.equals(run.scores)


def test_two_runs_at_once_are_both_in_one_history(
    chosen: Suite, tmp_path: Path, no_report: None
) -> None:
    history = str(tmp_path / "history.sqlite")
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(3)

    def begin(name: str) -> None:
        barrier.wait(60)
        api.run(chosen, tmp_path / name, quiet, "command", history)

    runs = [fork.Process(target=begin, args=(name,)) for name in ("one", "two", "three")]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0, 0]
    rows = pd.read_sql("SELECT * FROM measurements", f"sqlite:///{history}")
    counts = rows.groupby("run_id").size()
    assert len(counts) == 3
    assert counts.nunique() == 1
    # Each run's rows lie together: no other run came between.
    assert (rows.sort_values("id")["run_id"].shift() != rows["run_id"]).sum() == 3


def test_a_writer_that_is_killed_leaves_the_history_whole(
    chosen: Suite, tmp_path: Path, no_report: None
) -> None:
    path = tmp_path / "history.sqlite"
    api.run(chosen, tmp_path / "one", quiet, "command", str(path))

    def write(there: Any) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE measurements SET value = -1")
        there.set()
        time.sleep(600)

    with another_process(write):
        pass
    api.run(chosen, tmp_path / "two", quiet, "command", str(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        runs = "SELECT count(DISTINCT run_id), min(value) > 0 FROM measurements"
        assert connection.execute(runs).fetchone() == (2, 1)


def test_a_history_that_stays_busy_costs_the_run_nothing(
    chosen: Suite, tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.sqlite"
    api.run(chosen, tmp_path / "one", quiet, "command", str(path))
    monkeypatch.setattr(history_engines, "WAIT_S", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.warns(HistoryWarning, match="database is locked"):
            run = api.run(chosen, tmp_path / "two", quiet, "command", str(path))
        writer.execute("ROLLBACK")
    assert len(run.scores) > 0
    assert len(api.resume(run.folder, quiet, str(path)).trend) > len(run.scores["variant"].unique())


def test_the_signal_that_ends_a_process_does_not_matter(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with another_process(hold(tmp_path / "run")) as pid:
            os.kill(pid, number)
            for _ in range(600):
                try:
                    with writing_run(tmp_path / "run", "run"):
                        break
                except RunFolderError:
                    time.sleep(0.05)
            else:
                pytest.fail(f"still locked after signal {number}")
