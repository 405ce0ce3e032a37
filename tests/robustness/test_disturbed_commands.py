"""Comparisons, sweeps and gates whose disk is full, that are stopped, or begun twice."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vaebench.bench import api
from vaebench.bench.cli import listing
from vaebench.bench.cli.app import main
from vaebench.bench.compare.comparison import compare
from vaebench.bench.compare.gate import gate
from vaebench.bench.compare.store import load_comparison
from vaebench.bench.errors import RunFolderError
from vaebench.bench.rate.knobs import Asked
from vaebench.bench.rate.store import StoredRd, load_rd
from vaebench.bench.rate.sweep import rate_distortion
from vaebench.bench.store.lock import LOCK_NAME, writing_run
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import CodecSpec


def vaebench(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command as the entry point does and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["vaebench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that hold the time of their making."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".json"
    }


def full_from(moment: int, write: Callable[..., Any]) -> Callable[..., Any]:
    """Return a write that fails from its so-manieth call on, as on a full disk."""
    calls = itertools.count(1)

    def written(*arguments: Any) -> Any:
        if next(calls) >= moment:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments)

    return written


@pytest.fixture
def run(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredRun:
    """A run of two classical codecs with PSNR."""
    monkeypatch.setattr(api, "_write_report", lambda folder, progress: folder)
    codecs = ["good=jpeg:q=95", "bad=jpeg:q=10"]
    return api.run(images=[str(photos)], codecs=codecs, metrics=["psnr"], out=tmp_path / "run")


def sweep(photos: Path, folder: Path) -> StoredRd:
    asked = Asked.parse(["jpeg=10,50,90"])
    codecs = [CodecSpec.parse("jpeg")]
    settings = {"metrics": ["psnr"], "workers": 1, "asked": asked}
    return rate_distortion(codecs, [str(photos)], folder, **settings)


@pytest.mark.parametrize(
    ("write", "moment"), [("write_bytes", 1), ("write_bytes", 9), ("fsync", 1)]
)
def test_a_comparison_on_a_full_disk_is_one_sentence_and_can_be_made_again(
    run: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, moment: int
) -> None:
    whole = contents(compare([run], tmp_path / "whole" / "out").folder)
    folder = tmp_path / "out"
    owner: Any = Path if write == "write_bytes" else os
    with monkeypatch.context() as patched, pytest.raises(RunFolderError) as refused:
        patched.setattr(owner, write, full_from(moment, getattr(owner, write)))
        compare([run], folder)
    assert f"Cannot write the folder {folder}: No space left on device." in str(refused.value)
    assert "\n" not in str(refused.value)
    compare([run], folder)
    assert contents(folder) == whole


def test_a_comparison_that_was_stopped_is_made_again_and_one_with_a_page_is_left(
    run: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("vaebench.bench.compare.comparison.write_patches", stop)
        compare([run], folder)
    (part,) = list((folder / "pictures").iterdir())[:1]
    part.write_bytes(part.read_bytes()[:9])
    with pytest.raises(KeyboardInterrupt):
        compare([run], folder, report=stop)
    assert part.stat().st_size > 9 or not part.exists()
    found = compare([run], folder, report=lambda made: (made / "comparison.html").touch())
    whole = compare([run], tmp_path / "whole" / "out")
    assert contents(folder) == {**contents(whole.folder), "comparison.html": b""}
    assert found.table.equals(whole.table)
    with pytest.raises(RunFolderError, match="it holds one already"):
        compare([run], folder)


def test_a_folder_that_another_process_writes_is_refused(
    run: StoredRun, photos: Path, tmp_path: Path
) -> None:
    suite = {"images": [str(photos)], "codecs": ["jpeg"], "metrics": ["psnr"]}
    judged = tmp_path / "gate.toml"
    judged.write_text(
        'rules = ["psnr: at least 5 dB"]\n[suite]\n'
        + "\n".join(f"{name} = {value!r}" for name, value in suite.items())
    )
    folder = tmp_path / "out"
    writers: list[Callable[[], object]] = [
        lambda: compare([run], folder),
        lambda: sweep(photos, folder),
        lambda: gate.run_gate(judged, out=folder),
    ]
    with writing_run(folder, "run"):
        for write in writers:
            with pytest.raises(RunFolderError, match=rf"process {os.getpid()} on "):
                write()
        assert [path.name for path in folder.iterdir()] == [LOCK_NAME]


def test_the_report_is_made_while_the_folder_is_held(
    run: StoredRun, photos: Path, tmp_path: Path
) -> None:
    def report(folder: Path) -> None:
        with pytest.raises(RunFolderError, match="is writing in it"), writing_run(folder, "run"):
            pass
        told.append(folder)

    told: list[Path] = []
    compare([run], tmp_path / "comparison", report=report)
    rate_distortion(
        [CodecSpec.parse("jpeg:q=50")], [str(photos)], tmp_path / "rd", metrics=["psnr"],
        workers=1, report=report,
    )  # fmt: skip
    assert told == [tmp_path / "comparison", tmp_path / "rd"]


def test_a_sweep_on_a_full_disk_keeps_its_points_and_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(sweep(photos, tmp_path / "whole" / "out").folder)
    folder = tmp_path / "out"
    for moment in (9, 40):
        with monkeypatch.context() as patched, pytest.raises(RunFolderError) as refused:
            patched.setattr(os, "fsync", full_from(moment, os.fsync))
            sweep(photos, folder)
        assert "No space left on device." in str(refused.value)
        assert "give the same command again" in str(refused.value)
        assert list((folder / "points").rglob("*.json"))
    leftover = folder / "points" / ".17-1234.tmp"
    leftover.write_bytes(b"half")
    assert sweep(photos, folder).record["failures"] == []
    assert contents(folder) == whole


@pytest.mark.parametrize("name", ["comparison.parquet", "per_image.parquet", "rd.parquet"])
def test_a_flipped_bit_in_a_table_is_never_another_number(
    run: StoredRun, photos: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "out"
    load: Any = load_rd if name == "rd.parquet" else load_comparison
    (sweep(photos, folder) if name == "rd.parquet" else compare([run], folder))
    table = {"comparison.parquet": "table", "per_image.parquet": "per_image"}.get(name, "points")
    data, whole = (folder / name).read_bytes(), getattr(load(folder), table)
    refused = 0
    for place in range(4, len(data), len(data) // 80):
        damaged = bytearray(data)
        damaged[place] ^= 1
        (folder / name).write_bytes(damaged)
        try:
            assert getattr(load(folder), table).equals(whole)
        except RunFolderError as error:
            assert name in str(error)
            assert "\n" not in str(error)
            refused += 1
    assert refused > 20
    (folder / name).unlink()
    with pytest.raises(RunFolderError, match=rf"Cannot read .*{name}"):
        load(folder)


def test_a_gate_goes_on_with_its_run_that_was_stopped(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "gate.toml", tmp_path / "run"
    path.write_text(
        'rules = ["psnr: at least 5 dB"]\n[suite]\n'
        f'images = ["{photos}"]\ncodecs = ["jpeg:q=50"]\nmetrics = ["psnr"]\n'
    )

    def stop(phase: str, done: int, total: int) -> None:
        if phase == "scoring" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gate.run_gate(path, out=out, progress=stop)
    done: list[int] = []
    result = gate.run_gate(
        path, out=out, progress=lambda phase, n, _: done.append(n) if phase == "scoring" else None
    )
    assert result.verdict == "pass"
    assert done[0] > 0
    with pytest.raises(RunFolderError, match="not an empty folder"):
        gate.run_gate(path, out=out)


@pytest.mark.parametrize(
    ("number", "code", "line"), [(signal.SIGINT, 130, "Stopped.\n"), (signal.SIGTERM, 143, "")]
)
def test_a_command_that_is_stopped_ends_in_a_line_at_most(
    number: signal.Signals, code: int, line: str, photos: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def stop(*_: object) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    monkeypatch.setattr(listing, "list_images", stop)
    before = signal.getsignal(signal.SIGTERM)
    assert vaebench("images", photos, monkeypatch=monkeypatch) == code
    assert capsys.readouterr().err == line
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_sweep_that_is_stopped_says_how_to_go_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vaebench.bench.rate.sweep.rate_distortion", stop)
    words = ["--images", photos, "--codec", "jpeg", "--out", tmp_path / "out"]
    assert vaebench("rd", *words, monkeypatch=monkeypatch) == 130
    told = capsys.readouterr().err
    assert told == "Stopped; all points so far are kept. Give the same command again to go on.\n"


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (
            signal.SIGINT,
            130,
            "Stopped; all points so far are kept. Give the same command again to go on.\n",
        ),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_a_sweep_in_threads_ends_when_it_is_stopped_and_goes_on(
    number: signal.Signals, code: int, line: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    values = ",".join(map(str, range(1, 101)))
    words = ["--images", photos, "--codec", "jpeg", "--sweep", f"jpeg={values}", "--metric", "psnr"]
    command = [sys.executable, "-m", "vaebench.bench.cli", "rd", *words, "--workers", "3"]
    process = subprocess.Popen(
        [*command, "--out", out], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 120
    while len(list(out.glob("points/*/*.json"))) < 9 and time.monotonic() < end:
        time.sleep(0.01)
    # To all of its group, as from a terminal.
    os.killpg(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (code, line)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("points/*/*.json")}
    assert 9 <= len(kept) < 500
    asked = Asked.parse([f"jpeg={values}"])
    codecs = [CodecSpec.parse("jpeg")]
    found = rate_distortion(codecs, [str(photos)], out, metrics=["psnr"], asked=asked, workers=3)
    assert len(found.points) == 500
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_terminal_that_takes_nothing_more_is_one_sentence(photos: Path) -> None:
    command = [sys.executable, "-m", "vaebench.bench.cli", "images", str(photos)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: Cannot write: No space left on device.\n"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""
