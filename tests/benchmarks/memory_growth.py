"""Does memory grow with the number of pictures? Peak memory of whole runs of few and of many.

    python -m tests.benchmarks.memory_growth            (or: python tests/benchmarks/...)
    python tests/benchmarks/memory_growth.py --counts 200 2000 --side 64 --codec jpeg:q=75

Each run is a `vaebench run` of its own, from finding the pictures to the report. Its peak is what
Linux tells of a process that has ended, and the ratio is of the last count's to the first's.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ALLOWED_RATIO = 1.10
COMMAND = "from vaebench.bench.cli.app import main; main()"


@dataclass(frozen=True)
class Peak:
    """Peak resident memory of a run of `count` pictures, and how long it took."""

    count: int
    peak_mib: float
    cpu_s: float


def make_pictures(folder: Path, count: int, side_px: int) -> None:
    """Write smooth random pictures, each its own."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:05d}.png", compress_level=1)


def run(images: Path, out: Path, count: int, codecs: list[str], keep: str) -> Peak:
    """Run vaebench in a process of its own.

    Raises: SystemExit where it fails.
    """
    words = ["run", "--images", str(images), "--out", str(out), "--keep", keep]
    words += ["--metric", "psnr", "--metric", "ssim"]
    for codec in codecs:
        words += ["--codec", codec]
    environment = {**os.environ, "VAEBENCH_HISTORY": "off"}
    with Path(os.devnull).open("w") as nowhere:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", COMMAND, *words],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)],
        )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"vaebench run failed on {count} pictures: status {status}.")
    return Peak(count, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def main() -> None:
    """Print the peak of every count, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--side", type=int, default=64, help="of the pictures, in px")
    parser.add_argument("--codec", action="append", help="default: jpeg:q=75 and demo-f8c4")
    parser.add_argument("--keep", default="all", choices=["all", "worst", "none"])
    given = parser.parse_args()
    codecs = given.codec or ["jpeg:q=75", "demo-f8c4"]
    peaks: list[Peak] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in given.counts:
            images = Path(folder) / f"{count}"
            make_pictures(images, count, given.side)
            peak = run(images, Path(folder) / f"run-{count}", count, codecs, given.keep)
            print(f"{count:>6} pictures: {peak.peak_mib:7.0f} MiB peak, {peak.cpu_s:.0f} s of CPU")
            peaks.append(peak)
    ratio = peaks[-1].peak_mib / peaks[0].peak_mib
    verdict = "within" if ratio <= ALLOWED_RATIO else "above"
    print(f"ratio {ratio:.3f}, {verdict} {ALLOWED_RATIO:.2f}")


if __name__ == "__main__":
    main()
