"""Small comparison folders: made up by hand, and of real runs by `compare` itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from vaebench.bench.compare.comparison import compare
from vaebench.bench.compare.store import (
    COMPARISON_COLUMNS,
    PER_IMAGE_COLUMNS,
    StoredComparison,
    load_comparison,
    write_comparison,
)
from vaebench.bench.store.record import read_record, write_record
from vaebench.bench.store.run import StoredRun, load_run

METRICS: tuple[dict[str, Any], ...] = (
    {"name": "psnr", "variant": "psnr/rgb8", "unit": "dB", "higher_is_better": True},
    {"name": "lpips", "variant": "lpips/alex-0.1", "unit": "", "higher_is_better": False},
    {"name": "mae", "variant": "mae/rgb8", "unit": "", "higher_is_better": False},
)
MARGINS = {"psnr/rgb8": 0.1, "lpips/alex-0.1": 0.002, "mae/rgb8": None}


def row(variant: str = "psnr/rgb8", region: str = "whole", **fields: Any) -> dict[str, Any]:
    """Return a row of the table: +0.42 dB [0.31, 0.55] over 24 pictures, unless told otherwise."""
    metric = next(entry for entry in METRICS if entry["variant"] == variant)
    given = {
        "codec": "after",
        "baseline": "before",
        "region": region,
        "metric": metric["name"],
        "variant": variant,
        "n_images": 24,
        "mean_diff": 0.42,
        "ci_low": 0.31,
        "ci_high": 0.55,
        "p_holm": 0.0004,
        "smallest_detectable": 0.17,
        "verdict": "better",
        "share_won": 0.875,
        "unit": metric["unit"],
        "margin": MARGINS[variant],
        "p": 0.0002,
        "baseline_mean": 30.0,
        "codec_mean": 30.42,
        "note": "",
    }
    return {**given, **fields}


def values(
    variant: str, pairs: Sequence[tuple[float, float]], region: str = "whole", codec: str = "after"
) -> pd.DataFrame:
    """Return the pictures of a row from (baseline, codec) pairs: p0.png, p1.png, …"""
    metric = next(entry for entry in METRICS if entry["variant"] == variant)
    frame = pd.DataFrame(pairs, columns=pd.Index(["baseline_value", "codec_value"]))
    shared = {"codec": codec, "baseline": "before", "region": region, "unit": metric["unit"]}
    names = [f"p{place}.png" for place in range(len(pairs))]
    difference = [0.0 if a == b else b - a for a, b in pairs]
    return frame.assign(
        **shared,
        metric=metric["name"],
        variant=variant,
        image_id=names,
        difference=difference,
    ).reindex(columns=list(PER_IMAGE_COLUMNS))


def record_of(labels: Sequence[str], **fields: Any) -> dict[str, Any]:
    """Return a comparison.json without pictures."""
    environment = {"device": "cpu", "driver": None, "torch": "2.6", "libraries": {"pillow": "12"}}
    run = {"run_id": "r1", "name": "tiny", "folder": "runs/tiny", "set_hash": "ab" * 32}
    info = {"family": "classical", "source": "jpeg", "settings": {"q": 30}, "revision": None}
    given: dict[str, Any] = {
        "schema_version": 1,
        "name": "made-up",
        "created": "2026-01-01T00:00:00+00:00",
        "command": "vaebench compare runs/tiny",
        "vaebench": "0.1.0",
        "runs": [{**run, "environment": environment}],
        "baseline": "before",
        "codecs": [{"label": label, "run": "r1", "info": info} for label in labels],
        "protocol": {"size": None, "fit": None, "rounding": "8bit", "pictures": 24},
        "seed": 0,
        "resamples": 10_000,
        "confidence": 0.95,
        "margins": MARGINS,
        "metrics": list(METRICS),
        "map": None,
    }
    lists = ("mismatches", "apart", "quoted", "images", "changed", "patches")
    return {**given, **{name: [] for name in lists}, **fields}


def write_made_up(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    per_image: Sequence[pd.DataFrame] = (),
    **fields: Any,
) -> StoredComparison:
    folder.mkdir(parents=True, exist_ok=True)
    labels = ["before", *dict.fromkeys(entry["codec"] for entry in rows)]
    frames = [pd.DataFrame(columns=pd.Index(PER_IMAGE_COLUMNS)), *per_image]
    table = pd.DataFrame(list(rows), columns=pd.Index(COMPARISON_COLUMNS))
    behind = pd.concat(frames[1:]) if per_image else frames[0]
    write_comparison(folder, record_of(labels, **fields), table, behind)
    return load_comparison(folder)


def changed_entry(folder: Path, **fields: Any) -> dict[str, Any]:
    """Return an entry of `changed`, its six pictures written."""
    names = ("reference", "baseline", "codec", "baseline_map", "codec_map", "signed_difference")
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pictures: dict[str, str | None] = {}
    for place, name in enumerate(names):
        shape = (8, 12) if name.endswith("_map") else (8, 12, 3)
        pictures[name] = f"pictures/{name}.png"
        pixels = np.full(shape, 20 * place + 15, np.uint8)
        Image.fromarray(pixels).save(folder / pictures[name])
    given = {
        "codec": "after",
        "region": "whole",
        "kind": "whole",
        "image_id": "p0.png",
        "variant": "psnr/rgb8",
        "unit": "dB",
        "baseline_value": 30.0,
        "codec_value": 31.5,
        "difference": 1.5,
        "verdict": "better",
        "box_px": None,
        "pictures": pictures,
    }
    return {**given, **fields}


@pytest.fixture
def make_comparison(tmp_path: Path) -> Callable[..., StoredComparison]:
    """Write a made-up comparison into a fresh folder and load it."""
    return lambda *args, **fields: write_made_up(tmp_path / "comparison", *args, **fields)


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    return row


@pytest.fixture
def make_values() -> Callable[..., pd.DataFrame]:
    return values


@pytest.fixture
def make_changed(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    return lambda **fields: changed_entry(tmp_path / "comparison", **fields)


@pytest.fixture
def other_run(tmp_path: Path) -> Callable[..., StoredRun]:
    """Copy a run under another name, with these fields of its suite changed."""

    def copied(run: StoredRun, name: str, **suite: Any) -> StoredRun:
        folder = tmp_path / name
        shutil.copytree(run.folder, folder)
        record = read_record(folder)
        changed = record.suite.model_copy(update=suite)
        run_id = f"20260102T000000Z-{name}"
        write_record(folder, replace(record, run_id=run_id, name=name, suite=changed))
        return load_run(folder)

    return copied


@pytest.fixture
def compare_runs(tmp_path: Path) -> Callable[..., StoredComparison]:
    """Compare real runs as the command does."""
    return lambda runs, **options: compare(runs, tmp_path / "compared", **options)
