"""The commands about differences, as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from vaebench.bench import api
from vaebench.bench.cli.app import main
from vaebench.bench.cli.compare import read_margins
from vaebench.bench.compare.store import load_comparison
from vaebench.bench.errors import SuiteError


def vaebench(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command as the entry point does and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["vaebench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Path:
    """A run of two classical codecs with PSNR."""
    codecs = ["good=jpeg:q=95", "bad=jpeg:q=10"]
    api.run(images=[str(photos)], codecs=codecs, metrics=["psnr"], out=tmp_path / "run")
    return tmp_path / "run"


def test_compare_and_explain(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "comparison"
    arguments = ["compare", str(run), "--baseline", "bad", "--margin", "psnr=0.2"]
    assert vaebench(*arguments, "--out", str(out), monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert "good against bad:" in told
    assert "psnr/rgb8" in told
    assert "nan" not in told
    assert f"Report: {out / 'comparison.html'}" in told
    found = load_comparison(out)
    assert found.record["margins"] == {"psnr/rgb8": 0.2}
    assert (found.table["mean_diff"] > 3).all()
    assert (out / "comparison.html").stat().st_size > 0

    scores = api.load_run(run).scores
    bad = scores[(scores["codec"] == "bad") & (scores["region"] == "whole")]
    mean = bad[bad["metric"] == "psnr"]["value"].mean()
    quoted = ["--metric", "psnr", "--quoted", f"{mean:.4f}", "--codec", "bad"]
    page = tmp_path / "explain.html"
    asked = ["explain", str(run), *quoted, "--html", str(page)]
    assert vaebench(*asked, monkeypatch=monkeypatch) == 0
    assert "psnr/rgb8" in page.read_text(encoding="utf-8")
    assert "psnr/rgb8" in capsys.readouterr().out
    assert vaebench("explain", str(run), *quoted, "--json", monkeypatch=monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "explained"


@pytest.mark.parametrize(
    ("least", "verdict", "code"), [("5", "pass", 0), ("90", "fail", 1), ("mean", "inconclusive", 3)]
)
def test_the_gates_verdict_is_the_exit_code(
    run: Path,
    tmp_path: Path,
    least: str,
    verdict: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scores = api.load_run(run).scores
    good = scores[(scores["codec"] == "good") & (scores["metric"] == "psnr")]
    least = f"{good['value'].mean():.6f}" if least == "mean" else least
    names = ("gate.toml", "gate.xml", "summary.md", "gate.html")
    gate, junit, page, html = (tmp_path / name for name in names)
    page.write_text("# What other steps wrote\n")
    gate.write_text(
        f'runs = [{json.dumps(str(run))}]\ncodec = "good"\nrules = ["psnr: at least {least} dB"]\n'
    )
    arguments = ["gate", str(gate), "--junit", str(junit), "--markdown", str(page)]
    arguments += ["--html", str(html)]
    assert vaebench(*arguments, monkeypatch=monkeypatch) == code
    assert f'<div class="figure">{verdict}</div>' in html.read_text()
    assert f"Gate gate.toml: {verdict}" in capsys.readouterr().out
    assert junit.read_text().startswith("<?xml")
    assert page.read_text().startswith("# What other steps wrote\n")
    assert verdict in page.read_text()
    assert vaebench("gate", str(gate), "--json", monkeypatch=monkeypatch) == code
    assert json.loads(capsys.readouterr().out)["verdict"] == verdict


def test_a_ladder_is_shown_and_written(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "ladder"
    arguments = ["ladder", "--codec", "jpeg:q=30", "--images", str(photos / "a.png")]
    arguments += ["--generations", "2", "--out", str(out)]
    assert vaebench(*arguments, monkeypatch=monkeypatch) == 0
    assert "rounding" in capsys.readouterr().out
    endings = ("csv", "html", "md", "png", "svg")
    assert sorted(path.name for path in out.iterdir()) == [f"ladder.{end}" for end in endings]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["compare", "nowhere"], "nowhere is no run folder"),
        (["compare", "nowhere", "--margin", "psnr"], "Write METRIC=VALUE"),
        (["gate", "nowhere.toml"], "nowhere.toml"),
        (["explain", "nowhere", "--metric", "psnr", "--quoted", "24.5"], "no run folder"),
        (["gate", "nowhere.toml", "--html", "gate.html"], "nowhere.toml"),
        (["ladder", "--codec", "jpg"], "Did you mean jpeg"),
        (["ladder", "--codec", "jpeg", "--size", "64"], "fit"),
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
    assert list(tmp_path.iterdir()) == []


def test_margins() -> None:
    assert read_margins(["psnr=0.2", "lpips/alex-0.1=0.001"]) == {
        "psnr": 0.2,
        "lpips/alex-0.1": 0.001,
    }
    for wrong in ("psnr", "psnr=x", "=1", "psnr=-1", "psnr=nan"):
        with pytest.raises(SuiteError, match="METRIC=VALUE"):
            read_margins([wrong])
