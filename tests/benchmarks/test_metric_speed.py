"""Metrics and error maps beside the packages that a script of one's own would use.

    python -m pytest tests/benchmarks/test_metric_speed.py -n 0 --benchmark-enable
    python tests/benchmarks/test_metric_speed.py --repeats 3 --csv ratios.csv

As tests each side is timed by itself. As a script every pair of sides takes turns on each Kodak
picture and its JPEG of quality 75, in one process, the first side changing; figures are medians
of one pair of pictures, and the medians of the ratios within turns, so that slow drift is not in
them. What ours keeps of the reference counts by its share: `prepare` / 3 + `compare`, as in a run
of three codecs. CPU time is that of all threads.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from vaebench.bench.images.files.png import encode_png
from vaebench.bench.timing.startup import keep_freed_memory
from vaebench.metrics import open_metric
from vaebench.metrics.trunk_weights import trunk_weights
from vaebench.metrics.trunks import ALEX

CODECS = 3
SHARED = Path(
    os.environ.get("VAEBENCH_SHARED", Path(__file__).resolve().parents[2].parent / "shared")
)

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Contest:
    """Ours against a package: `goal` is the largest allowed ratio of our time to theirs.

    `prepare` takes the reference, `compare` what it returned and the reconstruction, `theirs` both
    pictures; all [1, 3, H, W] in [0, 1].
    """

    name: str
    package: str
    goal: float
    prepare: Callable[[Tensor], Any]
    compare: Callable[[Any, Tensor], object]
    theirs: Callable[[Tensor, Tensor], object]


def contests(folder: Path) -> list[Contest]:
    """Return all contests; error maps are written below `folder`."""
    import pytorch_msssim

    weights = SHARED / "weights"

    def of_metric(
        name: str, package: str, goal: float, theirs: Callable[[Tensor, Tensor], object]
    ) -> Contest:
        metric = open_metric(name, weights)

        def compare(prepared: Any, reconstruction: Tensor) -> object:
            return metric.compare(prepared, reconstruction, False)

        return Contest(name, package, goal, metric.prepare, compare, theirs)

    def as_script(function: Any) -> Callable[[Tensor, Tensor], object]:
        return lambda x, y: function(y, x, data_range=1.0, size_average=False)

    return [
        of_metric("ssim", "pytorch-msssim", 1 / 2.2, as_script(pytorch_msssim.ssim)),
        of_metric("ms-ssim", "pytorch-msssim", 1 / 1.4, as_script(pytorch_msssim.ms_ssim)),
        of_metric("lpips-alex", "lpips", 0.6, package_lpips(weights)),
        of_metric("flip", "flip-evaluator", 1 / 3, package_flip),
        Contest(
            "error map PNG",
            "matplotlib",
            1 / 15,
            lambda reference: reference,
            lambda reference, other: write_map(map_of(reference, other), folder / "ours.png"),
            lambda reference, other: draw_map(map_of(reference, other), folder / "theirs.png"),
        ),
    ]


def package_lpips(weights: Path) -> Callable[[Tensor, Tensor], object]:
    """Return the lpips package's network with AlexNet's trained weights."""
    import lpips

    with warnings.catch_warnings(action="ignore"):
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    _, trained = trunk_weights(ALEX, weights)
    names = {key: "features." + key.split(".", 1)[1] for key in model.net.state_dict()}
    model.net.load_state_dict({key: trained[name] for key, name in names.items()})
    return lambda reference, reconstruction: model(reconstruction, reference, normalize=True)


def package_flip(reference: Tensor, reconstruction: Tensor) -> object:
    """Return the package's FLIP at its default viewing condition."""
    import flip_evaluator

    rows = [x[0].permute(1, 2, 0).contiguous().numpy() for x in (reference, reconstruction)]
    return flip_evaluator.evaluate(
        *rows, "LDR", applyMagma=False, computeMeanError=True, parameters={}
    )


