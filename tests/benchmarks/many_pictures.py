"""A run of thousands of made-up pictures, to see whether its report stays usable.

    python tests/benchmarks/many_pictures.py FOLDER --pictures 5000 --codecs 5 --kept 100

Nothing is encoded: scores are random, those of the pictures that are kept the worst, and what is
kept is noise of 32 × 32 pixels, so that the folder is made within a minute. Every tenth picture
has a region.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from vaebench.bench.records import (
    REFERENCE,
    WHOLE,
    CodecInfo,
    Environment,
    ImageRef,
    MetricColumn,
    Region,
)
from vaebench.bench.store.record import ErrorMap, RunRecord, write_record
from vaebench.bench.store.run import create_run, picture_path
from vaebench.bench.store.tables import write_scores
from vaebench.bench.suite import Suite

SIDE_PX = 32
METRICS = (
    ("psnr", "psnr/rgb8", "dB", True),
    ("ssim", "ssim/gauss11-rgb8", "", True),
    ("ms-ssim", "ms-ssim/gauss11-rgb8", "", True),
    ("lpips-alex", "lpips/alex-0.1", "", False),
    ("flip", "flip/ldr-67ppd-rgb8", "", False),
)
RATES = (
    ("bpp", "bpp/measured", "bit/px"),
    ("stored_bits_ratio", "stored_bits_ratio/rgb8", ""),
)
REGION = Region("", "face", "face", (8, 8, 24, 20))
EVERY = 10
"""Of so many pictures one has a region."""


def write_many(folder: Path, pictures: int, codecs: int, kept: int) -> None:
    """Write a finished run of made-up pictures into a new folder.

    Args:
        kept: how many pictures have a reference, reconstructions and error maps.
    """
    names = [f"ILSVRC2012_val_{place:08d}.JPEG" for place in range(1, pictures + 1)]
    infos = [
        CodecInfo(f"jpeg-q{90 - 10 * place}", "classical", "jpeg", {}) for place in range(codecs)
    ]
    regions = [replace(REGION, image_id=name) for name in names[::EVERY]]
    record = _record(folder.name, names, infos, regions)
    create_run(folder, record)
    write_scores(folder, _scores(names, [info.name for info in infos], regions, kept))
    rng = np.random.default_rng(1)
    for name in names[:kept]:
        pixels = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
        _keep(picture_path(folder, "reconstructions", REFERENCE, name), pixels)
        for info in infos:
            coarse = pixels & np.uint8(0xE0)
            _keep(picture_path(folder, "reconstructions", info.name, name), coarse)
            _keep(picture_path(folder, "maps", info.name, name), (pixels - coarse).max(-1))
    write_record(folder, replace(record, finished=True))


def _record(
    name: str, names: list[str], infos: list[CodecInfo], regions: list[Region]
) -> RunRecord:
    environment = Environment("cpu", None, None, "", "", "", "", "", "", 1, None)
    images = [
        ImageRef(image_id, "set", f"set/{image_id}", f"{place:064x}", SIDE_PX, SIDE_PX)
        for place, image_id in enumerate(names)
    ]
    return RunRecord(
        run_id=f"20260101T000000Z-{name}",
        name=name,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        command="python tests/benchmarks/many_pictures.py",
        working_folder=None,
        suite=Suite.create(images=["set"], codecs=[info.name for info in infos]),
        environment=environment,
        images=tuple(images),
        regions=tuple(regions),
        codecs=tuple(infos),
        metrics=tuple(MetricColumn(*column) for column in METRICS),
        error_map=ErrorMap("flip", METRICS[-1][1], "", 1.0),
    )


def _scores(names: list[str], codecs: list[str], regions: list[Region], kept: int) -> pd.DataFrame:
    """Return scores of which the first `kept` pictures have the worst."""
    rng = np.random.default_rng(0)
    own = {region.image_id: region for region in regions}
    places = [(name, WHOLE, WHOLE) for name in names]
    places += [(name, region.name, region.kind) for name, region in own.items()]
    keys = pd.DataFrame(places, columns=pd.Index(["image_id", "region", "kind"]))
    keys = keys.merge(pd.DataFrame({"codec": codecs}), how="cross")
    is_worst = keys["image_id"].isin(names[:kept]).to_numpy()
    parts: list[pd.DataFrame] = []
    for metric, variant, unit, is_better in METRICS:
        loss = rng.uniform(0, 0.4, len(keys)) + 0.4 * is_worst
        values = (1 - loss if is_better else loss) * (50 if unit == "dB" else 1)
        parts.append(keys.assign(metric=metric, variant=variant, value=values, unit=unit))
    for metric, variant, unit in RATES:
        values = rng.lognormal(0, 0.5, len(keys))
        part: Any = keys.assign(metric=metric, variant=variant, value=values, unit=unit)
        parts.append(part[part["region"] == WHOLE])
    return pd.concat(parts, ignore_index=True)


def _keep(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG", compress_level=1)
    path.write_bytes(sink.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--codecs", type=int, default=5)
    parser.add_argument("--kept", type=int, default=100, help="of how many pictures are there")
    given = parser.parse_args(arguments)
    write_many(given.folder, given.pictures, given.codecs, given.kept)


if __name__ == "__main__":
    main()
