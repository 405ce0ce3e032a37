import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import diffusers
import pytest
import torch
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.autoencoder import network
from vaebench.bench.errors import CodecError

KL_BLOCKS = {
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}
STATISTICS = {"latents_mean": [0.1, 0.2, -0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 1.5]}


@dataclass(frozen=True)
class Case:
    """A small model of a class, and how diffusers itself is asked for one picture."""

    config: dict[str, Any]
    factor: int
    is_video: bool = False
    decode: dict[str, Any] = field(default_factory=dict)


CASES = {
    "AutoencoderKL": Case(
        {"block_out_channels": [32, 64], "latent_channels": 4, "shift_factor": 0.1, **KL_BLOCKS}, 2
    ),
    "AutoencoderTiny": Case(
        {
            "encoder_block_out_channels": [8, 8, 8],
            "decoder_block_out_channels": [8, 8, 8],
            "num_encoder_blocks": [1, 1, 1],
            "num_decoder_blocks": [1, 1, 1],
        },
        4,
    ),
    "AsymmetricAutoencoderKL": Case(
        {
            "down_block_types": ["DownEncoderBlock2D"] * 2,
            "down_block_out_channels": [32, 32],
            "up_block_types": ["UpDecoderBlock2D"] * 2,
            "up_block_out_channels": [32, 64],
        },
        2,
    ),
    "VQModel": Case(
        {"block_out_channels": [32, 64], "num_vq_embeddings": 100, **KL_BLOCKS},
        2,
    ),
    "AutoencoderDC": Case(
        {
            "latent_channels": 8,
            "attention_head_dim": 8,
            "encoder_block_types": ["ResBlock", "EfficientViTBlock"],
            "decoder_block_types": ["ResBlock", "EfficientViTBlock"],
            "encoder_block_out_channels": [16, 16],
            "decoder_block_out_channels": [16, 16],
            "encoder_layers_per_block": [1, 1],
            "decoder_layers_per_block": [1, 1],
            "encoder_qkv_multiscales": [[], [5]],
            "decoder_qkv_multiscales": [[], [5]],
            "upsample_block_type": "interpolate",
            "downsample_block_type": "stride_conv",
            "scaling_factor": 0.41407,
        },
        2,
    ),
    "AutoencoderKLFlux2": Case(
        {"block_out_channels": [32, 64], "latent_channels": 4, **KL_BLOCKS}, 2
    ),
    "AutoencoderKLQwenImage": Case(
        {
            "base_dim": 8,
            "z_dim": 4,
            "dim_mult": [1, 2],
            "num_res_blocks": 1,
            "temperal_downsample": [True],
            **STATISTICS,
        },
        2,
        is_video=True,
    ),
    "AutoencoderKLQwenImage21": Case(
        {
            "base_dim": 8,
            "decoder_base_dim": 8,
            "z_dim": 4,
            "dim_mult": [1, 2, 2],
            "num_res_blocks": 1,
            "temperal_downsample": [False, True],
            "scale_factor_spatial": 4,
            "scale_factor_temporal": 2,
            **STATISTICS,
        },
        4,
        is_video=True,
    ),
    "AutoencoderKLWan": Case(
        {
            "base_dim": 8,
            "z_dim": 4,
            "dim_mult": [1, 2],
            "num_res_blocks": 1,
            "temperal_downsample": [True],
            "scale_factor_spatial": 2,
            **STATISTICS,
        },
        2,
        is_video=True,
    ),
    "AutoencoderKLHunyuanVideo": Case(
        {
            "latent_channels": 4,
            "block_out_channels": [8, 8, 8, 8],
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
        8,
        is_video=True,
    ),
    "AutoencoderKLHunyuanVideo15": Case(
        {
            "latent_channels": 4,
            "block_out_channels": [8, 16, 16],
            "layers_per_block": 1,
            "spatial_compression_ratio": 4,
            "temporal_compression_ratio": 2,
        },
        4,
        is_video=True,
    ),
    "AutoencoderKLHunyuanImage": Case(
        {
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "block_out_channels": [32, 64, 64],
            "layers_per_block": 1,
            "spatial_compression_ratio": 4,
            "sample_size": 64,
            "scaling_factor": 0.75,
        },
        4,
    ),
    "AutoencoderKLHunyuanImageRefiner": Case(
        {
            "latent_channels": 4,
            "block_out_channels": [8, 16, 16],
            "layers_per_block": 1,
            "spatial_compression_ratio": 4,
            "temporal_compression_ratio": 2,
        },
        4,
        is_video=True,
    ),
    "AutoencoderKLLTXVideo": Case(
        {
            "latent_channels": 8,
            "block_out_channels": [8, 8, 8, 8],
            "decoder_block_out_channels": [8, 8, 8, 8],
            "layers_per_block": [1] * 5,
            "decoder_layers_per_block": [1] * 5,
            "spatio_temporal_scaling": [True, True, False, False],
            "decoder_spatio_temporal_scaling": [True, True, False, False],
            "patch_size": 1,
            "timestep_conditioning": True,
        },
        4,
        is_video=True,
        decode={"temb": torch.zeros(1)},
    ),
    "AutoencoderKLLTX2Video": Case(
        {
            "latent_channels": 8,
            "block_out_channels": [8, 8, 8, 8],
            "decoder_block_out_channels": [8, 16, 32],
            "layers_per_block": [1] * 5,
            "decoder_layers_per_block": [1] * 4,
            "patch_size": 2,
            "spatio_temporal_scaling": [True] * 4,
        },
        16,
        is_video=True,
    ),
    "AutoencoderKLCogVideoX": Case(
        {
            "block_out_channels": [8, 8, 8, 8],
            "latent_channels": 4,
            "layers_per_block": 1,
            "norm_num_groups": 2,
        },
        8,
        is_video=True,
    ),
    "AutoencoderKLCosmos": Case(
        {
            "latent_channels": 4,
            "encoder_block_out_channels": [8, 8, 8, 8],
            "decode_block_out_channels": [8, 8, 8, 8],
            "attention_resolutions": [8],
            "resolution": 64,
            "num_layers": 1,
            "spatial_compression_ratio": 4,
            "temporal_compression_ratio": 4,
            "latents_mean": [0.1] * 8,
            "latents_std": [2.0] * 8,
        },
        4,
        is_video=True,
    ),
    "AutoencoderKLMochi": Case(
        {
            "latent_channels": 4,
            "encoder_block_out_channels": [32, 32, 32, 32],
            "decoder_block_out_channels": [32, 32, 32, 32],
            "layers_per_block": [1] * 5,
            **STATISTICS,
        },
        8,
        is_video=True,
    ),
    "AutoencoderKLMagvit": Case(
        {
            "latent_channels": 4,
            "block_out_channels": [8, 8, 8, 8],
            "norm_num_groups": 2,
            "layers_per_block": 1,
        },
        8,
        is_video=True,
    ),
    "AutoencoderKLTemporalDecoder": Case(
        {"block_out_channels": [32, 64], "down_block_types": ["DownEncoderBlock2D"] * 2},
        2,
        decode={"num_frames": 1},
    ),
    "AutoencoderKLKVAE": Case(
        {
            "channels": 32,
            "num_enc_blocks": 1,
            "num_dec_blocks": 1,
            "z_channels": 4,
            "ch_mult": [1, 2],
        },
        2,
    ),
    "AutoencoderKLKVAEVideo": Case(
        {
            "ch": 32,
            "num_res_blocks": 1,
            "z_channels": 4,
            "ch_mult": [1, 2],
            "temporal_compress_times": 2,
        },
        2,
        is_video=True,
    ),
    "Kandinsky6SRVAE": Case(
        {
            "latent_channels": 4,
            "encoder_block_out_channels": [32, 32],
            "decoder_block_out_channels": [32, 32],
            "layers_per_block": 1,
            "temporal_compression_ratio": 2,
        },
        2,
        is_video=True,
    ),
}


def small_model(name):
    case = CASES[name]
    if not hasattr(diffusers, name):
        pytest.skip(f"diffusers {diffusers.__version__} has no {name}")
    torch.manual_seed(0)
    return case, getattr(diffusers, name)(**case.config).eval()


@torch.no_grad()
def ask_diffusers(case, model, image):
    """Return latents and reconstruction of one picture, by the class's own methods alone."""
    pixels = image * 2 - 1
    if model.config.get("in_channels") == 4:
        pixels = torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)
    output = model.encode(pixels[:, :, None] if case.is_video else pixels)
    if hasattr(output, "latent_dist"):
        latents = output.latent_dist.mode()
    else:
        latents = output.latents if hasattr(output, "latents") else output.latent
    decoded = model.decode(latents, **case.decode).sample
    if case.is_video:
        latents, decoded = latents[:, :, 0], decoded[:, :, 0]
    return latents, decoded[:, :3] / 2 + 0.5


