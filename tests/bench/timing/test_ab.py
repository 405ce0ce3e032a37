"""A/B with real worker processes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from vaebench.bench.errors import VaebenchError
from vaebench.bench.suite import CodecSpec
from vaebench.bench.timing.ab import EXIT_CODES, AbResult, ab
from vaebench.bench.timing.processes import ProcessSource, Request, staged_harness
from vaebench.bench.timing.regression import Rule

DEMO = CodecSpec.parse("demo-f8c4")
QUICK = Rule(looks=(2,), low_levels=(0.01,), high_levels=(0.02,), block=2)


@pytest.fixture(scope="module")
def result() -> AbResult:
    """A tiny codec against one that shrinks more; two pairs of processes."""
    return ab(CodecSpec.parse("resize:2"), CodecSpec.parse("resize:4"), size=64, rule=QUICK)


def test_the_result_says_what_was_compared_and_where(result: AbResult) -> None:
    told = result.to_dict()
    json.dumps(told)
    assert told["verdict"] in EXIT_CODES
    assert told["pairs"] == 2
    assert told["samples_per_side"] == 4
    assert told["base"]["codec"]["source"] == "resize"
    assert told["base"]["environment"]["torch"] == torch.__version__
    assert "MALLOC_TRIM_THRESHOLD_" in told["head"]["environment"]["allocator"]
    verdict, medians, base, head = result.sentences()
    assert verdict.startswith(f"{told['verdict']}: ")
    assert "decode 64x64, batch 1" in medians
    assert "2 pairs of fresh processes, 4 samples a side" in medians
    assert base.startswith("BASE: resize-2, eager, torch")
    assert "CPU (" in head
    assert "threads)" in head


def test_what_a_killed_comparison_left_is_removed_by_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, age_s in (("vaebench-ab-old", 2 * 86400), ("vaebench-ab-new", 60), ("mine", 10**6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vaebench").symlink_to(Path(__file__).parent)
        then = time.time() - age_s
        os.utime(tmp_path / name, (then, then))
    monkeypatch.setattr("vaebench.bench.timing.ab.judge", lambda *_: None)
    ab(DEMO, DEMO, size=64, rule=QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "vaebench-ab-new"]
    assert Path(__file__).is_file()


def test_exit_codes() -> None:
    assert EXIT_CODES == {"clean": 0, "faster": 0, "regressed": 1, "inconclusive": 3}


def test_a_side_that_cannot_be_timed_is_one_sentence() -> None:
    with pytest.raises(VaebenchError, match="Did you mean demo-f8c4") as raised:
        ab(CodecSpec.parse("demo-f8c5"), DEMO, size=64, rule=QUICK)
    assert str(raised.value).startswith("Cannot time BASE: ")


def interpreter(folder: Path, script: str) -> Path:
    """A stand-in for another interpreter: a script that is called as one."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1", "Install it for"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_worker_that_dies_leaves_its_last_words(
    tmp_path: Path, script: str, sentence: str
) -> None:
    with pytest.raises(VaebenchError, match=sentence):
        ab(DEMO, DEMO, size=64, base_python=interpreter(tmp_path, script), rule=QUICK)


def test_an_interpreter_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(VaebenchError, match=r"does not run \(No such file.*Name a Python"):
        ab(DEMO, DEMO, size=64, base_python=tmp_path / "python", rule=QUICK)


def test_the_other_interpreter_runs_this_harness_without_vaebench(tmp_path: Path) -> None:
    """With the libraries but not this package; and with libraries that print when imported."""
    (tmp_path / "start.py").write_text(
        "import builtins, runpy, sys\n"
        "sys.path.extend(sys.argv[1].split(':'))\n"
        "real = builtins.__import__\n"
        "def chatty(name, *rest, **more):\n"
        "    if name == 'torch': print('importing torch')\n"
        "    return real(name, *rest, **more)\n"
        "builtins.__import__ = chatty\n"
        "runpy.run_module('vaebench.bench.timing.worker', run_name='__main__')\n"
    )
    packages = ":".join(path for path in sys.path if path.endswith("-packages"))
    start = f'exec "{sys.executable}" -S "{tmp_path / "start.py"}" "{packages}"'
    with staged_harness(64, 1) as harness:
        request = Request(DEMO, "roundtrip", None, 0.05)
        source = ProcessSource("BASE", request, interpreter(tmp_path, start), harness)
        source.start()
        process = source._process
        try:
            source.warm_up()
            drawn = [*source.draw(3), *source.draw(2)]
        finally:
            source.stop()
    assert len(drawn) == 5
    assert min(drawn) > 0
    assert source.environment is not None
    assert source.environment["dtype"] == ("float16" if torch.cuda.is_available() else "float32")
    # The worker ended by itself when its stdin did, as it does when its parent dies.
    assert process is not None
    assert process.returncode == 0
    assert not harness.import_folder.exists()
