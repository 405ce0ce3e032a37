"""The shipped checkpoints: format, size, health of latents and activations, and quality."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from safetensors.torch import load_file
from vaebench.bench.codecs.demo import DEMO_CHECKPOINTS

SIZE_LIMIT_BYTES = 4_000_000
FLOAT16_MAX = 65504.0
LATENT_CHANNELS = {"demo-f8c4": 4, "demo-f8c16": 16}
PSNR_BOUND_DB = {"demo-f8c4": 26.4, "demo-f8c16": 30.2}
"""Half a decibel below what the three pictures give; README.md has the means over all."""

PICTURES = ("kodim05.png", "kodim15.png", "kodim23.png")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=sorted(DEMO_CHECKPOINTS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str) -> AutoencoderKL:
    loaded, report = AutoencoderKL.from_pretrained(
        DEMO_CHECKPOINTS[name], output_loading_info=True, torch_dtype=torch.float32
    )
    assert not any(report.values()), report
    return loaded.eval()


def levels(path: Path) -> torch.Tensor:
    """Return float32 [1, 3, H, W] in 0..255."""
    return torch.tensor(np.asarray(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float()


@torch.no_grad()
def encode(model: AutoencoderKL, picture: torch.Tensor) -> torch.Tensor:
    return model.encode(picture / 127.5 - 1.0).latent_dist.mode()


@torch.no_grad()
def roundtrip_psnr_db(model: AutoencoderKL, picture: torch.Tensor) -> float:
    decoded = model.decode(encode(model, picture)).sample
    rounded = ((decoded.clamp(-1.0, 1.0) + 1.0) * 127.5).round()
    return 10 * math.log10(255.0**2 / (rounded - picture).square().mean().item())


def middle(picture: torch.Tensor, side_px: int = 384) -> torch.Tensor:
    """Return the picture's middle square: most of its variety for half of the time."""
    top, left = ((side - side_px) // 2 for side in picture.shape[-2:])
    return picture[..., top : top + side_px, left : left + side_px]


def test_every_checkpoint_is_known() -> None:
    assert set(DEMO_CHECKPOINTS) == set(LATENT_CHANNELS)


def test_checkpoint_is_small_and_half_precision(name: str) -> None:
    files = sorted(path.name for path in DEMO_CHECKPOINTS[name].iterdir())
    assert files == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert sum(path.stat().st_size for path in DEMO_CHECKPOINTS[name].iterdir()) < SIZE_LIMIT_BYTES
    stored = load_file(DEMO_CHECKPOINTS[name] / "diffusion_pytorch_model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}


def test_config_names_no_folder(name: str) -> None:
    config = json.loads((DEMO_CHECKPOINTS[name] / "config.json").read_text())
    assert config["latent_channels"] == LATENT_CHANNELS[name]
    assert "_name_or_path" not in config


@torch.no_grad()
def test_latents_are_an_eighth_of_the_picture(name: str, model: AutoencoderKL) -> None:
    noise = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)) * 255
    latents = encode(model, noise)
    assert latents.shape == (1, LATENT_CHANNELS[name], 64, 64)
    reconstruction = model.decode(latents).sample
    assert reconstruction.shape == noise.shape
    assert reconstruction.isfinite().all()


@pytest.fixture(scope="module")
def passed(model: AutoencoderKL, kodak: Path) -> tuple[list[float], dict[str, float]]:
    """Each picture's PSNR in dB, and the largest absolute output of each layer."""
    largest: dict[str, float] = {}

    def watch(layer: str) -> Callable[[object, object, torch.Tensor], None]:
        def keep(module: object, inputs: object, output: torch.Tensor) -> None:
            largest[layer] = max(largest.get(layer, 0.0), output.abs().max().item())

        return keep

    hooks = [
        module.register_forward_hook(watch(layer))
        for layer, module in model.named_modules()
        if layer and not list(module.children())
    ]
    psnr_db = [roundtrip_psnr_db(model, levels(kodak / picture)) for picture in PICTURES]
    for hook in hooks:
        hook.remove()
    return psnr_db, largest


def test_activations_fit_half_precision(passed: tuple[list[float], dict[str, float]]) -> None:
    largest = passed[1]
    worst = max(largest, key=largest.__getitem__)
    assert largest[worst] < FLOAT16_MAX / 4, worst


def test_reconstruction_is_good(name: str, passed: tuple[list[float], dict[str, float]]) -> None:
    assert np.mean(passed[0]) > PSNR_BOUND_DB[name]


def test_kodak_latents_are_scaled_and_alive(model: AutoencoderKL, kodak: Path) -> None:
    paths = sorted(kodak.glob("*.png"))
    latents = torch.cat([encode(model, middle(levels(path)))[0].flatten(1) for path in paths], 1)
    assert 0.9 < latents.std().item() * model.config.scaling_factor < 1.1
    channels = latents.std(dim=1)
    assert channels.min() > 0.1 * channels.median()
