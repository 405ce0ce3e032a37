"""The commands about time, as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench import api
from vaebench.bench.cli.app import main
from vaebench.bench.cli.speed import read_share
from vaebench.bench.errors import VaebenchError
from vaebench.bench.store.run import load_run
from vaebench.bench.timing import ab as ab_module


def vaebench(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command as the entry point does and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["vaebench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_speed_is_measured_reported_and_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history, out = tmp_path / "history.sqlite", tmp_path / "run"
    arguments = ["--codec", "jpeg:q=75", "--codec", "resize:2", "--size", "32", "--size", "64"]
    arguments += ["--batch", "2", "--stage", "decode", "--history", str(history)]
    assert vaebench("speed", *arguments, "--out", str(out), monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "on CPU" in printed.out
    assert "| jpeg-q75 | decode | 32×32 | 2 |" in printed.out
    assert f"Report: {out / 'report.html'}" in printed.out
    run = load_run(out)
    assert run.timings["codec"].tolist() == ["jpeg-q75", "jpeg-q75", "resize-2", "resize-2"]
    assert len(run.trend) == 4

    assert vaebench("history", "--history", str(history), monkeypatch=monkeypatch) == 0
    listed = capsys.readouterr().out
    assert "jpeg-q75 · decode · 64×64 · batch 2 · eager · CPU · p50_ms: " in listed
    saved, plot = tmp_path / "saved.json", tmp_path / "trend.svg"
    where = ["history", "--history", str(history)]
    export = ["--export", "pytest-benchmark", "--out", str(saved)]
    assert vaebench(*where, *export, monkeypatch=monkeypatch) == 0
    assert len(json.loads(saved.read_text())["benchmarks"]) == 4
    drawn = [*where, "--codec", "jpeg-q75", "--plot", str(plot)]
    assert vaebench(*drawn, monkeypatch=monkeypatch) == 2
    assert "measured twice" in capsys.readouterr().err
    again = ["speed", *arguments, "--out", str(tmp_path / "again")]
    assert vaebench(*again, monkeypatch=monkeypatch) == 0
    plot.symlink_to(tmp_path / "behind.svg")
    assert vaebench(*drawn, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "behind.svg").read_text().startswith("<?xml")


def test_a_run_with_speed_scores_and_times(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    arguments = ["--images", str(photos), "--codec", "jpeg:q=75", "--metric", "psnr", "--speed"]
    arguments += ["--size", "64", "--fit", "crop", "--out", str(out)]
    assert vaebench("run", *arguments, monkeypatch=monkeypatch) == 0
    run = load_run(out)
    assert set(run.timings["stage"]) == {"encode", "decode", "roundtrip"}
    assert set(run.timings["height_px"]) == {64}
    assert len(run.scores)
    assert "| jpeg-q75 | roundtrip | 64×64 | 1 |" in capsys.readouterr().out
    assert list((out / "plots").glob("quality_latency*.svg"))


def test_a_run_whose_timing_was_stopped_is_timed_when_it_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaebench.bench.timing import run as timing_run

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    fields = {"images": [str(photos)], "codecs": ["jpeg"], "metrics": ["psnr"]}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(timing_run, "time_codecs", stop)
        api.run(out=tmp_path / "run", speed={"sizes": [32], "samples": 10}, **fields)
    scores = load_run(tmp_path / "run").scores
    run = api.resume(tmp_path / "run")
    assert len(run.timings) == 3
    assert run.scores.equals(scores)


def test_a_history_that_cannot_be_written_is_a_warning_and_the_run_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "notes.sqlite"
    history.write_text("no database " * 100)
    arguments = ["--codec", "png", "--size", "32", "--stage", "encode", "--history", str(history)]
    code = vaebench("speed", *arguments, "--out", str(tmp_path / "run"), monkeypatch=monkeypatch)
    assert code == 0
    told = capsys.readouterr()
    assert "Warning: The history was not updated: " in told.err
    assert "report.html" in told.out


class Sleeper:
    """A worker that takes as long as its codec's name says, without a process."""

    def __init__(self, name: str, request: Any, python: Any, harness: Any) -> None:
        self.request = request
        self.python = str(python or "python")
        self.environment = {
            **dict.fromkeys(("driver", "cuda", "diffusers", "python"), "1"),
            **{"torch": "2.6", "cpu": "a CPU", "threads": 2, "device": "CPU", "mode": "eager"},
            **{"dtype": "float32", "settled": True},
        }

    def start(self) -> None: ...
    def warm_up(self) -> None: ...
    def stop(self) -> None: ...
    def draw(self, count: int) -> list[float]:
        return [float(self.request.codec.name.removeprefix("ms"))] * count


@pytest.mark.parametrize(
    ("head", "verdict", "code"),
    [("ms100", "clean", 0), ("ms110", "regressed", 1), ("ms90", "faster", 0)],
)
def test_the_verdict_is_the_exit_code(
    head: str,
    verdict: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ab_module, "ProcessSource", Sleeper)
    arguments = ["ms100=png", f"{head}=png", "--size", "32", "--threshold", "3%"]
    assert vaebench("ab", *arguments, monkeypatch=monkeypatch) == code
    printed = capsys.readouterr().out
    assert printed.startswith(f"{verdict}: HEAD is ")
    assert "CPU (a CPU, 2 threads)" in printed
    assert vaebench("ab", *arguments, "--json", monkeypatch=monkeypatch) == code
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == verdict
    assert told["threshold"] == 0.03


def test_what_cannot_be_told_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fickle(Sleeper):
        starts = 0

        def start(self) -> None:
            Fickle.starts += 1
            self.time_ms = float(100 + 37 * (Fickle.starts * 7 % 11))

        def draw(self, count: int) -> list[float]:
            return [self.time_ms] * count

    monkeypatch.setattr(ab_module, "ProcessSource", Fickle)
    assert vaebench("ab", "png", "png", "--size", "32", monkeypatch=monkeypatch) == 3
    assert capsys.readouterr().out.startswith("inconclusive: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["speed", "--codec", "jpg"], "Did you mean jpeg"),
        (["speed", "--dtype", "fp16"], "float16"),
        (["speed", "--stage", "decoding"], "decode"),
        (["speed", "--setting", "fast"], "channels_last"),
        (["speed", "--size", "4"], "speed.sizes"),
        (["ab", "png", "png", "--threshold", "three"], "Write, say, 3%"),
        (["ab", "png", "png", "--stage", "decoding"], "decode"),
        (["ab", "png", "png", "--base-python", "nowhere/python", "--size", "32"], "does not run"),
        (["history", "--history", "off"], "The history is off"),
        (["history", "--history", "mysql://u:secret@h/d"], "mysql"),
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
    told = " ".join(capsys.readouterr().err.split())
    assert sentence in told
    assert "Traceback" not in told
    assert "secret" not in told
    assert list(tmp_path.iterdir()) == []


def test_shares() -> None:
    assert read_share("3%") == read_share("0.03") == 0.03
    for wrong in ("0", "100%", "-1%", "nan", "%"):
        with pytest.raises(VaebenchError, match="3%"):
            read_share(wrong)
