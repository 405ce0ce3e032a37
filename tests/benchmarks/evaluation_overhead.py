"""What an evaluation costs beside the models: a naive script, vaebench, and the models alone.

    python tests/benchmarks/evaluation_overhead.py --out reports/published/evaluation-overhead
    python tests/benchmarks/evaluation_overhead.py --pictures 2 --rounds 1 --out trial

Each round runs every side of evaluation_sides.py once, each in a fresh process, since allocator
settings last as long as one does; who goes first changes from round to round. Imports are not
timed. `loop` is the part that grows with the pictures; `total` adds opening the models and, for
vaebench, the plots and the report. CPU time is that of all threads.

Non-model CPU is a side's loop less that of the models alone in the same round under the same
allocator settings: bare for the naive script, bare-kept for vaebench. A last round, of six pictures
and not counted, samples where each side's threads are. Writes runs.csv, places.csv and README.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIDES = ("bare", "bare-kept", "naive", "vaebench")
SCRIPT = Path(__file__).with_name("evaluation_sides.py")
SHARED = Path(
    os.environ.get("VAEBENCH_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)
PICTURES_SAMPLED = 6
PLACES_SHOWN = 12

Round = dict[str, dict[str, Any]]
"""What each side printed."""


@dataclass(frozen=True)
class Ratio:
    """A figure of one round, and the largest value that is the goal (None: only shown)."""

    name: str
    goal: float | None
    of: Callable[[Round], float]


def non_model(found: Round, side: str, alone: str) -> float:
    """Return the CPU seconds that a side's loop takes beyond its models."""
    return found[side]["loop_cpu_s"] - found[alone]["loop_cpu_s"]


RATIOS = (
    Ratio(
        "non-model CPU, vaebench / naive",
        0.30,
        lambda r: non_model(r, "vaebench", "bare-kept") / non_model(r, "naive", "bare"),
    ),
    Ratio(
        "non-model CPU of vaebench / CPU of bare",
        0.08,
        lambda r: non_model(r, "vaebench", "bare-kept") / r["bare"]["loop_cpu_s"],
    ),
    Ratio(
        "end to end (total wall), vaebench / naive",
        0.70,
        lambda r: r["vaebench"]["wall_s"] / r["naive"]["wall_s"],
    ),
    Ratio(
        "total wall, vaebench / bare",
        1.10,
        lambda r: r["vaebench"]["wall_s"] / r["bare"]["wall_s"],
    ),
    Ratio(
        "loop wall, vaebench / naive",
        None,
        lambda r: r["vaebench"]["loop_wall_s"] / r["naive"]["loop_wall_s"],
    ),
    Ratio(
        "loop wall, vaebench / bare",
        None,
        lambda r: r["vaebench"]["loop_wall_s"] / r["bare"]["loop_wall_s"],
    ),
    Ratio(
        "loop CPU, vaebench / bare",
        None,
        lambda r: r["vaebench"]["loop_cpu_s"] / r["bare"]["loop_cpu_s"],
    ),
    Ratio(
        "non-model CPU of naive / CPU of bare",
        None,
        lambda r: non_model(r, "naive", "bare") / r["bare"]["loop_cpu_s"],
    ),
    Ratio(
        "loop CPU, bare-kept / bare (what the allocator saves)",
        None,
        lambda r: r["bare-kept"]["loop_cpu_s"] / r["bare"]["loop_cpu_s"],
    ),
)


