"""kill -9 at any moment, then resume: the files of a run that nobody disturbed."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import signal
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from vaebench.bench import api
from vaebench.bench.errors import RunFolderError
from vaebench.bench.scoring import plan
from vaebench.bench.store.parts import finished_images
from vaebench.bench.suite import Suite
from vaebench.metrics import open_metric

Progress = Callable[[str, int, int], None]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

CODECS = ["jpeg:q=40", "floor=pca:c=2,f=8"]
"""One with payloads, one with latents."""


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def make_tiny(parent: Path) -> Path:
    """Make two pictures of two sizes; every codec does worse on the noise."""
    folder = parent / "tiny"
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    Image.fromarray(noise[:, :16] // 16 + 100).save(folder / "plain.png")
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The folder of the two pictures."""
    return make_tiny(tmp_path)


def suite(tiny: Path, **fields: Any) -> Suite:
    given = {"images": [str(tiny)], "codecs": CODECS, "metrics": ["psnr"], **fields}
    return Suite.create(**given)


def killed(work: Callable[[Progress], object], prepare: Callable[[], None]) -> tuple[bool, int]:
    """Do work in a process of its own that `prepare` has told when to die.

    Returns: whether it was killed, and how many pictures it had reported as scored.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told)
            # The threads of before the fork are gone, and would be waited for.
            torch.set_num_threads(1)

            def progress(phase: str, done: int, total: int) -> None:
                if phase == "scoring":
                    os.write(tell, bytes([done]))

            prepare()
            work(progress)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(tell)
    with open(told, "rb") as pipe:  # noqa: PTH123
        reported = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "the run failed; its traceback is above"
    return status != 0, max(reported, default=0)


def dies_at(moment: int) -> None:
    """Kill this process at its nth step in the file system that could leave something half done.

    At the fsync of a file half of it is cut off first: a kill in the middle of the write. The
    fsync of a folder comes after the rename.
    """
    steps = itertools.count(1)

    def deadly(name: str) -> Callable[..., Any]:
        step = getattr(os, name)

        def die_or_go_on(*arguments: Any, **more: Any) -> Any:
            if next(steps) == moment:
                if name == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                    os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **more)

        return die_or_go_on

    for name in ("fsync", "unlink", "rmdir"):
        setattr(os, name, deadly(name))


def files(folder: Path) -> dict[str, Any]:
    """The files of a run by path; of run.json what is not the moment at which it began."""
    found: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    record = json.loads(found.pop("run.json"))
    for name in ("run_id", "created", "sha256"):
        del record[name]
    found["order in run.json"] = list(record)
    return {**found, **{f"run.json {key}": value for key, value in record.items()}}


@pytest.fixture
def same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask git and the libraries once, not at every start of a run."""
    monkeypatch.setattr(plan, "read_environment", functools.cache(plan.read_environment))


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report, which is made of the run folder alone and has a test of its own."""
    monkeypatch.setattr(api, "_write_report", lambda folder, progress: folder)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each batch that is read has, in this process."""
    batches: list[int] = []
    psnr = type(open_metric("psnr", None, "cpu"))
    prepare = psnr.prepare

    def counted(self: Any, pixels: Any) -> Any:
        batches.append(len(pixels))
        return prepare(self, pixels)

    monkeypatch.setattr(psnr, "prepare", counted)
    return batches


