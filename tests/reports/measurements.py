"""A rate-distortion folder made up by hand: known curves, so that every number is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from vaebench.bench.rate.curves import delta_tables
from vaebench.bench.rate.store import StoredRd, load_rd, write_rd
from vaebench.bench.records import MetricColumn

PSNR = MetricColumn("psnr", "psnr/rgb8", "dB", True)
LPIPS = MetricColumn("lpips", "lpips/alex-0.1", "", False)
IMAGES = tuple(f"kodim0{number}.png" for number in range(1, 7))
CODECS = ("vae", "jpeg", "webp")
RATES = {"vae": 0.04, "jpeg": 0.1, "webp": 0.06}
SHARED: dict[str, float] = {"vae": -1.0, "jpeg": 0.0, "webp": 1.5}
SETTINGS = {"vae": "step", "jpeg": "q", "webp": "q"}


def point_table() -> pd.DataFrame:
    """Return points whose PSNR is 25 + 3·log2(bpp/0.1) and a codec's own gain, LPIPS falling."""
    rows: list[dict[str, Any]] = []
    for codec in CODECS:
        for step in range(6):
            for place, image_id in enumerate(IMAGES):
                bpp = RATES[codec] * 2**step
                psnr = 25 + 3 * float(np.log2(bpp / 0.1)) + SHARED[codec] + 0.1 * place
                for column, value in ((PSNR, psnr), (LPIPS, 0.8 - psnr / 60)):
                    rows.append(
                        {
                            "codec": codec,
                            "setting": f"{SETTINGS[codec]}={step + 1}",
                            "image_id": image_id,
                            "nbytes": round(bpp * 64 * 48 / 8),
                            "bpp": bpp,
                            "metric": column.name,
                            "variant": column.variant,
                            "value": value,
                        }
                    )
    return pd.DataFrame(rows)


def rate_table() -> pd.DataFrame:
    """Return what the latents of `vae` cost, a row a step."""
    return pd.DataFrame(
        {
            "codec": "vae",
            "setting": [f"step={step + 1}" for step in range(6)],
            "n_images": 6,
            "bpp": [0.02 * 2**step for step in range(6)],
            "ratio": [24 / (0.02 * 2**step) for step in range(6)],
            "entropy_bpp": [0.0198 * 2**step for step in range(6)],
            "header_bpp": 0.0001,
            "elements_ratio": 48.0,
            "stored_ratio_fp16": 24.0,
            "stored_ratio_fp32": 12.0,
        }
    )


def equal_rows() -> list[dict[str, Any]]:
    """Return the rows at equal bytes: jpeg reaches them on no picture, webp on all but one."""
    rows: list[dict[str, Any]] = []
    for place, image_id in enumerate(IMAGES):
        for codec, deviation, psnr in (
            ("vae", 0.0, 24.0 + place),
            ("jpeg", 0.4 + place / 10, 20.0),
            ("webp", 0.3 if place == 5 else 0.01, 27.0 + place),
        ):
            note = "" if deviation <= 0.02 else f"{100 * deviation:.1f} % more bytes at q=1"
            rows.append(
                {
                    "image_id": image_id,
                    "autoencoder": "vae",
                    "codec": codec,
                    "setting": "step=4" if codec == "vae" else "q=1",
                    "wanted_bytes": 1000,
                    "nbytes": round(1000 * (1 + deviation)),
                    "deviation": deviation,
                    "note": note,
                    "values": {PSNR.variant: psnr, LPIPS.variant: None},
                    "regions": {"left-eye": {PSNR.variant: psnr - 2}} if place == 0 else {},
                    "picture": f"{codec}{place}.webp" if place < 3 else None,
                }
            )
    return rows


def equal_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of equal_bytes.csv."""
    return pd.DataFrame(
        [
            {**row, "metric": column.name, "variant": column.variant}
            | {"value": row["values"][column.variant]}
            for row in rows
            for column in (PSNR, LPIPS)
        ]
    )


def record(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rd.json."""
    region = {"name": "left-eye", "kind": "eye", "box_px": [8, 8, 24, 24], "mask": None}
    return {
        "schema_version": 1,
        "name": "kodak",
        "created": "2026-11-24T12:00:00+00:00",
        "command": "vaebench rd --codec vae --codec jpeg",
        "environment": {"vaebench": "1.0"},
        "versions": {"torch": "2.14"},
        "anchor": "jpeg",
        "bootstrap": {"resamples": 1000, "confidence": 0.95, "seed": 0},
        "codecs": [
            {"name": name, "family": name, "settings": {}, "knob": SETTINGS[name]}
            for name in CODECS
        ],
        "metrics": [vars(PSNR), vars(LPIPS)],
        "unavailable": [],
        "failures": [],
        "images": [
            {"image_id": name, "width_px": 64, "height_px": 48, "sha256": "ab" * 32}
            for name in IMAGES
        ],
        "skipped": [],
        "unused_regions": [],
        "gallery": {
            "pictures": [
                {
                    "image_id": name,
                    "reference": f"reference{place}.webp",
                    "regions": [{**region, "image_id": name}] if place == 0 else [],
                }
                for place, name in enumerate(IMAGES[:3])
            ],
            "rows": [row for row in rows if row["picture"]],
        },
    }


@pytest.fixture
def make_rd(tmp_path: Path) -> Callable[..., StoredRd]:
    """Return a function that writes a folder; its arguments replace entries of rd.json."""

    def made(points: pd.DataFrame | None = None, **entries: Any) -> StoredRd:
        folder = tmp_path / "rd"
        points = point_table() if points is None else points
        rows = equal_rows()
        whole = {**record(rows), **entries}
        (folder / "gallery").mkdir(parents=True, exist_ok=True)
        stored = [row["picture"] for row in rows if row["picture"]]
        stored += [f"reference{place}.webp" for place in range(3)]
        for place, name in enumerate(stored):
            Image.new("RGB", (64, 48), (place * 20, 90, 120)).save(folder / "gallery" / name)
        codecs = [str(codec["name"]) for codec in whole["codecs"]]
        bd, quality = delta_tables(points, [PSNR, LPIPS], codecs, whole["anchor"], resamples=40)
        equal = equal_table(rows)
        equal = equal[equal["codec"].isin(codecs) & equal["autoencoder"].isin(codecs)]
        write_rd(folder, whole, (points, bd, quality, rate_table(), equal))
        return load_rd(folder)

    return made
