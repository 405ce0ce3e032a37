from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLCosmos,
    AutoencoderKLFlux2,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    AutoencoderTiny,
)
from vaebench.bench.codecs.autoencoder.scaling import has_statistics, scale_latents, unscale_latents
from vaebench.bench.records import CodecInfo

from_kl = {
    "block_out_channels": (32,),
    "latent_channels": 4,
}


def wan():
    return AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[True],
        latents_mean=[0.5, -1.0, 2.0, 0.0],
        latents_std=[2.0, 4.0, 0.5, 1.0],
    )


def flux2():
    torch.manual_seed(0)
    model = AutoencoderKLFlux2(
        block_out_channels=(32,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        latent_channels=4,
    )
    model.bn.running_mean.normal_()
    model.bn.running_var.uniform_(0.5, 2)
    return model


def ltx():
    model = AutoencoderKLLTXVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        patch_size=1,
        scaling_factor=0.5,
    )
    model.latents_mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    model.latents_std.copy_(torch.tensor([1.0, 2.0, 4.0, 8.0]))
    return model


def cosmos():
    return AutoencoderKLCosmos(
        latent_channels=4,
        encoder_block_out_channels=(8, 8, 8, 8),
        decode_block_out_channels=(8, 8, 8, 8),
        num_layers=1,
        # Channel by channel, two latent frames each.
        latents_mean=[1.0, -9.0, 2.0, -9.0, 3.0, -9.0, 4.0, -9.0],
        latents_std=[2.0, 9.0, 2.0, 9.0, 2.0, 9.0, 4.0, 9.0],
    )


MODELS = {
    "scale and shift": lambda: AutoencoderKL(**from_kl, scaling_factor=0.3611, shift_factor=0.1159),
    "statistics and scale": lambda: AutoencoderKL(
        **from_kl,
        scaling_factor=0.5,
        latents_mean=[1.0, 2.0, 3.0, 4.0],
        latents_std=[1.0, 2.0, 4.0, 8.0],
    ),
    "tiny": lambda: AutoencoderTiny(),
    "wan": wan,
    "flux2": flux2,
    "ltx": ltx,
    "cosmos": cosmos,
}


def expected(name, z):
    """Return what the class's pipeline of diffusers 0.42 hands to its diffusion model."""
    channel = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1)
    spread = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 4, 1, 1)
    if name == "scale and shift":
        return (z - 0.1159) * 0.3611
    if name in ("statistics and scale", "ltx"):
        return (z - channel) * 0.5 / spread
    if name == "wan":
        mean = torch.tensor([0.5, -1.0, 2.0, 0.0]).view(1, 4, 1, 1)
        return (z - mean) / torch.tensor([2.0, 4.0, 0.5, 1.0]).view(1, 4, 1, 1)
    if name == "cosmos":
        return (z - channel) / torch.tensor([2.0, 2.0, 2.0, 4.0]).view(1, 4, 1, 1)
    if name == "flux2":
        norm = flux2().bn
        patches = z.view(2, 4, 3, 2, 4, 2).permute(0, 1, 3, 5, 2, 4).reshape(2, 16, 3, 4)
        spread = torch.sqrt(norm.running_var + 1e-4).view(1, 16, 1, 1)
        return (patches - norm.running_mean.view(1, 16, 1, 1)) / spread
    return z


@pytest.mark.parametrize("name", MODELS)
def test_scaled_latents_are_those_of_the_pipelines(name):
    model = MODELS[name]()
    z = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    scaled = scale_latents(z, model)
    torch.testing.assert_close(scaled, expected(name, z), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(unscale_latents(scaled, model), z, atol=1e-5, rtol=1e-5)
    plain = name in ("scale and shift", "tiny")
    assert has_statistics(model) is not plain


def test_an_info_scales_as_well():
    info = CodecInfo("it", "any", "it", {}, scaling_factor=2.0, shift_factor=0.5)
    z = torch.randn(1, 4, 2, 2)
    assert torch.equal(scale_latents(z, info), (z - 0.5) * 2)
    assert torch.equal(scale_latents(z, CodecInfo("it", "any", "it", {})), z)


def test_statistics_follow_the_latents_precision():
    assert scale_latents(torch.zeros(1, 4, 2, 2, dtype=torch.bfloat16), wan()).dtype == (
        torch.bfloat16
    )


def test_a_model_that_normalises_itself_is_left_alone():
    model = SimpleNamespace(
        config={"scaling_factor": 3.0, "latents_mean": [1.0], "latents_std": [2.0]},
        _normalize_latents=None,
        _latents_mean=None,
    )
    z = torch.randn(1, 4, 2, 2)
    assert torch.equal(scale_latents(z, model), z)
