"""A small AutoencoderKL on disk, and random pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

KL_CONFIG: dict[str, Any] = {
    "block_out_channels": [32, 64],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
}


@pytest.fixture(scope="session")
def kl() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(**KL_CONFIG).eval()


@pytest.fixture
def kl_folder(kl: AutoencoderKL, tmp_path: Path) -> Path:
    folder = tmp_path / "kl"
    kl.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    """Three random pictures, float32 [3, 3, 32, 48] in [0, 1]."""
    return torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(1))