def map_of(reference: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the mean absolute error of each pixel, [H, W]: what both sides draw."""
    return (reconstruction - reference).abs_().mean(dim=1)[0]


def write_map(values: Tensor, path: Path) -> None:
    """Write an error map as a run does; unlike a run, without waiting for the disk."""
    path.write_bytes(encode_png((values * 255).clamp_(0, 255).round_().byte().numpy()))


def draw_map(values: Tensor, path: Path) -> None:
    """Write an error map as a script would: a figure with a pixel for each of the picture's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    height_px, width_px = values.shape
    figure = plt.figure(figsize=(width_px / 100, height_px / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(values.numpy(), cmap="inferno")
    axes.axis("off")
    figure.savefig(path)
    plt.close(figure)


def read_pair(path: Path) -> Pair:
    """Return a picture and its JPEG of quality 75."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=75)
    reference, other = (
        torch.from_numpy(np.array(x)).permute(2, 0, 1)[None].float().div(255).contiguous()
        for x in (picture, Image.open(buffer))
    )
    return reference, other


NAMES = ("ssim", "ms-ssim", "lpips-alex", "flip", "error map PNG")


@pytest.fixture(scope="module")
def by_name(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contest]:
    return {contest.name: contest for contest in contests(tmp_path_factory.mktemp("maps"))}


@pytest.fixture(scope="module")
def pair(kodak: Path) -> Pair:
    return read_pair(kodak / "kodim23.png")


@pytest.mark.parametrize("side", ["vaebench", "package"])
@pytest.mark.parametrize("name", NAMES)
def test_one_pair_of_pictures(
    name: str, side: str, by_name: dict[str, Contest], pair: Pair, benchmark: Any
) -> None:
    contest = by_name[name]
    benchmark.group = name
    reference, other = pair
    prepared = contest.prepare(reference)
    with torch.inference_mode():
        if side == "vaebench":
            found = benchmark(contest.compare, prepared, other)
        else:
            found = benchmark(contest.theirs, reference, other)
        if name in ("ssim", "ms-ssim", "lpips-alex"):
            value = found.values if side == "vaebench" else found
            expected = contest.theirs(reference, other)
            # SSIM of the package is in float32; its own float64 is 1e-5 away.
            assert float(value) == pytest.approx(float(expected), abs=1e-4)


@dataclass(frozen=True)
class Spent:
    """Wall and CPU time in ms."""

    wall_ms: float
    cpu_ms: float


def spend(action: Callable[[], object]) -> tuple[object, Spent]:
    """Run an action and return its result with the time it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = action()
    return result, Spent(1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu))


def turn(contest: Contest, pair: Pair, ours_first: bool) -> tuple[Spent, Spent]:
    """Return what ours and theirs take of one pair of pictures."""
    reference, other = pair

    def ours() -> Spent:
        prepared, once = spend(lambda: contest.prepare(reference))
        _, each = spend(lambda: contest.compare(prepared, other))
        return Spent(once.wall_ms / CODECS + each.wall_ms, once.cpu_ms / CODECS + each.cpu_ms)

    def theirs() -> Spent:
        return spend(lambda: contest.theirs(reference, other))[1]

    if ours_first:
        first = ours()
        return first, theirs()
    second = theirs()
    return ours(), second


def summary(contest: Contest, turns: list[tuple[Spent, Spent]]) -> dict[str, object]:
    """Return the medians of both sides and of the ratios within turns."""
    row: dict[str, object] = {"what": contest.name, "package": contest.package}
    for clock in ("wall_ms", "cpu_ms"):
        ours, theirs = (
            [getattr(side, clock) for side in sides] for sides in zip(*turns, strict=True)
        )
        ratios = [x / y for x, y in zip(ours, theirs, strict=True)]
        row |= {
            f"ours_{clock}": round(statistics.median(ours), 2),
            f"package_{clock}": round(statistics.median(theirs), 2),
            f"{clock.removesuffix('_ms')}_ratio": round(statistics.median(ratios), 4),
        }
    return {**row, "goal": round(contest.goal, 4), "turns": len(turns)}


def main() -> None:
    """Take turns, print the ratios, and write them as CSV where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=24, help="how many of Kodak")
    parser.add_argument("--repeats", type=int, default=3, help="turns a picture")
    parser.add_argument("--threads", type=int, help="of torch (its own choice)")
    parser.add_argument("--csv", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    keep_freed_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    paths = sorted((SHARED / "images" / "kodak").glob("kodim*.png"))[: arguments.pictures]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        all_contests = contests(Path(folder))
        turns: dict[str, list[tuple[Spent, Spent]]] = {x.name: [] for x in all_contests}
        for contest in all_contests:
            turn(contest, read_pair(paths[0]), True)
        for repeat in range(arguments.repeats):
            for number, path in enumerate(paths):
                pair = read_pair(path)
                for contest in all_contests:
                    ours_first = (repeat + number) % 2 == 0
                    turns[contest.name].append(turn(contest, pair, ours_first))
        rows = [summary(contest, turns[contest.name]) for contest in all_contests]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.csv:
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
