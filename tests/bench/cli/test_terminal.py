"""Everything that a command prints goes through one printer, and nothing in it steers."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from vaebench.bench import api
from vaebench.bench.cli.app import main
from vaebench.bench.cli.options import answer
from vaebench.bench.cli.terminal import say, say_text, say_traceback

ROOT = Path(__file__).resolve().parents[3]
STEERING = "\x1b]0;owned\x07 \x9b31m \x85 \r \u202e \u2066 \u2028 \x7f"
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def vaebench(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["vaebench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_what_would_steer_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a\n{STEERING}")
    assert capsys.readouterr().out == (
        r"a\n\x1b]0;owned\x07 \x9b31m \x85 \r \u202e \u2066 \u2028 \x7f" + "\n"
    )
    say("é 猫 ×", to_stderr=True)
    assert capsys.readouterr().err == "é 猫 ×\n"
    say_text(f"a,{STEERING}\nb\n")
    assert capsys.readouterr().out.count("\n") == 2


def test_json_stays_json_of_the_same_values(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {STEERING: [STEERING, "\ud800 \n é", 1.5]}
    answer(fields, [], as_json=True)
    told = capsys.readouterr().out
    assert not RAW.search(told)
    assert json.loads(told) == fields


def test_an_unexpected_error_steers_nothing_either(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise KeyError(Path(STEERING))
    except KeyError as error:
        say_traceback(KeyError, error, error.__traceback__)
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert not RAW.search(told)


def test_a_warning_of_a_library_steers_nothing_either(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    vaebench("--version", monkeypatch=monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        main_hook = warnings.showwarning
        main_hook(UserWarning(STEERING), UserWarning, "file.py", 3)
    told = capsys.readouterr().err
    assert "UserWarning" in told
    assert not RAW.search(told)


def sealed_again(path: Path, change: Any) -> None:
    fields = json.loads(path.read_text())
    del fields["sha256"]
    change(fields)
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**fields, "sha256": digest}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose record, sealed again, holds what steers wherever it is words."""
    values = np.random.default_rng(3).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "x.png")
    folder = tmp_path / "run"
    api.run(
        images=[str(tmp_path / "x.png")],
        codecs=["a=jpeg:q=75", "b=jpeg:q=20"],
        metrics=["psnr"],
        out=folder,
        history="off",
    )

    def change(fields: dict[str, Any]) -> None:
        fields["name"] = fields["command"] = STEERING
        fields["notes"] = [STEERING]
        fields["skipped"] = [
            {"image_id": "y.png", "image_set": STEERING, "path": STEERING, "reason": STEERING}
        ]
        fields["unavailable"] = [
            {"metric": "mse", "variant": "mse/x", "reason": STEERING, "image_id": None}
        ]
        for codec in fields["codecs"]:
            codec["source"], codec["notes"], codec["revision"] = STEERING, [STEERING], STEERING
        for image in fields["images"]:
            image["notes"] = [STEERING]
        fields["environment"]["device"] = STEERING

    sealed_again(folder / "run.json", change)
    return folder


def test_no_command_prints_what_steers(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "gate.toml"
    gate.write_text(
        f'runs = ["{run}"]\nbaseline = "a"\nrules = ["psnr: not worse by more than 1 dB"]\n'
    )
    history = tmp_path / "history.sqlite"
    api.run(
        images=[str(tmp_path / "x.png")],
        codecs=["jpeg:q=75"],
        metrics=["psnr"],
        out=tmp_path / "other",
        history=str(history),
        command=STEERING,
    )
    for command in (
        ("report", run),
        ("score", run, "--metric", "mae"),
        ("compare", run, "--out", tmp_path / "compared"),
        ("explain", run, "--metric", "psnr", "--quoted", "30.2"),
        ("explain", run, "--metric", "psnr", "--quoted", "30.2", "--json"),
        ("gate", gate),
        ("gate", gate, "--json"),
        ("history", "--history", history),
        ("history", "--history", history, "--export", "csv"),
    ):
        vaebench(*command, monkeypatch=monkeypatch)
        out, err = capfd.readouterr()
        assert out, command
        assert not RAW.search(out + err), command


def test_there_is_no_other_printer() -> None:
    printing = re.compile(r"\bprint\(|\becho\(|\bsecho\(|std(out|err)\.(write|buffer)|Console\(")
    files = [
        path for room in ("bench", "metrics", "reports") for path in (ROOT / room).rglob("*.py")
    ]
    found = {
        path.relative_to(ROOT).as_posix() for path in files if printing.search(path.read_text())
    }
    # Bars on a terminal, and the training of the demonstration checkpoints, no part of the package.
    assert found <= {
        "bench/cli/terminal.py",
        "bench/cli/progress.py",
        "bench/codecs/demo/training/train.py",
    }
