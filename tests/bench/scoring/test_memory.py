"""The computer's memory running out is told as a GPU's is, and costs what a GPU's does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vaebench.bench.codecs.classical import FileCodec
from vaebench.bench.scoring.devices import memory_told
from vaebench.bench.scoring.evaluate import MemoryWarning, evaluate
from vaebench.bench.suite import Suite
from vaebench.metrics.psnr import PSNR

TORCH = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 9000000000 bytes. Error code 12 (Cannot allocate memory)"
)


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def suite(photos: Path, batch_size: int) -> Suite:
    return Suite.create(
        images=[str(photos)], codecs=["png"], metrics=["psnr", "mae"], batch_size=batch_size
    )


@pytest.mark.parametrize("error", [TORCH, MemoryError(), torch.OutOfMemoryError("CUDA")])
def test_memory_that_ran_out_is_one_error(error: Exception) -> None:
    with pytest.raises(torch.OutOfMemoryError), memory_told():
        raise error


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes") as told, memory_told():
        raise RuntimeError("shapes cannot be multiplied")
    assert type(told.value) is RuntimeError


def test_torch_itself_is_understood() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="allocate"), memory_told():
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize("stage", ["prepare", "compare"])
def test_a_metric_that_takes_too_much_halves_the_batch(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    whole = evaluate(suite(photos, 1), tmp_path / "whole", "command", quiet)
    usual = getattr(PSNR, stage)

    def greedy(self: PSNR, *given: Any, **named: Any) -> Any:
        if given[-1].shape[0] > 1 or given[-1].shape[2] == 48:
            raise TORCH
        return usual(self, *given, **named)

    monkeypatch.setattr(PSNR, stage, greedy)
    with pytest.warns(MemoryWarning, match="the run went on with at most 1"):
        run = evaluate(suite(photos, 2), tmp_path / "run", "command", quiet)
    missing = run.scores["value"].isna()
    assert set(run.scores[missing]["image_id"]) == {"wide.png"}
    kept = run.scores["value"].to_numpy()[~missing]
    assert np.array_equal(kept, whole.scores["value"].to_numpy()[~missing])
    (entry,) = run.record.unavailable
    assert entry.reason.startswith("the device's memory ran out: [enforce fail")


def test_a_codec_without_memory_for_a_picture_costs_that_picture(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = FileCodec.encode

    def greedy(self: FileCodec, images: torch.Tensor) -> Any:
        if images.shape[0] > 1 or images.shape[2] == 48:
            raise MemoryError
        return encode(self, images)

    monkeypatch.setattr(FileCodec, "encode", greedy)
    with pytest.warns(MemoryWarning):
        run = evaluate(suite(photos, 2), tmp_path / "run", "command", quiet)
    missing = run.scores["value"].isna()
    assert set(run.scores[missing]["image_id"]) == {"wide.png"}
    assert run.unavailable["reason"].unique().tolist() == [
        "png failed: the computer's memory ran out"
    ]
