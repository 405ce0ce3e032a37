"""A disk that is full when the report is made: what is complete is said, the table printed."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench import api
from vaebench.bench.cli.app import main
from vaebench.bench.errors import ReportError
from vaebench.bench.store.atomic import is_leftover
from vaebench.reports import write as reports
from vaebench.reports import write_comparison_report, write_report


def vaebench(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["vaebench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_run_whose_report_finds_no_room_prints_its_table(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "a {run}"
    asked = ("run", "--images", photos, "--codec", "jpeg:q=75", "--metric", "psnr", "--out", folder)
    with monkeypatch.context() as patch:
        patch.setattr(reports, "write_atomic", full)
        assert vaebench(*asked, "--history", "off", monkeypatch=patch) == 2
    out, err = capsys.readouterr()
    assert err == (
        f"Error: Cannot write the report into {folder}: No space left on device. The scores are "
        f"complete: make room, then vaebench report '{folder}'\n"
    )
    # The mean of five pictures, as the table has it, and no path to a page that is not there.
    mean = (
        api.load_run(folder).scores.query("metric == 'psnr' and region == 'whole'")["value"].mean()
    )
    assert f"{mean:.2f}" in out
    assert "jpeg-q75" in out
    assert "report.html" not in out
    assert not [path for path in folder.rglob("*") if is_leftover(path)]
    assert vaebench("report", folder, monkeypatch=monkeypatch) == 0
    assert (folder / "report.html").is_file()


def test_more_metrics_are_printed_too(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = api.run(
        images=[str(photos)], codecs=["jpeg:q=75"], metrics=["psnr"], out=tmp_path / "run"
    )
    with monkeypatch.context() as patch:
        patch.setattr(reports, "write_atomic", full)
        assert vaebench("score", run.folder, "--metric", "mae", monkeypatch=patch) == 2
    out, err = capsys.readouterr()
    assert "The scores are complete: make room, then vaebench report" in err
    assert "mae/rgb8" in out


def test_a_comparison_and_a_folder_without_rights_say_what_is_complete(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codecs = ["a=jpeg:q=95", "b=jpeg:q=10"]
    run = api.run(images=[str(photos)], codecs=codecs, metrics=["psnr"], out=tmp_path / "run")
    found = api.compare([run.folder], tmp_path / "compared")
    monkeypatch.setattr(reports, "write_atomic", full)
    with pytest.raises(ReportError, match="comparison is complete: make room, and give the same"):
        write_comparison_report(found.folder)

    def forbidden(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(reports, "write_atomic", forbidden)
    with pytest.raises(ReportError, match="make the folder writable, or copy it, then vaebench"):
        write_report(run.folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_terminal_leaves_a_whole_run(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "run"
    asked = ("run", "--images", photos, "--codec", "jpeg:q=75", "--metric", "psnr", "--out", folder)
    with Path("/dev/full").open("w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert vaebench(*asked, monkeypatch=patch) == 2
        # What could not be written is written once more when the file is closed.
        patch.setattr(terminal, "flush", lambda: None, raising=False)
        os.dup2(os.open(os.devnull, os.O_WRONLY), terminal.fileno())
    assert capsys.readouterr().err == (
        f"Error: Cannot print the summary: No space left on device. The run folder {folder} is "
        "complete.\n"
    )
    assert (folder / "report.html").is_file()
