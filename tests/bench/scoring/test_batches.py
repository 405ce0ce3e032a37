"""Batches that do not fit the device's memory, and what a batch's size and order may not change."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from vaebench.bench.codecs import CODECS
from vaebench.bench.codecs.base import Family
from vaebench.bench.errors import ImageError
from vaebench.bench.records import CodecInfo, Encoded
from vaebench.bench.scoring import decoded
from vaebench.bench.scoring import evaluate as evaluate_module
from vaebench.bench.scoring.evaluate import MemoryWarning, evaluate, resume
from vaebench.bench.store.parts import finished_images
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite
from vaebench.metrics.psnr import PSNR

MESSAGE = "CUDA out of memory. Tried to allocate 9 GiB.\nSee documentation."


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


class Small:
    """Halves the light; memory runs out above `most_px` pixels at once."""

    def __init__(self) -> None:
        self.info = CodecInfo("small", "small", "small", {})
        self.most_px = 10**9
        self.batches: list[int] = []

    def encode(self, images: torch.Tensor) -> Encoded:
        self.batches.append(len(images))
        if images[:, 0].numel() > self.most_px:
            raise torch.OutOfMemoryError(MESSAGE)
        return Encoded((800,) * len(images), latents=images / 2)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        assert encoded.latents is not None
        return encoded.latents


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Small:
    codec = Small()
    family = Family(lambda source: source == "small", lambda *_: codec, "small")
    monkeypatch.setitem(CODECS, "small", family)
    return codec


def suite(photos: Path, **fields: Any) -> Suite:
    given = {"images": [str(photos)], "codecs": ["small"], "metrics": ["psnr", "ssim"]}
    return Suite.create(**{**given, **fields})


def values(run: StoredRun) -> Any:
    return run.scores.drop(columns="image_id")["value"].to_numpy()


AREA_PX = 64 * 56


def test_where_memory_runs_out_the_batch_is_halved(
    photos: Path, tmp_path: Path, small: Small
) -> None:
    codecs = ["jpeg:q=40", "small"]
    one = evaluate(suite(photos, codecs=codecs), tmp_path / "one", "command", quiet)
    small.batches.clear()
    small.most_px = 2 * AREA_PX
    with pytest.warns(MemoryWarning, match="memory ran out with 4 pictures of 56x64 px at once"):
        many = evaluate(
            suite(photos, codecs=codecs, batch_size=4), tmp_path / "many", "command", quiet
        )
    # The fifth picture is of another size.
    assert small.batches == [4, 2, 2, 1]
    assert list(many.record.notes) == [
        "memory ran out with 4 pictures of 56x64 px at once; "
        "the run went on with at most 2 of that size"
    ]
    assert json.loads((many.folder / "run.json").read_text())["notes"] == list(many.record.notes)
    assert np.array_equal(values(one), values(many))
    assert many.record.unavailable == ()
    for kept in (one.folder / "reconstructions").rglob("*.png"):
        assert kept.read_bytes() == (many.folder / kept.relative_to(one.folder)).read_bytes()


def test_halving_goes_on_down_to_one(photos: Path, tmp_path: Path, small: Small) -> None:
    small.most_px = 48 * 80
    with pytest.warns(MemoryWarning) as told:
        run = evaluate(suite(photos, batch_size=4), tmp_path / "run", "command", quiet)
    assert small.batches == [4, 2, 1, 1, 1, 1, 1]
    assert len(told) == len(run.record.notes) == 2
    assert run.scores["value"].notna().all()


def test_a_picture_that_never_fits_is_unavailable_and_says_why(
    photos: Path, tmp_path: Path, small: Small
) -> None:
    # wide.png has 48 x 80 px, more than the others.
    small.most_px = AREA_PX
    codecs = ["small", "jpeg:q=40"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = evaluate(suite(photos, codecs=codecs), tmp_path / "run", "command", quiet)
    failed = run.scores[run.scores["value"].isna()]
    assert set(failed["image_id"]) == {"wide.png"}
    assert set(failed["codec"]) == {"small"}
    reasons = {entry.reason for entry in run.record.unavailable}
    assert reasons == {"small failed: CUDA out of memory. Tried to allocate 9 GiB."}
    assert run.record.notes == ()


@pytest.mark.parametrize("stage", ["prepare", "compare"])
def test_a_metric_that_takes_too_much_halves_the_batch_too(
    photos: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    whole = evaluate(suite(photos), tmp_path / "whole", "command", quiet)
    usual = getattr(PSNR, stage)

    def greedy(self: PSNR, *given: Any, **named: Any) -> Any:
        if given[-1].shape[0] > 1 or given[-1].shape[2] == 48:
            raise torch.OutOfMemoryError(MESSAGE)
        return usual(self, *given, **named)

    monkeypatch.setattr(PSNR, stage, greedy)
    with pytest.warns(MemoryWarning):
        run = evaluate(suite(photos, batch_size=2), tmp_path / "run", "command", quiet)
    missing = run.scores["value"].isna()
    assert set(run.scores[missing]["image_id"]) == {"wide.png"}
    assert set(run.scores[missing]["variant"]) == {"psnr/rgb8"}
    assert np.array_equal(values(run)[~missing], values(whole)[~missing])
    (entry,) = run.record.unavailable
    assert entry.reason == (
        "the device's memory ran out: CUDA out of memory. Tried to allocate 9 GiB."
    )


def test_pictures_that_do_not_fit_the_device_at_all(
    photos: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = evaluate_module.from_levels

    def full(pictures: Any, device: Any) -> torch.Tensor:
        if pictures[0].shape[0] == 48:
            raise torch.OutOfMemoryError(MESSAGE)
        return upload(pictures, device)

    monkeypatch.setattr(evaluate_module, "from_levels", full)
    run = evaluate(suite(photos), tmp_path / "run", "command", quiet)
    assert {entry.image_id for entry in run.record.unavailable} == {"wide.png"}
    assert run.scores["value"].isna().sum() == 2


def test_a_codec_that_fails_on_a_batch_alone_is_tried_picture_by_picture(
    photos: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(suite(photos), tmp_path / "whole", "command", quiet)
    encode = small.encode

    def one_at_a_time(images: torch.Tensor) -> Encoded:
        encoded = encode(images)
        if len(images) > 1:
            raise RuntimeError("batches are not for this one")
        return encoded

    monkeypatch.setattr(small, "encode", one_at_a_time)
    small.batches.clear()
    run = evaluate(suite(photos, batch_size=4), tmp_path / "run", "command", quiet)
    assert small.batches == [4, 1, 1, 1, 1, 1]
    assert np.array_equal(values(run), values(whole))


def test_threads_and_batches_change_no_number(photos: Path, tmp_path: Path, small: Small) -> None:
    before = torch.get_num_threads()
    codecs = ["small", "jpeg:q=40", "demo-f8c4:device=cpu"]
    fields = {"codecs": codecs, "metrics": ["psnr", "ssim"], "size": 136, "fit": "pad"}
    runs: list[StoredRun] = []
    try:
        for threads, batch_size in ((1, 1), (2, 4)):
            torch.set_num_threads(threads)
            asked = suite(photos, batch_size=batch_size, **fields)
            runs.append(evaluate(asked, tmp_path / f"{threads}", "command", quiet))
    finally:
        torch.set_num_threads(before)
    assert np.allclose(values(runs[0]), values(runs[1]), rtol=0, atol=1e-6)


def test_the_order_of_the_files_changes_no_number(photos: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    turned.mkdir()
    pictures = sorted(path for path in photos.rglob("*.png") if path.name != "broken.png")
    for index, path in enumerate(reversed(pictures)):
        Image.open(path).save(turned / f"{index}.png")
    codecs = ["demo-f8c4:device=cpu,posterior=sample", "jpeg:q=40"]
    fields = {"codecs": codecs, "metrics": ["psnr"], "batch_size": 2}
    one = evaluate(suite(photos, **fields), tmp_path / "one", "command", quiet)
    two = evaluate(suite(turned, **fields), tmp_path / "two", "command", quiet)
    names = {
        path.relative_to(photos).as_posix(): f"{index}.png"
        for index, path in enumerate(reversed(pictures))
    }
    renamed = one.scores.assign(image_id=one.scores["image_id"].map(names))
    both = renamed.merge(two.scores, on=["image_id", "codec", "variant"])
    assert len(both) == len(one.scores) == len(two.scores)
    assert np.allclose(both["value_x"], both["value_y"], rtol=0, atol=1e-6)


def test_a_part_is_written_only_when_its_pictures_are(
    photos: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map of one picture cannot be written: it is not finished, and the run says why."""
    from vaebench.bench.scoring import batches

    write = batches.write_atomic

    def full(path: Path, data: bytes) -> None:
        if path.name == "c.png.png":
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(batches, "write_atomic", full)
    folder = tmp_path / "run"
    with pytest.raises(OSError, match="No space left"):
        evaluate(suite(photos), folder, "command", quiet)
    assert finished_images(folder) == {"a.png", "b.png"}
    monkeypatch.setattr(batches, "write_atomic", write)
    assert resume(folder, quiet).record.finished


def test_a_picture_that_is_gone_stops_the_run_and_the_earlier_are_finished(
    photos: Path, tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "MOST_BYTES", 0)

    def remove(phase: str, done: int, total: int) -> None:
        if phase == "scoring":
            (photos / "c.png").unlink(missing_ok=True)

    with pytest.raises(ImageError, match=r"c\.png: there is no such file"):
        evaluate(suite(photos), tmp_path / "run", "command", remove)
    assert finished_images(tmp_path / "run") == {"a.png", "b.png"}