@pytest.mark.parametrize("name", CASES)
def test_every_class_answers_as_diffusers_does(name, tmp_path):
    case, model = small_model(name)
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {})
    images = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    encoded = codec.encode(images)
    decoded = codec.decode(encoded)
    for index in range(2):
        latents, expected = ask_diffusers(case, model, images[index : index + 1])
        torch.testing.assert_close(encoded.latents[index], latents[0], atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(decoded[index], expected[0], atol=2e-5, rtol=1e-4)
    info = codec.info
    assert info.spatial_factor == info.multiple_px == case.factor
    assert encoded.latents.shape[1:] == (info.latent_channels, 32 // case.factor, 64 // case.factor)
    assert info.params == sum(parameter.numel() for parameter in model.parameters())
    assert info.scaling_factor == model.config.get("scaling_factor")
    assert decoded.dtype == torch.float32


def test_representation_autoencoder_takes_its_own_size_alone(tmp_path):
    torch.manual_seed(0)
    model = diffusers.AutoencoderRAE(
        encoder_type="mae",
        encoder_hidden_size=64,
        encoder_patch_size=8,
        encoder_num_hidden_layers=1,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        patch_size=8,
        encoder_input_size=32,
    ).eval()
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {})
    images = torch.rand(2, 3, 32, 32)
    encoded = codec.encode(images)
    with torch.no_grad():
        latents = model.encode(images).latent
        expected = model.decode(latents).sample
    assert codec.info.multiple_px == 32
    torch.testing.assert_close(encoded.latents, latents)
    torch.testing.assert_close(codec.decode(encoded), expected)
    with pytest.raises(CodecError) as error:
        codec.encode(torch.rand(1, 3, 32, 64))
    assert str(error.value) == (
        "Cannot encode 64×32 px with it: it takes 32×32 px alone. Pass --size 32 --fit crop."
    )


def test_vidtok_gets_its_first_frame_repeated(tmp_path):
    torch.manual_seed(0)
    model = diffusers.AutoencoderVidTok(
        ch=32, ch_mult=[1, 1, 1, 1], z_channels=4, num_res_blocks=1
    ).eval()
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {})
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = model(image[:, :, None] * 2 - 1, sample_posterior=False).sample
    decoded = codec.decode(codec.encode(image))
    torch.testing.assert_close(decoded, expected[:, :, 0] / 2 + 0.5, atol=2e-5, rtol=1e-4)


