"""A few hundred mutated pictures; the run of tens of thousands is told in docs/robustness.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from vaebench.bench.images.files.marks import opens_heif

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "fuzz_images.py"


def fuzz(state: Path, count: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--seed", "7", "--state", str(state)]
    return subprocess.run(
        [*command, "--count", str(count)], capture_output=True, text=True, timeout=300
    )


def test_mutated_pictures_are_read_or_refused(tmp_path: Path) -> None:
    done = fuzz(tmp_path, 600)
    assert done.returncode == 0, done.stdout + done.stderr
    entries = [json.loads(line) for line in (tmp_path / "seed-7.jsonl").read_text().splitlines()]
    assert sorted(entry["number"] for entry in entries) == list(range(600))
    outcomes = {entry["outcome"] for entry in entries}
    # Of no use were they all of one kind.
    assert outcomes == {"read", "refused"}
    formats = {"avif", "bmp", "gif", "jpeg", "jpeg2000", "png", "ppm", "tiff", "webp"}
    assert {entry["picture"].partition("-")[0] for entry in entries} == (
        formats | ({"heif"} if opens_heif() else set())
    )


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    fuzz(tmp_path, 40)
    before = (tmp_path / "seed-7.jsonl").read_text()
    done = fuzz(tmp_path, 80)
    after = (tmp_path / "seed-7.jsonl").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 80
    assert "| all | 80 |" in done.stdout
