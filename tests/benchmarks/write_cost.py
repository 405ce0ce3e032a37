"""What it costs that every file of a run is on the disk before its name is.

    python tests/benchmarks/write_cost.py FOLDER

Writes the files of 30 pictures below FOLDER, ten of 500 kB to each, without and with fsync of file
and folder, from one thread and from four, as scoring does. FOLDER should be on the disk that runs
are kept on. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from vaebench.bench.store.atomic import write_atomic

PICTURES, FILES, SIZE_BYTES, REPEATS = 30, 10, 500_000, 5
DATA = os.urandom(SIZE_BYTES)


def rename_alone(path: Path, data: bytes) -> None:
    """Write a file that is whole or not there after a kill, but not after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def ms_a_picture(write: Callable[[Path, bytes], None], threads: int, below: Path) -> float:
    """Return how long the files of one picture take; a picture ends before the next begins."""
    folder = Path(tempfile.mkdtemp(dir=below))
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for picture in range(PICTURES):
            paths = [folder / f"codec{place}" / f"{picture}.png" for place in range(FILES)]
            list(pool.map(lambda path: write(path, DATA), paths))
    took_s = time.perf_counter() - began
    shutil.rmtree(folder)
    return 1000 * took_s / PICTURES


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    below = parser.parse_args().folder
    cases = [
        (name, write, threads)
        for name, write in (("rename alone", rename_alone), ("fsync, rename, fsync", write_atomic))
        for threads in (1, 4)
    ]
    found: dict[tuple[str, int], list[float]] = {(name, threads): [] for name, _, threads in cases}
    # In turn, so that what else the machine does meets all of them.
    for _ in range(REPEATS):
        for name, write, threads in cases:
            found[name, threads].append(ms_a_picture(write, threads, below))
    print(f"| {FILES} files of {SIZE_BYTES // 1000} kB | threads | ms a picture |\n|---|---|---|")
    for (name, threads), values in found.items():
        print(
            f"| {name} | {threads} | {median(values):.0f} ({min(values):.0f}–{max(values):.0f}) |"
        )


if __name__ == "__main__":
    main()
