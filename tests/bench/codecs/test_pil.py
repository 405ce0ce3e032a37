import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, AutoencoderTiny
from PIL import Image
from vaebench.bench.codecs import latents_to_pil, open_codec, pil_to_latents
from vaebench.bench.codecs.tensors import from_pil, to_pil
from vaebench.bench.errors import CodecError


def picture(seed=0, size=(48, 32), mode="RGB"):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def pixels_of(image):
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255


def kl():
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    ).eval()


def tiny():
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    ).eval()


def wan():
    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[True],
        latents_mean=[0.5, -1.0, 2.0, 0.0],
        latents_std=[2.0, 4.0, 0.5, 1.0],
        scale_factor_spatial=2,
    ).eval()


@torch.no_grad()
def by_hand(model, image):
    """Return scaled latents and the reconstruction in [0, 1], spelled out for each class."""
    x = pixels_of(image) * 2 - 1
    if isinstance(model, AutoencoderTiny):
        raw = scaled = model.encode(x).latents
    elif isinstance(model, AutoencoderKLWan):
        raw = model.encode(x[:, :, None]).latent_dist.mode()
        mean = torch.tensor([0.5, -1.0, 2.0, 0.0]).view(1, 4, 1, 1, 1)
        scaled = ((raw - mean) / torch.tensor([2.0, 4.0, 0.5, 1.0]).view(1, 4, 1, 1, 1))[:, :, 0]
    else:
        raw = model.encode(x).latent_dist.mode()
        scaled = (raw - 0.1159) * 0.3611
    decoded = model.decode(raw).sample
    return scaled, (decoded[:, :, 0] if decoded.ndim == 5 else decoded) / 2 + 0.5


@pytest.mark.parametrize("make", [kl, tiny, wan])
def test_range_scaling_and_rounding_are_right(make):
    model, image = make(), picture()
    scaled, reconstruction = by_hand(model, image)
    latents = pil_to_latents(image, model)
    torch.testing.assert_close(latents, scaled, atol=1e-5, rtol=1e-4)
    (back,) = latents_to_pil(latents, model)
    levels = np.asarray(back).astype(int)
    expected = (reconstruction[0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    assert back.size == image.size
    assert back.mode == "RGB"
    # Rounded: never further than half a level from the float; truncation would go up to one.
    assert np.abs(levels - expected).max() <= 0.5 + 1e-2


@pytest.mark.parametrize("make", [kl, tiny, wan])
def test_a_codec_does_as_well_as_its_model(make, tmp_path):
    model, image = make(), picture()
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {})
    latents = pil_to_latents(image, codec)
    torch.testing.assert_close(latents, pil_to_latents(image, model))
    decoded = codec.decode(codec.encode(pixels_of(image)))
    (back,) = latents_to_pil(latents, codec)
    levels = (decoded[0].clamp(0, 1) * 255).permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(back).astype(int) - levels).max() <= 0.5 + 1e-2


def test_taef2_reconstructs_a_photograph(shared, kodak):
    codec = open_codec("taef2", str(shared / "weights" / "taef2"), {})
    with Image.open(kodak / "kodim23.png") as opened:
        image = opened.crop((200, 100, 328, 196))
    latents = pil_to_latents(image, codec)
    assert latents.shape == (1, 32, 12, 16)
    (back,) = latents_to_pil(latents, codec)
    error = np.asarray(back).astype(float) - np.asarray(image)
    assert np.sqrt((error**2).mean()) < 255 / 10 ** (28 / 20)


def test_a_list_is_a_batch():
    model, images = tiny(), [picture(seed) for seed in range(3)]
    latents = pil_to_latents(images, model)
    assert latents.shape == (3, 4, 8, 12)
    for index, image in enumerate(images):
        torch.testing.assert_close(latents[index], pil_to_latents(image, model)[0])
    assert len(latents_to_pil(latents, model)) == 3


def test_other_modes_become_rgb():
    model = tiny()
    grey = picture(mode="L")
    assert torch.equal(pil_to_latents(grey, model), pil_to_latents(grey.convert("RGB"), model))


def test_the_models_precision_is_kept():
    model = tiny().to(torch.bfloat16)
    latents = pil_to_latents(picture(), model)
    assert latents.dtype == torch.bfloat16
    assert len(latents_to_pil(latents.float(), model)) == 1


def test_pictures_of_two_sizes_are_no_batch():
    with pytest.raises(CodecError) as error:
        pil_to_latents([picture(), picture(size=(32, 32))], tiny())
    assert str(error.value) == (
        "Pictures of one size are expected in a batch, got [(32, 32), (48, 32)]."
    )
    with pytest.raises(CodecError, match=r"got \[\]"):
        pil_to_latents([], tiny())


def test_a_classical_codec_has_no_latents():
    with pytest.raises(CodecError, match=r"^jpeg has no latents: its code is a file's bytes\.$"):
        pil_to_latents(picture(), open_codec("jpeg", "jpeg", {}))


def test_eight_bits_are_reached_by_rounding():
    values = torch.tensor([-0.2, 0.4, 0.6, 127.49, 127.51, 254.6, 300]) / 255
    (image,) = to_pil(values.view(1, 1, 1, 7).expand(1, 3, 1, 7))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 127, 128, 255, 255]


def test_pixels_survive_the_way_there_and_back():
    image = picture()
    assert np.array_equal(np.asarray(to_pil(from_pil([image]))[0]), np.asarray(image))
