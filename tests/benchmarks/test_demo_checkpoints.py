"""The demonstration checkpoints' speed.

    python -m pytest tests/benchmarks -n 0 --benchmark-enable --benchmark-autosave
    python -m pytest tests/benchmarks -n 0 --benchmark-enable --benchmark-compare

Without --benchmark-enable each runs once, as a test.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

SIZE_PX = 128


@pytest.mark.parametrize("stage", ["encode", "decode", "roundtrip"])
@pytest.mark.parametrize("codec", ["demo-f8c4", "demo-f8c16"])
def test_a_demonstration_checkpoint(vae_benchmark: Any, codec: str, stage: str) -> None:
    output = vae_benchmark(codec, stage=stage, size=SIZE_PX)
    if stage == "encode":
        channels = int(codec.rpartition("c")[2])
        assert output.latents.shape == (1, channels, SIZE_PX // 8, SIZE_PX // 8)
    else:
        assert output.shape == (1, 3, SIZE_PX, SIZE_PX)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_demonstration_checkpoint_on_a_gpu(vae_benchmark: Any, dtype: str) -> None:
    output = vae_benchmark(f"demo-f8c4:dtype={dtype},device=cuda", stage="roundtrip", size=512)
    assert bool(output.isfinite().all())