def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(
    tiny: Path,
    tmp_path: Path,
    no_report: None,
    same_machine: None,
    scored: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every write, rename and removal of a run is cut off once; `worst` has most of them."""
    monkeypatch.setattr("vaebench.bench.store.pictures.WORST_KEPT", 1)
    chosen = suite(tiny, keep="worst")
    api.run(chosen, tmp_path / "whole" / "run", quiet, "command", "off")
    whole = files(tmp_path / "whole" / "run")
    assert "latents.parquet" in whole
    for moment in itertools.count(1):
        folder = tmp_path / str(moment) / "run"
        was_killed, reported = killed(
            lambda progress, folder=folder: api.run(chosen, folder, progress, "command", "off"),
            lambda moment=moment: dies_at(moment),
        )
        if not was_killed:
            assert files(folder) == whole
            assert moment > 40
            break
        if not (folder / "run.json").is_file():
            with pytest.raises(RunFolderError, match="stopped before it began to score"):
                api.resume(folder, quiet, "off")
            api.run(chosen, folder, quiet, "command", "off")
        else:
            finished = json.loads((folder / "run.json").read_text())["finished"]
            done = 2 if finished else len(finished_images(folder))
            assert done >= reported
            scored.clear()
            api.resume(folder, quiet, "off")
            assert sum(scored) == 2 - done, f"step {moment}"
        assert files(folder) == whole, f"step {moment}"
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of the tiny pictures, with its report."""
    folder = tmp_path_factory.mktemp("undisturbed")
    history = str(folder / "history.sqlite")
    return api.run(suite(make_tiny(folder)), folder / "run", quiet, "command", history).folder


def same(folder: Path, undisturbed: Path) -> None:
    """Tables and pictures are those of the undisturbed run, and no other files are there."""
    found, expected = (
        {path.relative_to(run): path for path in run.rglob("*") if path.is_file()}
        for run in (folder, undisturbed)
    )
    assert set(found) == set(expected)
    compared = {"tables", "reconstructions", "maps", "latents"}
    for path in expected:
        if path.parts[0] in {"scores.parquet", "latents.parquet"} | compared:
            assert found[path].read_bytes() == expected[path].read_bytes(), path


def dies_when(phase: str, done: int, step: int = 0) -> Callable[[Progress], Progress]:
    """Kill this process when its progress gets there, or so many steps later."""

    def told(progress: Progress) -> Progress:
        def die_or_go_on(now: str, count: int, total: int) -> None:
            progress(now, count, total)
            if (now, count) == (phase, done):
                dies_at(step) if step else os.kill(os.getpid(), signal.SIGKILL)

        return die_or_go_on

    return told


@pytest.mark.parametrize(
    "deadly",
    [
        dies_when("scoring", 1),
        dies_when("writing the report", 0),
        dies_when("writing the report", 0, step=9),
        dies_when("writing the report", 0, step=60),
    ],
    ids=["between pictures", "before the report", "in its tables", "in its plots"],
)
def test_a_kill_changes_no_table_of_the_report_and_no_row_of_the_history(
    tiny: Path, tmp_path: Path, deadly: Callable[[Progress], Progress], undisturbed: Path
) -> None:
    folder, history = tmp_path / "run", str(tmp_path / "history.sqlite")
    was_killed, _ = killed(
        lambda progress: api.run(suite(tiny), folder, deadly(progress), "command", history),
        lambda: None,
    )
    assert was_killed
    api.resume(folder, quiet, history)
    same(folder, undisturbed)
    rows = pd.read_sql("SELECT cell, measure, value FROM measurements", f"sqlite:///{history}")
    assert len(rows) > 0
    assert not rows.duplicated(["cell", "measure"]).any()


def test_a_kill_between_history_and_trend_tells_the_history_once(
    tiny: Path, tmp_path: Path, no_report: None
) -> None:
    folder, history = tmp_path / "run", str(tmp_path / "history.sqlite")

    def dies_at_trend() -> None:
        api.write_trend = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]

    was_killed, _ = killed(
        lambda progress: api.run(suite(tiny), folder, progress, "command", history), dies_at_trend
    )
    assert was_killed
    assert not (folder / "trend.parquet").exists()
    before = pd.read_sql("SELECT * FROM measurements", f"sqlite:///{history}")
    trend = api.resume(folder, quiet, history).trend
    after = pd.read_sql("SELECT * FROM measurements", f"sqlite:///{history}")
    pd.testing.assert_frame_equal(before, after)
    assert len(trend) == len(after) > 0


def test_a_kill_while_metrics_are_added_is_mended_by_adding_them_again(
    tiny: Path, tmp_path: Path, no_report: None
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "run"
    api.run(suite(tiny), whole / "run", quiet, "command", "off")
    for moment in itertools.count(1):
        shutil.copytree(whole / "run", folder)
        was_killed, _ = killed(
            lambda progress: api.score(folder, ["mae"], None, progress),
            lambda moment=moment: dies_at(moment),
        )
        api.score(folder, ["mae"])
        if moment == 1:
            expected = files(folder)
        assert files(folder) == expected
        assert set(api.load_run(folder).scores["metric"]) > {"psnr", "mae"}
        shutil.rmtree(folder)
        if not was_killed:
            assert moment > 4
            break
