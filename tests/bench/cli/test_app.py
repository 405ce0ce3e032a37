"""The command as a user types it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner
from vaebench.bench.cli.app import app, main
from vaebench.bench.store.run import load_run
from vaebench.bench.suite import Suite


def vaebench(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command as the entry point does and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["vaebench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_help_and_version_load_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; sys.argv = ['vaebench', '--help']\n"
        "from vaebench.bench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'numpy', 'matplotlib', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.output.strip() == f"vaebench {version('vaebench')}"


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "report",
        "score",
        "images",
        "speed",
        "ab",
        "history",
        "compare",
        "gate",
        "explain",
        "ladder",
        "rd",
        "encode",
        "decode",
        "doctor",
    ],
)
def test_every_command_shows_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"vaebench {command} " in shown.output.split("xample")[1]


def test_a_run_from_the_command_line(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, saved = tmp_path / "run", tmp_path / "suite.toml"
    arguments = ["--images", str(photos), "--regions", str(photos / "regions.json")]
    arguments += ["--codec", "jpeg:q=40", "--codec", "small=resize:4", "--metric", "psnr"]
    code = vaebench(
        "run", *arguments, "--save-suite", str(saved), "--out", str(out), monkeypatch=monkeypatch
    )
    assert code == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"Report: {out / 'report.html'}" in printed.out
    assert "skipped broken.png" in printed.out
    for name in ("run.json", "scores.parquet", "report.html", "tables/summary.csv"):
        assert (out / name).stat().st_size > 0
    assert Suite.load(saved) == load_run(out).record.suite
    assert vaebench("score", str(out), "--metric", "mae", monkeypatch=monkeypatch) == 0
    assert "mae" in set(pd.read_parquet(out / "scores.parquet").metric)
    (out / "report.html").unlink()
    assert vaebench("report", str(out), monkeypatch=monkeypatch) == 0
    beside = (out / "report.html").read_text(encoding="utf-8")
    assert vaebench("report", str(out), "--single-file", monkeypatch=monkeypatch) == 0
    whole = (out / "report.html").read_text(encoding="utf-8")
    assert 'src="thumbnails/' in beside and 'src="thumbnails/' not in whole
    assert "data:image/" in whole


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--images", "nowhere"], "nowhere"),
        (["run", "--codec", "jpg:q=75"], "jpeg"),
        (["run", "--codec", "jpeg:quality=75"], "q"),
        (["run", "--codec", "jpeg", "--codec", "jpeg"], "two codecs are called 'jpeg'"),
        (["run", "--codec", "jpeg", "--size", "512"], "size and fit go together"),
        (["run", "--codec", "jpeg", "--metric", "pnsr"], "psnr"),
        (["report", "nowhere"], "nowhere is no run folder"),
        (["score", "nowhere", "--metric", "psnr"], "nowhere is no run folder"),
        (["run", "--resume", "nowhere"], "nowhere is no run folder"),
        (["run", "--suite", "nowhere.toml"], "Cannot read the suite nowhere.toml"),
        (["run", "--resume", "nowhere", "--codec", "jpeg"], "--resume goes on with a run"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert vaebench(*arguments, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert sentence in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert list(tmp_path.iterdir()) == []


def test_images_lists_what_is_there_and_what_is_wrong(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = str(photos / "regions.json")
    assert vaebench("images", str(photos), "--regions", regions, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "wide.png" in printed
    assert "80x48  sign (text)" in printed
    assert "5 pictures, 2 regions, 1 unusable" in printed
    assert "unusable: broken.png: " in printed
    assert "gone.png/eye" in printed