def run_side(side: str, pictures: Path, *flags: str) -> dict[str, Any]:
    """Run one side in a fresh process and return what it printed."""
    with tempfile.TemporaryDirectory(prefix="vaebench-overhead-") as out:
        done = subprocess.run(
            [sys.executable, SCRIPT, side, pictures, "--shared", SHARED, "--out", out, *flags],
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_rounds(pictures: Path, rounds: int) -> list[Round]:
    """Return the rounds, each side first in turn."""
    found: list[Round] = []
    for number in range(rounds):
        order = [*SIDES[number % len(SIDES) :], *SIDES[: number % len(SIDES)]]
        found.append({side: run_side(side, pictures) for side in order})
        told = ", ".join(f"{side} {found[-1][side]['wall_s']:.1f} s" for side in SIDES)
        print(f"round {number + 1} of {rounds}: {told}", flush=True)
    return found


def median_of(rounds: Sequence[Round], side: str, column: str) -> float:
    """Return the median of one figure of one side."""
    return statistics.median(entry[side][column] for entry in rounds)


def ratio_rows(rounds: Sequence[Round]) -> list[dict[str, str]]:
    """Return a row a ratio: its median over the rounds, their range, its goal, whether met."""
    rows: list[dict[str, str]] = []
    for ratio in RATIOS:
        values = [ratio.of(entry) for entry in rounds]
        median = statistics.median(values)
        verdict = "" if ratio.goal is None else "met" if median <= ratio.goal else "missed"
        rows.append(
            {
                "ratio": ratio.name,
                "median": f"{median:.3f}",
                "range": f"{min(values):.3f} to {max(values):.3f}",
                "goal": "" if ratio.goal is None else f"at most {ratio.goal:g}",
                "verdict": verdict,
            }
        )
    return rows


def side_rows(rounds: Sequence[Round]) -> list[dict[str, str]]:
    """Return a row a side: medians of its figures."""
    columns = ("wall_s", "cpu_s", "loop_wall_s", "loop_cpu_s", "peak_mb")
    return [
        {"side": side, **{name: f"{median_of(rounds, side, name):.2f}" for name in columns}}
        for side in SIDES
    ]


def place_rows(sampled: Round) -> list[dict[str, str]]:
    """Return where each side's threads were found, most often first; shares of its samples."""
    rows: list[dict[str, str]] = []
    for side in SIDES:
        places = sampled[side]["places"]
        total = sum(count for _, count in places) or 1
        rows += [
            {"side": side, "place": place, "share": f"{100 * count / total:.1f} %"}
            for place, count in places
        ]
    return rows


def most_of(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the first rows of each side."""
    return [row for side in SIDES for row in [x for x in rows if x["side"] == side][:PLACES_SHOWN]]


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return rows as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def machine() -> str:
    """Return processor, libraries and threads in a sentence."""
    from vaebench.bench.store.environment import read_environment

    told = read_environment()
    return (
        f"{told.cpu}, {os.cpu_count()} processors, {told.threads} threads, {platform.platform()}, "
        f"Python {told.python}, torch {told.torch}"
    )


def readme(rounds: Sequence[Round], places: Sequence[dict[str, str]], count: int) -> str:
    """Return the page that explains the figures."""
    command = " ".join(["python tests/benchmarks/evaluation_overhead.py", *sys.argv[1:]])
    return f"""# What an evaluation costs beside the models

{count} Kodak pictures (768×512), demo-f8c4, demo-f8c16 and taef2 in float32; PSNR, SSIM, LPIPS-alex
and error maps; {len(rounds)} rounds. {machine()}.

    {command}

{(__doc__ or "").split(chr(10) * 2)[2]}

{(__doc__ or "").split(chr(10) * 2)[3]}

## Ratios, medians over the rounds

{table(ratio_rows(rounds))}

## Sides, medians over the rounds

{table(side_rows(rounds))}

vaebench keeps every reconstruction as PNG, its latents and an error map; the naive script keeps
heat maps alone. `peak_mb` is the largest resident set.

## Where the time goes

The innermost function of the project in which a thread was found, every 5 ms.

{table(most_of(places))}
"""


def main() -> None:
    """Run the rounds, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=24, help="how many of Kodak")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    paths = sorted((SHARED / "images" / "kodak").glob("kodim*.png"))[: arguments.pictures]
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures.txt"
        pictures.write_text("\n".join(map(str, paths)) + "\n")
        rounds = run_rounds(pictures, arguments.rounds)
        pictures.write_text("\n".join(map(str, paths[:PICTURES_SAMPLED])) + "\n")
        sampled = {side: run_side(side, pictures, "--sample") for side in SIDES}
    runs = [
        {"round": number, **{key: row for key, row in entry[side].items() if key != "places"}}
        for number, entry in enumerate(rounds, 1)
        for side in SIDES
    ]
    places = place_rows(sampled)
    write_csv(arguments.out / "runs.csv", runs)
    write_csv(arguments.out / "places.csv", places)
    page = readme(rounds, places, len(paths))
    (arguments.out / "README.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
