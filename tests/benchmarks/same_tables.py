"""How far tables differ when nothing but threads and batch size do, on a CPU.

    python tests/benchmarks/same_tables.py ../shared/images/kodak --weights ../shared/weights

Every setting scores the same pictures anew; a metric's line is the largest difference of any
picture to the first setting.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import torch
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.suite import Suite

SETTINGS = ((1, 1), (2, 1), (2, 4), (3, 2), (16, 1), (64, 1))
METRICS = ("psnr", "ssim", "lpips-alex", "lpips-squeeze", "flip", "ciede2000")


def scores(suite: Suite) -> pd.Series:
    """Return the values of a run, by picture, codec, region and variant."""
    with tempfile.TemporaryDirectory() as folder:
        run = evaluate(suite, Path(folder, "run"), "same_tables", lambda *_: None)
        keys = ["image_id", "codec", "region", "variant"]
        return run.scores.set_index(keys)["value"].sort_index()


def main() -> None:
    """Print a line for each setting and metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--codec", action="append")
    parser.add_argument("--weights")
    parser.add_argument("--size", type=int)
    given = parser.parse_args()
    fields = {
        "images": given.images,
        "codecs": given.codec or ["demo-f8c4:device=cpu", "demo-f8c16:device=cpu", "jpeg:q=75"],
        "metrics": list(METRICS),
        "weights": given.weights,
        "keep": "none",
    }
    if given.size:
        fields |= {"size": given.size, "fit": "crop"}
    first: pd.Series | None = None
    for threads, batch_size in SETTINGS:
        torch.set_num_threads(threads)
        found = scores(Suite.create(**fields, batch_size=batch_size))
        first = found if first is None else first
        largest: pd.Series = (found - first).abs().groupby("variant").max()
        for variant, most in largest.items():
            print(f"{threads} threads, batch {batch_size}  {variant:28} {most:.1e}", flush=True)


if __name__ == "__main__":
    main()
