"""Metrics added later equal those computed in the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vaebench.bench.errors import RunFolderError
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.scoring.rescore import add_metrics
from vaebench.bench.store.record import new_record
from vaebench.bench.store.run import create_run, load_run
from vaebench.bench.suite import Suite


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def suite(photos: Path, metrics: list[str], keep: str = "all") -> Suite:
    return Suite.create(
        images=[str(photos)],
        regions=[str(photos / "regions.json")],
        codecs=["jpeg:q=40", "resize:4"],
        metrics=metrics,
        keep=keep,
    )


def test_an_added_metric_is_that_of_the_run(photos: Path, tmp_path: Path) -> None:
    together = evaluate(suite(photos, ["psnr", "ssim"]), tmp_path / "both", "c", quiet)
    evaluate(suite(photos, ["psnr"]), tmp_path / "later", "c", quiet)
    later = add_metrics(load_run(tmp_path / "later"), ["ssim"], None, quiet)
    keys = ["image_id", "codec", "region", "kind", "metric", "variant", "unit"]
    both = together.scores.merge(later.scores, on=keys, suffixes=("_together", "_later"))
    assert len(both) == len(together.scores) == len(later.scores)
    assert np.array_equal(both.value_together, both.value_later)
    assert [column.variant for column in later.record.metrics] == [
        column.variant for column in together.record.metrics
    ]
    again = add_metrics(later, ["ssim"], None, quiet)
    assert len(again.scores) == len(later.scores)


def test_pictures_that_were_not_kept_give_no_number(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos, ["psnr"], keep="none"), tmp_path / "run", "c", quiet)
    run = add_metrics(run, ["mae"], None, quiet)
    added = run.scores[run.scores.metric == "mae"]
    assert len(added) == 10
    assert added.value.isna().all()
    reasons = run.unavailable[run.unavailable.metric == "mae"].reason
    assert set(reasons) == {"its pictures were not kept (--keep none)"}


def test_a_damaged_picture_costs_its_own_numbers_alone(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos, ["psnr"]), tmp_path / "run", "c", quiet)
    whole = add_metrics(run, ["mae"], None, quiet).scores
    kept = run.folder / "reconstructions"
    jpeg, resize = kept / "jpeg-q40" / "a.png.png", kept / "resize-4" / "b.png.png"
    jpeg.write_bytes(jpeg.read_bytes()[:-40])
    flipped = bytearray(resize.read_bytes())
    flipped[-30] ^= 4
    resize.write_bytes(flipped)
    Image.new("RGB", (10, 10)).save(kept / "reference" / "wide.png.png")
    run = add_metrics(load_run(run.folder), ["mae"], None, quiet)
    missing = run.scores[run.scores.value.isna()]
    assert set(zip(missing.image_id, missing.codec, strict=True)) == {
        ("a.png", "jpeg-q40"),
        ("b.png", "resize-4"),
        ("wide.png", "jpeg-q40"),
        ("wide.png", "resize-4"),
    }
    reasons = {entry.image_id: entry.reason for entry in run.record.unavailable}
    assert reasons["a.png"].startswith("reconstructions/jpeg-q40/a.png.png is damaged: ")
    assert reasons["b.png"].startswith("reconstructions/resize-4/b.png.png is damaged: ")
    size = "it has 10x10 px, not 80x48"
    assert reasons["wide.png"] == f"reconstructions/reference/wide.png.png is damaged: {size}"
    keys = ["image_id", "codec", "region", "variant"]
    both = run.scores.dropna().merge(whole, on=keys, suffixes=("", "_whole"))
    assert len(both) > 10
    assert np.array_equal(both.value, both.value_whole)


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    record = new_record(Suite.create(codecs=["jpeg"]), tmp_path / "my run", "")
    create_run(tmp_path / "my run", record)
    with pytest.raises(RunFolderError, match=r"vaebench run --resume '.*/my run'$"):
        add_metrics(load_run(tmp_path / "my run"), ["mae"], None, quiet)
