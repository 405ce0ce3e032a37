from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, VQModel
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.autoencoder.network import decode_latents, encode_images
from vaebench.bench.errors import CodecError


def vq():
    torch.manual_seed(0)
    return VQModel(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        num_vq_embeddings=100,
    ).eval()


def tiny():
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    ).eval()


def test_bits_are_elements_times_precision(kl_folder, images):
    for dtype, bits in (("float32", 32), ("bfloat16", 16)):
        encoded = open_codec("it", str(kl_folder), {"dtype": dtype}).encode(images)
        assert encoded.nbits == (4 * 16 * 24 * bits,) * 3
        assert encoded.latents.element_size() * 8 == bits


def test_a_quantised_model_stores_indices(tmp_path, images):
    model = vq()
    model.save_pretrained(tmp_path)
    encoded = open_codec("it", str(tmp_path), {}).encode(images)
    # 100 entries need 7 bits.
    assert encoded.nbits == (16 * 24 * 7,) * 3


def test_tiny_does_not_quantise_its_latents(tmp_path, images):
    model = tiny()
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {})
    decoded = codec.decode(codec.encode(images))
    with torch.no_grad():
        forward = model(images * 2 - 1).sample / 2 + 0.5
    assert float((decoded - forward).abs().max()) > 1e-5


def test_a_sample_depends_on_the_picture_and_the_seed_alone(kl, kl_folder, images):
    def sample(seed, pictures):
        settings = {"posterior": "sample", "seed": seed}
        return open_codec("it", str(kl_folder), settings).encode(pictures).latents

    together = sample(7, images)
    torch.testing.assert_close(sample(7, images.flip(0)).flip(0), together, atol=1e-5, rtol=1e-4)
    for index in range(3):
        alone = sample(7, images[index : index + 1])
        torch.testing.assert_close(alone[0], together[index], atol=1e-5, rtol=1e-4)
    assert float((sample(8, images) - together).abs().max()) > 0.1
    with torch.no_grad():
        posterior = kl.encode(images * 2 - 1).latent_dist
    noise = (together - posterior.mode()) / posterior.std
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float((noise[0] - noise[1]).abs().max()) > 0.1


def test_a_class_without_a_posterior_has_none_to_sample(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    with pytest.raises(CodecError) as error:
        open_codec("it", str(tmp_path), {"posterior": "sample"})
    assert str(error.value) == (
        "Cannot open it: AutoencoderTiny has no posterior to sample from. Pass posterior=mode."
    )


@pytest.mark.parametrize("settings", [{"slicing": True}, {"channels_last": True}])
def test_ways_to_run_change_nothing(kl_folder, images, settings):
    plain = open_codec("it", str(kl_folder), {})
    other = open_codec("it", str(kl_folder), settings)
    expected = plain.decode(plain.encode(images))
    torch.testing.assert_close(other.decode(other.encode(images)), expected, atol=1e-5, rtol=0)


def test_the_memory_layout_of_a_picture_changes_no_digit(kl_folder, images):
    codec = open_codec("it", str(kl_folder), {"device": "cpu"})
    encoded = codec.encode(images)
    turned = codec.encode(images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(turned.latents, encoded.latents)
    read = replace(encoded, latents=encoded.latents.contiguous())
    assert torch.equal(codec.decode(read), codec.decode(encoded))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_close(tmp_path, images, dtype):
    model = tiny()
    model.save_pretrained(tmp_path)
    full, half = (open_codec("it", str(tmp_path), {"dtype": to}) for to in ("float32", dtype))
    decoded = half.decode(half.encode(images))
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, full.decode(full.encode(images)), atol=0.02, rtol=0)


def test_tiling_is_that_of_diffusers(kl_folder, images):
    codec = open_codec("it", str(kl_folder), {"tiling": True})
    model = AutoencoderKL.from_pretrained(kl_folder)
    model.enable_tiling()
    with torch.no_grad():
        latents = model.encode(images * 2 - 1).latent_dist.mode()
        expected = model.decode(latents).sample / 2 + 0.5
    torch.testing.assert_close(codec.decode(codec.encode(images)), expected, atol=1e-5, rtol=0)


def test_a_class_without_tiling_says_so(tmp_path):
    model = vq()
    model.save_pretrained(tmp_path)
    with pytest.raises(CodecError, match=r"VQModel has no tiling. Leave out tiling.$"):
        open_codec("it", str(tmp_path), {"tiling": True})


def test_compile_compiles_both_halves(kl_folder, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part: compiled.append(type(part)))
    codec = open_codec("it", str(kl_folder), {"compile": True})
    assert compiled == [type(codec.vae.encoder), type(codec.vae.decoder)]


SD1 = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
}


def millions(*modules):
    return round(sum(p.numel() for module in modules for p in module.parameters()) / 1e6, 2)


def test_sd1_has_its_known_size_and_shapes():
    with torch.device("meta"):
        vae = AutoencoderKL(**SD1).eval()
        images = torch.rand(1, 3, 512, 512)
    assert millions(vae) == 83.65
    assert millions(vae.encoder, vae.quant_conv) == 34.16
    assert millions(vae.decoder, vae.post_quant_conv) == 49.49
    with torch.no_grad():
        latents = encode_images(vae, images).mode
        assert latents.shape == (1, 4, 64, 64)
        assert decode_latents(vae, latents, seed=0).shape == (1, 3, 512, 512)


def test_sd1_is_loaded_at_full_size(tmp_path):
    with torch.device("meta"):
        vae = AutoencoderKL(**SD1)
    vae = vae.to_empty(device="cpu").half()
    for parameter in vae.parameters():
        torch.nn.init.zeros_(parameter)
    vae.save_pretrained(tmp_path)
    info = open_codec("sd", str(tmp_path), {}).info
    assert (info.params, info.latent_channels, info.spatial_factor) == (83_653_863, 4, 8)
    assert (info.scaling_factor, info.multiple_px) == (0.18215, 8)
