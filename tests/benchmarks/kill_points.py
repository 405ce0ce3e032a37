"""Kill a run at many random moments and resume it: is all as if nobody had disturbed it?

    python tests/benchmarks/kill_points.py --points 50

The moments are spread over the whole duration of the command, from the interpreter's start to the
report's last file: each is drawn at random from a stretch of its own. A third of the resumed runs
are killed once more. After each point every table, picture and latent must have the bytes of an
undisturbed run, nothing that was finished may have been written again, no file may be left over,
and the history must hold each measurement once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VAEBENCH = [sys.executable, "-m", "vaebench.bench.cli"]
ASKED = shlex.split("--codec pca:c=4,f=8 --codec jpeg:q=75 --metric psnr --metric ssim")
PICTURES, SIDE_PX = 60, 256
"""So many that scoring takes about as long as the interpreter's start and the report."""

TIMES = {"run_id", "created", "sha256"}
"""What of run.json is not the same in two runs of one suite."""

REPEATED = ("scores.parquet", "latents.parquet", "tables", "reconstructions", "maps", "latents")
"""What must have the same bytes; trend.parquet, plots and page tell when and in which run."""


class PointError(Exception):
    """A resumed run is not what an undisturbed one is."""


def make_pictures(folder: Path) -> None:
    """Make pictures of waves and noise, each of its own."""
    folder.mkdir()
    noise = np.random.default_rng(1)
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    for index in range(PICTURES):
        waves = [np.sin(x / (9 + index) + channel) * np.cos(y / 17) for channel in range(3)]
        pixels = 128 + 90 * np.stack(waves, -1) + noise.normal(0, 8, (SIDE_PX, SIDE_PX, 3))
        levels = np.clip(pixels, 0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{index:03}.png")


def start(folder: Path, history: Path, resumed: bool) -> subprocess.Popen[str]:
    """Start the command in a process group of its own."""
    new = [*ASKED, "--images", str(folder.parent / "pictures"), "--out", str(folder)]
    asked = ["--resume", str(folder)] if resumed else new
    command = [*VAEBENCH, "run", *asked, "--history", str(history)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def kill_after(seconds: float, process: subprocess.Popen[str]) -> bool:
    """Kill a process after some time; return whether it was still there."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode:
        raise PointError(f"the command ended with {process.returncode} by itself")
    return False


def state_of(folder: Path) -> tuple[str, set[str]]:
    """Return how far a killed run came, and the pictures that are finished."""
    if not (folder / "run.json").is_file():
        return ("while pictures are read" if folder.is_dir() else "at the start"), set()
    record = json.loads((folder / "run.json").read_text())
    names = {image["image_id"] for image in record["images"]}
    if record["finished"]:
        if (folder / "report.html").is_file():
            return "after the report", names
        has_trend = (folder / "trend.parquet").is_file()
        return ("in the report" if has_trend else "tables written, not the history"), names
    parts = sorted((folder / "parts").glob("*.json"))
    finished = {json.loads(path.read_text())["image_id"] for path in parts}
    return ("after the last picture" if finished == names else "between pictures"), finished


def stamps(folder: Path, image_ids: set[str]) -> dict[Path, tuple[int, int]]:
    """Return which file each picture of a codec is, and when it was written."""
    found = {}
    for path in (folder / "reconstructions").rglob("*.png"):
        if path.name.removesuffix(".png") in image_ids:
            status = path.stat()
            found[path] = (status.st_ino, status.st_mtime_ns)
    return found


def check_same(folder: Path, undisturbed: Path) -> None:
    """Raise PointError where a file is missing, left over, or has other bytes."""
    files, expected = (
        {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
        for run in (folder, undisturbed)
    )
    if files != expected:
        raise PointError(f"other files: {sorted(map(str, files ^ expected))[:5]}")
    for path in sorted(expected):
        repeated = path.parts[0] in REPEATED
        if repeated and (folder / path).read_bytes() != (undisturbed / path).read_bytes():
            raise PointError(f"{path} has other bytes")
    mine, theirs = (known(run / "run.json") for run in (folder, undisturbed))
    if mine != theirs:
        raise PointError("run.json differs")


def known(path: Path) -> dict[str, Any]:
    """Return run.json without what tells of the moment."""
    return {key: value for key, value in json.loads(path.read_text()).items() if key not in TIMES}


def told_once(history: Path) -> int:
    """Return how many measurements the newest run has in the history.

    Raises: PointError where the history is damaged, or holds one twice.
    """
    with closing(sqlite3.connect(history)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        newest = "(SELECT run_id FROM measurements ORDER BY id DESC LIMIT 1)"
        query = f"FROM measurements WHERE run_id = {newest}"
        (rows,) = connection.execute(f"SELECT count(*) {query}").fetchone()
        (cells,) = connection.execute(
            f"SELECT count(*) FROM (SELECT DISTINCT cell, measure {query})"
        ).fetchone()
    if verdict != "ok" or rows != cells:
        raise PointError(f"the history: {verdict}, {rows} rows of {cells} measurements")
    return rows


def one_point(
    at_s: float, again_s: float | None, folder: Path, history: Path, undisturbed: Path
) -> tuple[str, bool] | None:
    """Kill a run, resume it (and kill that), and check it; None where it had ended before."""
    if not kill_after(at_s, start(folder, history, resumed=False)):
        return None
    state, finished = state_of(folder)
    written = stamps(folder, finished)
    resumable = (folder / "run.json").is_file()
    again = False
    if again_s is not None:
        again = kill_after(again_s, start(folder, history, resumable))
        resumable = (folder / "run.json").is_file()
    last = start(folder, history, resumable)
    _, told = last.communicate()
    if last.returncode or "Traceback" in told:
        raise PointError(f"resuming ended with {last.returncode}: {told.strip()[-300:]}")
    if any(written[path] != stamp for path, stamp in stamps(folder, finished).items()):
        raise PointError("a finished picture was written again")
    check_same(folder, undisturbed)
    return state, again


def main() -> None:
    """Try the points and print a table of what they hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=9)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    work = Path(tempfile.mkdtemp(prefix="kill-points-"))
    folder, undisturbed, history = work / "run", work / "undisturbed", work / "history.sqlite"
    make_pictures(work / "pictures")
    # The second run is timed: by then the interpreter has its byte code.
    for _ in range(2):
        shutil.rmtree(undisturbed, ignore_errors=True)
        began = time.monotonic()
        if start(folder, history, resumed=False).wait():
            raise SystemExit("The undisturbed run failed.")
        whole_s = time.monotonic() - began
        folder.rename(undisturbed)
    measurements = told_once(history)
    print(f"an undisturbed run: {whole_s:.1f} s, {measurements} measurements", flush=True)
    states: Counter[str] = Counter()
    failures = again_count = 0
    for point in range(chosen.points):
        low, high = point / chosen.points, (point + 1) / chosen.points
        outcome = None
        while outcome is None:
            shutil.rmtree(folder, ignore_errors=True)
            began = time.monotonic()
            at_s = whole_s * draw.uniform(low, high)
            again_s = whole_s * draw.random() if draw.random() < 1 / 3 else None
            try:
                outcome = one_point(at_s, again_s, folder, history, undisturbed)
                if outcome is not None and told_once(history) != measurements:
                    raise PointError("the history lacks measurements")
            except PointError as error:
                failures += 1
                outcome = (f"FAILED: {error}", False)
            if outcome is None:
                # It ended before its moment came: the machine is faster than when it was timed.
                whole_s = time.monotonic() - began
        states[outcome[0]] += 1
        again_count += outcome[1]
        print(f"{point + 1:3} {at_s:6.2f} s  {outcome[0]}", flush=True)
    print("\n| the kill hit | points |\n|---|---|")
    for state, count in states.most_common():
        print(f"| {state} | {count} |")
    print(f"\n{chosen.points} points, {again_count} of them killed twice, {failures} failures")
    with suppress(OSError):
        shutil.rmtree(work)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
