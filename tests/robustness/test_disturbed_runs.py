"""Full disk, read-only folder, a picture that is gone, Ctrl-C: a sentence, and all can go on."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench import api
from vaebench.bench.cli.app import main
from vaebench.bench.errors import ImageError, RunFolderError
from vaebench.bench.scoring import decoded, plan
from vaebench.bench.store.atomic import is_leftover
from vaebench.bench.store.parts import finished_images
from vaebench.bench.suite import Suite

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def pictures(folder: Path, count: int, side: int) -> Path:
    """Make pictures of noise, which PNG cannot shorten."""
    folder.mkdir()
    random = np.random.default_rng(11)
    for index in range(count):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def suite(folder: Path, **fields: Any) -> Suite:
    given = {"images": [str(folder)], "codecs": ["jpeg:q=40"], "metrics": ["psnr"], **fields}
    return Suite.create(**given)


def kept(folder: Path) -> dict[str, bytes]:
    """The tables and pictures of a run."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("run.json", ".lock")
    }


def vaebench(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command as the entry point does and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["vaebench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report, which has tests of its own."""
    monkeypatch.setattr(api, "_write_report", lambda folder, progress: folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not IS_ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk, so root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_full_disk_costs_no_finished_picture(
    tmp_path: Path,
    small_disk: Path,
    no_report: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, chosen = small_disk / "run", suite(pictures(tmp_path / "noise", 8, 180))
    whole = api.run(chosen, tmp_path / "whole" / "run", quiet, "command", "off")
    asked = ["--images", tmp_path / "noise", "--codec", "jpeg:q=40", "--metric", "psnr"]
    code = vaebench("run", *asked, "--out", folder, "--history", "off", monkeypatch=monkeypatch)
    told = capsys.readouterr().err
    assert code == 2
    assert "No space left on device. What is finished is kept: make room there" in told
    assert f"vaebench run --resume {folder}" in told
    assert told.count("\n") == 1
    done = finished_images(folder)
    assert 0 < len(done) < 8
    assert vaebench("run", "--resume", folder, "--history", "off", monkeypatch=monkeypatch) == 2
    assert "No space left" in capsys.readouterr().err
    assert finished_images(folder) >= done
    remount(small_disk, "size=20m")
    api.resume(folder, quiet, "off")
    assert kept(folder) == kept(whole.folder)


def test_a_disk_that_is_full_at_any_write_is_one_sentence(
    tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = suite(pictures(tmp_path / "noise", 2, 16), codecs=["jpeg:q=40", "pca:c=2,f=8"])
    environment = plan.read_environment()
    monkeypatch.setattr(plan, "read_environment", lambda: environment)
    whole = kept(api.run(chosen, tmp_path / "whole" / "run", quiet, "command", "off").folder)
    fsync = os.fsync
    for moment in itertools.count(1, 3):
        folder, steps = tmp_path / str(moment) / "run", itertools.count(1)

        def full(opened: int, moment: int = moment, steps: Any = steps) -> None:
            if next(steps) >= moment:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(opened)

        monkeypatch.setattr(os, "fsync", full)
        try:
            api.run(chosen, folder, quiet, "command", "off")
        except RunFolderError as error:
            assert "No space left on device." in str(error)
            assert "\n" not in str(error)
        else:
            assert moment > 30
            assert kept(folder) == whole
            break
        finally:
            monkeypatch.setattr(os, "fsync", fsync)
        if folder.is_dir():
            assert not [path for path in folder.rglob("*") if is_leftover(path)]
        if (folder / "run.json").is_file():
            api.resume(folder, quiet, "off")
        else:
            api.run(chosen, folder, quiet, "command", "off")
        assert kept(folder) == whole


def test_a_disk_that_may_only_be_read(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, no_report: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    chosen = suite(pictures(tmp_path / "noise", 1, 16))
    run = api.run(chosen, small_disk / "run", quiet, "command", "off")
    remount(small_disk, "ro")
    for command in (
        ["run", "--resume", run.folder],
        ["report", run.folder],
        ["score", run.folder, "--metric", "mae"],
        ["run", "--images", tmp_path / "noise", "--codec", "jpeg", "--out", small_disk / "new"],
    ):
        assert vaebench(*command, monkeypatch=monkeypatch) == 2
        told = capsys.readouterr().err
        assert "Read-only file system" in told
        assert told.count("\n") == 1
    assert api.load_run(run.folder).scores.equals(run.scores)


@pytest.mark.skipif(IS_ROOT, reason="root may write anywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    chosen = suite(pictures(tmp_path / "noise", 1, 16))
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(RunFolderError, match=r"Permission denied\. Choose another --out"):
        api.run(chosen, tmp_path / "locked" / "run", quiet, "command", "off")


def test_a_picture_that_is_removed_meanwhile(
    tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was decoded when it was found would be scored all the same.
    monkeypatch.setattr(decoded, "MOST_BYTES", 0)
    folder = pictures(tmp_path / "noise", 6, 16)
    whole = api.run(suite(folder), tmp_path / "whole" / "run", quiet, "command", "off")
    last = folder / "5.png"
    data = last.read_bytes()

    def remove(phase: str, done: int, total: int) -> None:
        if phase == "scoring":
            last.unlink(missing_ok=True)

    run = tmp_path / "run"
    with pytest.raises(ImageError, match=r"5\.png") as stopped:
        api.run(suite(folder), run, remove, "command", "off")
    assert "\n" not in str(stopped.value)
    done = finished_images(run)
    assert "5.png" not in done
    with pytest.raises(RunFolderError, match=r"5\.png was changed, added or removed"):
        api.resume(run, quiet, "off")
    assert finished_images(run) == done
    last.write_bytes(data)
    api.resume(run, quiet, "off")
    assert kept(run) == kept(whole.folder)


def test_a_picture_that_is_changed_meanwhile(
    tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not scored under the hash of what it was; what was decoded before is still that."""
    folder = pictures(tmp_path / "noise", 6, 16)
    whole = api.run(suite(folder), tmp_path / "whole" / "run", quiet, "command", "off")
    last = folder / "5.png"
    data = last.read_bytes()

    def change(phase: str, done: int, total: int) -> None:
        if phase == "scoring":
            last.write_bytes((folder / "0.png").read_bytes())

    decoded_before = api.run(suite(folder), tmp_path / "kept" / "run", change, "command", "off")
    assert decoded_before.scores.equals(whole.scores)
    last.write_bytes(data)
    monkeypatch.setattr(decoded, "MOST_BYTES", 0)
    run = tmp_path / "run"
    with pytest.raises(ImageError, match=r"Cannot score 5\.png: .* changed since the run began"):
        api.run(suite(folder), run, change, "command", "off")
    assert "5.png" not in finished_images(run)
    with pytest.raises(RunFolderError, match=r"5\.png was changed, added or removed"):
        api.resume(run, quiet, "off")
    last.write_bytes(data)
    api.resume(run, quiet, "off")
    assert kept(run) == kept(whole.folder)


def test_a_run_goes_on_from_another_folder(
    tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its relative paths are those of the folder that it began in, as long as that is there."""
    monkeypatch.setattr(decoded, "MOST_BYTES", 0)
    began, elsewhere = tmp_path / "began", tmp_path / "elsewhere"
    for folder in (began, elsewhere):
        folder.mkdir()
    data = (pictures(began / "noise", 3, 16) / "2.png").read_bytes()

    def stop(phase: str, done: int, total: int) -> None:
        if phase == "scoring":
            (began / "noise" / "2.png").unlink(missing_ok=True)

    monkeypatch.chdir(began)
    with pytest.raises(ImageError):
        api.run(suite(Path("noise")), elsewhere / "run", stop, "command", "off")
    (began / "noise" / "2.png").write_bytes(data)
    monkeypatch.chdir(elsewhere)
    copy = shutil.copytree("run", "copy")
    assert len(api.resume("run", quiet, "off").scores) == 9
    assert Path.cwd() == elsewhere
    moved = tmp_path / "moved"
    began.rename(moved)
    with pytest.raises(ImageError, match="no such file"):
        api.resume(copy, quiet, "off")
    monkeypatch.chdir(moved)
    assert len(api.resume(elsewhere / copy, quiet, "off").scores) == 9


def test_a_run_inside_the_folder_of_its_pictures_goes_on(
    tmp_path: Path, no_report: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "MOST_BYTES", 0)
    folder = pictures(tmp_path / "noise", 4, 16)
    last, run = folder / "3.png", folder / "run"
    data = last.read_bytes()

    def stop(phase: str, done: int, total: int) -> None:
        if phase == "scoring":
            last.unlink(missing_ok=True)

    with pytest.raises(ImageError):
        api.run(suite(folder), run, stop, "command", "off")
    last.write_bytes(data)
    assert list((run / "reconstructions").rglob("*.png"))
    assert api.resume(run, quiet, "off").images["image_id"].tolist() == [
        "0.png", "1.png", "2.png", "3.png",
    ]  # fmt: skip


def test_a_name_of_no_utf_8_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "noise", 1, 16)
    asked = ["run", "--images", folder, "--codec", "png", "--out", tmp_path / "run\udcff"]
    assert vaebench(*asked, monkeypatch=monkeypatch) == 2
    assert "its name is no UTF-8" in capsys.readouterr().err


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path, no_report: None) -> None:
    folder = pictures(tmp_path / "noise", 40, 96)
    codecs = ["jpeg:q=40", "webp:q=40", "jpeg2000", "resize:4"]
    chosen = suite(folder, codecs=codecs, metrics=["psnr", "ssim", "flip"])
    chosen_file, run = tmp_path / "suite.toml", tmp_path / "run"
    chosen_file.write_text(chosen.to_toml())
    command = [sys.executable, "-m", "vaebench.bench.cli", "run", "--suite", str(chosen_file)]
    process = subprocess.Popen(
        [*command, "--out", str(run), "--history", "off"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        while process.poll() is None and not list((run / "parts").glob("*.json")):
            time.sleep(0.02)
        # As a terminal does: to all processes of the group.
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert f"Stopped; finished pictures are kept. Go on: vaebench run --resume {run}" in told
        assert "Traceback" not in told
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    finally:
        process.kill()
    done = finished_images(run)
    assert 0 < len(done) < 40
    assert not (run / ".lock").exists()
    assert not [path for path in run.rglob("*") if is_leftover(path)]
    reported: list[int] = []
    api.resume(run, lambda phase, count, _: reported.append(count) if phase == "scoring" else None)
    assert reported[0] == len(done)
    assert reported[-1] == 40
