"""What pictures cost: what the bits are of, a set's ratio, and padding that is in no number."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import VQModel
from PIL import Image
from vaebench.bench.images.pixels import fit_pixels
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.history.measurements import measurements_of
from vaebench.bench.store.rates import rate_of_set
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite
from vaebench.reports.tables.run import summary


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def scored(folder: Path, photos: Path, codecs: list[str], **fields: Any) -> StoredRun:
    asked = Suite.create(images=[str(photos)], codecs=codecs, metrics=["psnr"], **fields)
    return evaluate(asked, folder, "command", quiet)


def bits_variants(run: StoredRun) -> dict[str, set[str]]:
    bits = run.scores[run.scores["metric"] == "bpp"]
    return {str(codec): set(rows["variant"]) for codec, rows in bits.groupby("codec")}


@pytest.fixture
def vq(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = VQModel(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        num_vq_embeddings=30,
        latent_channels=3,
    )
    model.save_pretrained(tmp_path / "vq")
    return tmp_path / "vq"


def test_a_rate_is_labelled_by_what_its_bits_are_of(photos: Path, tmp_path: Path, vq: Path) -> None:
    codecs = [
        "jpeg:q=25",
        "raw=demo-f8c16",
        "q=quantised(demo-f8c16, step=0.5)",
        f"vq={vq}",
        f"vqq=quantised({vq})",
    ]
    run = scored(tmp_path / "run", photos, codecs)
    assert bits_variants(run) == {
        "jpeg-q25": {"bpp/measured"},
        "raw": {"bpp/stored"},
        "q": {"bpp/measured"},
        "vq": {"bpp/indices"},
        "vqq": {"bpp/measured"},
    }
    # 5 bits name one of 30 entries, for each 2×2 px.
    indices = run.scores[run.scores["variant"] == "bpp/indices"]["value"]
    assert indices.to_numpy() == pytest.approx(5 / 4)
    table = summary(run)
    assert table["bpp/measured", "pictures"].to_dict() == {
        "jpeg-q25": 5, "raw": 0, "q": 5, "vq": 0, "vqq": 5,
    }  # fmt: skip


def test_the_ratio_of_a_set_is_all_raw_bits_over_all_stored_bits(
    photos: Path, tmp_path: Path
) -> None:
    run = scored(tmp_path / "run", photos, ["jpeg:q=40"])
    raw = stored = 0
    for path in photos.rglob("*.png"):
        if path.name == "broken.png":
            continue
        image, file = Image.open(path), io.BytesIO()
        image.save(file, "JPEG", quality=40, subsampling="4:2:0", optimize=True)
        raw += 24 * image.width * image.height
        stored += 8 * len(file.getvalue())
    found = summary(run)["stored_bits_ratio/rgb8", "mean"]["jpeg-q40"]
    assert found == pytest.approx(raw / stored)
    (told,) = [row for row in measurements_of(run) if row.measure == "stored_bits_ratio/rgb8"]
    assert told.value == pytest.approx(raw / stored)


def test_a_rate_of_a_set_by_hand() -> None:
    # 100 px in 1200 bits, 300 px in 600 bits: 2400 and 7200 raw bits.
    ratios, pixels = np.array([2.0, 12.0, math.nan]), np.array([100, 300, 50])
    assert rate_of_set("stored_bits_ratio", ratios, pixels) == pytest.approx(9600 / 1800)
    assert rate_of_set("bpp", np.array([12.0, 2.0, math.nan]), pixels) == 7.0
    assert math.isnan(rate_of_set("bpp", np.array([math.nan]), np.array([1])))


def test_padding_is_in_no_number(photos: Path, tmp_path: Path) -> None:
    background = "#2040a0"
    run = scored(
        tmp_path / "run",
        photos,
        ["jpeg:q=30", "resize:4"],
        size=96,
        fit="pad",
        background=background,
        regions=[str(photos / "regions.json")],
        batch_size=4,
    )
    keyed = run.scores.set_index(["image_id", "codec", "region", "variant"])["value"]
    for image_id, size, (left, top) in (
        ("a.png", (84, 96), (6, 0)),
        ("wide.png", (96, 58), (0, 19)),
    ):
        rgb = np.asarray(Image.open(photos / image_id).convert("RGB"))
        frame, file = Image.fromarray(fit_pixels(rgb, 96, "pad", background)), io.BytesIO()
        frame.save(file, "JPEG", quality=30, subsampling="4:2:0", optimize=True)
        inside = np.s_[top : top + size[1], left : left + size[0]]
        reference, jpeg = np.asarray(frame)[inside], np.asarray(Image.open(file))[inside]
        mse = np.mean((reference / 255 - jpeg / 255.0) ** 2)
        found = keyed[image_id, "jpeg-q30", "whole", "psnr/rgb8"]
        assert found == pytest.approx(-10 * np.log10(mse), abs=1e-6)
        bits, pixels = 8 * len(file.getvalue()), size[0] * size[1]
        assert keyed[image_id, "jpeg-q30", "whole", "bpp/measured"] == pytest.approx(bits / pixels)
        ratio = keyed[image_id, "jpeg-q30", "whole", "stored_bits_ratio/rgb8"]
        assert ratio == pytest.approx(24 * pixels / bits)
        assert np.array_equal(np.asarray(Image.open(run.reference_path(image_id) or "")), reference)
        kept = run.reconstruction_path("jpeg-q30", image_id)
        assert np.array_equal(np.asarray(Image.open(kept or "")), jpeg)
        (image,) = [entry for entry in run.record.images if entry.image_id == image_id]
        assert (image.width_px, image.height_px) == size
        assert image.notes[-1].endswith(
            f"made {size[0]}x{size[1]}, padded to 96x96 for the codec alone"
        )
        for region in run.regions:
            if region.image_id == image_id:
                x0, y0, x1, y1 = region.box_px
                area = np.s_[y0:y1, x0:x1]
                mse = np.mean((reference[area] / 255 - jpeg[area] / 255.0) ** 2)
                own = keyed[image_id, "jpeg-q30", region.name, "psnr/rgb8"]
                assert own == pytest.approx(-10 * np.log10(mse), abs=1e-6)
    # 40 to 80 of 80 px across, 10 to 40 of 48 px down: half of 96 px, and 12 to 49 of 58.
    (sign,) = [region for region in run.regions if region.name == "sign"]
    assert sign.box_px == (48, 12, 96, 49)
