"""One side of evaluation_overhead.py, in a process of its own: prints one JSON object.

    python tests/benchmarks/evaluation_sides.py naive LIST --shared FOLDER --out FOLDER

Sides, each on the pictures of LIST (a file of paths) with demo-f8c4, demo-f8c16 and taef2:

- bare: encode and decode, each file decoded for each model;
- bare-kept: the same, with the allocator settings that `vaebench run` applies;
- naive: what a script of one's own does: for each model and file read, encode, decode, PSNR, SSIM
  and LPIPS of torchmetrics, and a heat map by matplotlib;
- vaebench: `vaebench run` with psnr, ssim, lpips-alex, error maps and all pictures kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from vaebench.bench.codecs import Codec, open_codec
from vaebench.bench.codecs.networks.steady_layers import stock_layers
from vaebench.bench.timing.startup import keep_freed_memory
from vaebench.metrics.trunk_weights import trunk_weights
from vaebench.metrics.trunks import ALEX

SAMPLED_EVERY_S = 0.005
PACKAGES = ("/bench/", "/metrics/", "/reports/", "evaluation_sides.py")


@dataclass
class Clock:
    """Wall and CPU seconds at the marks of a side: start, loop, loop end, end."""

    marks: dict[str, tuple[float, float]] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        self.marks[name] = (time.perf_counter(), time.process_time())

    def between(self, first: str, last: str) -> tuple[float, float]:
        (wall, cpu), (later_wall, later_cpu) = self.marks[first], self.marks[last]
        return later_wall - wall, later_cpu - cpu


def sources(shared: Path) -> dict[str, str]:
    """Return the three models by name."""
    return {
        "demo-f8c4": "demo-f8c4",
        "demo-f8c16": "demo-f8c16",
        "taef2": str(shared / "weights" / "taef2"),
    }


def read(path: Path) -> Tensor:
    """Return a picture as a script reads it: float32 [1, 3, H, W] in [0, 1]."""
    with Image.open(path) as image:
        array = np.array(image.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


def stock_codecs(shared: Path) -> list[Codec]:
    """Return the autoencoders as a script runs them."""
    with stock_layers():
        return [open_codec(name, source, {}) for name, source in sources(shared).items()]


def bare(paths: list[Path], shared: Path, out: Path, clock: Clock) -> None:
    """Encode and decode."""
    codecs = stock_codecs(shared)
    clock.mark("loop")
    with torch.inference_mode():
        for codec in codecs:
            for path in paths:
                codec.decode(codec.encode(read(path)))
    clock.mark("loop end")


def naive(paths: list[Path], shared: Path, out: Path, clock: Clock) -> None:
    """Do what a script does, and keep its means."""
    import matplotlib

    matplotlib.use("Agg")
    from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

    codecs = stock_codecs(shared)
    psnr = PeakSignalNoiseRatio(data_range=1.0)
    ssim = StructuralSimilarityIndexMeasure(data_range=1.0)
    lpips = torchmetrics_lpips(shared / "weights")
    rows: list[dict[str, Any]] = []
    clock.mark("loop")
    with torch.inference_mode():
        for codec in codecs:
            for path in paths:
                reference = read(path)
                decoded = codec.decode(codec.encode(reference)).clamp(0, 1)
                scores = {
                    "psnr": float(psnr(decoded, reference)),
                    "ssim": float(ssim(decoded, reference)),
                    "lpips": float(lpips(decoded, reference)),
                }
                rows.append({"codec": codec.info.name, "picture": path.name, **scores})
                error = (decoded - reference).abs().mean(dim=1)[0]
                draw_heat_map(error, out / f"{codec.info.name}-{path.stem}.png")
    (out / "scores.json").write_text(json.dumps(rows))
    clock.mark("loop end")


def torchmetrics_lpips(weights: Path) -> Any:
    """Return torchmetrics's LPIPS with AlexNet's trained weights, which it would download."""
    import torchmetrics.functional.image.lpips as functional
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    download = functional._get_tv_model_features
    functional._get_tv_model_features = lambda net, pretrained=False: download(net, False)
    try:
        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)
    finally:
        functional._get_tv_model_features = download
    _, trained = trunk_weights(ALEX, weights)
    for name, parameter in metric.net.net.named_parameters():
        parameter.data.copy_(trained[f"features.{name.split('.', 1)[1]}"])
    return metric


def draw_heat_map(values: Tensor, path: Path) -> None:
    """Write an error map as a figure with a pixel for each of the picture's."""
    import matplotlib.pyplot as plt

    height_px, width_px = values.shape
    figure = plt.figure(figsize=(width_px / 100, height_px / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(values.numpy(), cmap="inferno")
    axes.axis("off")
    figure.savefig(path)
    plt.close(figure)


def vaebench(paths: list[Path], shared: Path, out: Path, clock: Clock) -> None:
    """Run vaebench as its command does, with the report."""
    from vaebench.bench import run

    keep_freed_memory()
    pictures = out / "pictures.txt"
    pictures.write_text("\n".join(map(str, paths)) + "\n")

    def progress(phase: str, done: int, total: int) -> None:
        if phase == "scoring" and done == 0:
            clock.mark("loop")
        if phase == "writing the report" and done == 0:
            clock.mark("loop end")

    run(
        images=[str(pictures)],
        codecs=[f"{name}={source}" for name, source in sources(shared).items()],
        metrics=["psnr", "ssim", "lpips-alex"],
        weights=str(shared / "weights"),
        out=out / "run",
        history="off",
        progress=progress,
    )


def bare_kept(paths: list[Path], shared: Path, out: Path, clock: Clock) -> None:
    """Encode and decode with the allocator's settings."""
    keep_freed_memory()
    bare(paths, shared, out, clock)


SIDES: dict[str, Callable[[list[Path], Path, Path, Clock], None]] = {
    "bare": bare,
    "bare-kept": bare_kept,
    "naive": naive,
    "vaebench": vaebench,
}


@contextmanager
def sampled(chosen: bool) -> Generator[Counter[str]]:
    """Count where the threads are, every 5 ms: the innermost function of this project."""
    places: Counter[str] = Counter()
    if not chosen:
        yield places
        return
    stop, main = threading.Event(), threading.main_thread().ident

    def sample() -> None:
        while not stop.wait(SAMPLED_EVERY_S):
            for ident, frame in sys._current_frames().items():
                place = place_of(frame)
                if ident != threading.get_ident() and place is not None:
                    places[f"{'main' if ident == main else 'other'} thread: {place}"] += 1

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    yield places
    stop.set()
    thread.join()


def place_of(frame: FrameType | None) -> str | None:
    """Return file and function of the innermost frame that is the project's own."""
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if any(package in name for package in PACKAGES) and "site-packages" not in name:
            return f"{'/'.join(name.split('/')[-2:])} {frame.f_code.co_qualname}"
        frame = frame.f_back
    return None


def main() -> None:
    """Run one side and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("pictures", type=Path, help="file of picture paths")
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sample", action="store_true", help="tell where the time goes")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    paths = [Path(line) for line in arguments.pictures.read_text().splitlines()]
    # Every side needs them, and none is to pay for the first import.
    importlib.import_module("diffusers.models.autoencoders.autoencoder_kl")
    importlib.import_module("torchmetrics.image")
    clock = Clock()
    with sampled(arguments.sample) as places:
        clock.mark("start")
        SIDES[arguments.side](paths, arguments.shared, arguments.out, clock)
        clock.mark("end")
    wall, cpu = clock.between("start", "end")
    loop_wall, loop_cpu = clock.between("loop", "loop end")
    figures = {
        "side": arguments.side,
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
        "loop_wall_s": round(loop_wall, 3),
        "loop_cpu_s": round(loop_cpu, 3),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps({**figures, "places": places.most_common()}))


if __name__ == "__main__":
    main()