def test_a_decoder_that_draws_noise_repeats_itself(tmp_path):
    torch.manual_seed(0)
    model = diffusers.ConsistencyDecoderVAE(
        encoder_block_out_channels=(32, 32),
        encoder_down_block_types=("DownEncoderBlock2D",) * 2,
        encoder_layers_per_block=1,
        decoder_block_out_channels=(32, 32),
        decoder_down_block_types=("ResnetDownsampleBlock2D",) * 2,
        decoder_up_block_types=("ResnetUpsampleBlock2D",) * 2,
        decoder_layers_per_block=1,
    ).eval()
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {"seed": 3})
    images = torch.rand(2, 3, 16, 16)
    encoded = codec.encode(images)
    before = torch.get_rng_state()
    decoded = codec.decode(encoded)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        expected = model.decode(
            encoded.latents[1:], generator=torch.Generator().manual_seed(3)
        ).sample
    torch.testing.assert_close(decoded[1:], expected / 2 + 0.5, atol=2e-5, rtol=1e-4)
    assert "the decoder draws noise, here from seed 3 for each picture" in codec.info.notes


def test_classes_that_cannot_do_one_frame_say_so(tmp_path):
    model = diffusers.AutoencoderKLAllegro(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), norm_num_groups=2, layers_per_block=1
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(CodecError, match=r"AutoencoderKLAllegro .* cannot encode and decode one"):
        open_codec("it", str(tmp_path), {})


def test_noise_is_the_seeds_own_in_whatever_thread_it_is_drawn():
    def drawn(seed):
        with network._seeded(seed, torch.device("cpu")):
            time.sleep(0.01)
            return torch.randn(3).tolist()

    seeds = [1, 2, 3, 4] * 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(drawn, seeds)) == [drawn(seed) for seed in seeds]
