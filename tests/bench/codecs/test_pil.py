import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, AutoencoderTiny
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from vaebench.bench.codecs import latents_to_pil, open_codec, pil_to_latents
from vaebench.bench.codecs.tensors import from_pil, to_pil
from vaebench.bench.errors import CodecError
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.records import CodecInfo, Encoded

from .autoencoder import test_network


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


CLASSES = {
    name: case
    for name, case in test_network.CASES.items()
    # Their latents are indices, or noise is drawn: other tests are about these.
    if name != "VQModel"
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_quantised_codec_of_any_class_scales_as_its_model(name, tmp_path):
    """Playground's, Wan's and Qwen's statistics, and FLUX.2's patches, are the model's."""
    _, model = test_network.small_model(name)
    if name == "AutoencoderKLFlux2":
        model.bn.running_mean.uniform_(-1, 1)
        model.bn.running_var.uniform_(0.5, 2)
    model.save_pretrained(tmp_path)
    image = picture(size=(64, 32))
    base = open_codec("it", str(tmp_path), {})
    fine = open_codec("q", f"quantised({tmp_path})", {"step": 0.004})
    expected = pil_to_latents(image, model)
    torch.testing.assert_close(pil_to_latents(image, base), expected)
    found = pil_to_latents(image, fine)
    assert found.shape == expected.shape
    # Half a step of each channel's deviation.
    error = (found - expected).abs().amax((0, 2, 3))
    spread = expected.std((0, 2, 3), correction=0)
    if name == "AutoencoderKLFlux2":
        # Four of its channels are of one raw channel, whose deviation is theirs together.
        spread = spread.view(-1, 4).amax(1, keepdim=True).expand(-1, 4).flatten() * 3
    assert (error <= 0.0021 * spread.clamp_min(1e-3) + 1e-4).all()
    for codec in (base, fine):
        latents = pil_to_latents(image, codec)
        (back,) = latents_to_pil(latents, codec)
        (direct,) = to_pil(codec.decode(codec.encode(pixels_of(image))))
        levels = np.abs(np.asarray(back).astype(int) - np.asarray(direct))
        assert levels.max() <= 1


def test_a_playground_like_codec_quantised(tmp_path):
    model = AutoencoderKL(
        **{**kl().config, "latents_mean": [-1.6, 1.1, 3.3, -1.0], "latents_std": [8.4, 5.9, 5.9, 5]}
    ).eval()
    model.save_pretrained(tmp_path)
    image = picture()
    with torch.no_grad():
        raw = model.encode(pixels_of(image) * 2 - 1).latent_dist.mode()
    mean, std = (torch.tensor(model.config[key]).view(1, 4, 1, 1) for key in STATISTICS)
    expected = (raw - mean) * 0.3611 / std
    for codec in (model, open_codec("it", f"quantised({tmp_path})", {"step": 0.01})):
        torch.testing.assert_close(pil_to_latents(image, codec), expected, atol=5e-3, rtol=0)


STATISTICS = ("latents_mean", "latents_std")


def test_codecs_of_other_families_come_back(shared, tmp_path):
    image = picture()
    picture(5, (64, 64)).save(tmp_path / "a.png")
    taef2 = str(shared / "weights" / "taef2")
    for source, settings in [
        ("pca", {"c": 4, "f": 8, "fit": str(tmp_path)}),
        (taef2, {}),
        (f"quantised({taef2})", {"bits": 6}),
        ("quantised(demo-f8c4)", {"step": 0.2}),
        ("demo-f8c4", {"posterior": "mode"}),
    ]:
        codec = open_codec("it", source, settings)
        (back,) = latents_to_pil(pil_to_latents(image, codec), codec)
        (direct,) = to_pil(codec.decode(codec.encode(pixels_of(image))))
        assert np.abs(np.asarray(back).astype(int) - np.asarray(direct)).max() <= 1
    for source in ("jpeg", "resize"):
        codec = open_codec("it", source, {"factor": 2} if source == "resize" else {})
        with pytest.raises(CodecError, match="has no latents"):
            latents_to_pil(torch.zeros(1, 4, 4, 4), codec)


def test_a_vector_quantised_model_comes_back(tmp_path):
    _, model = test_network.small_model("VQModel")
    model.save_pretrained(tmp_path)
    image = picture()
    codec = open_codec("it", f"quantised({tmp_path})", {})
    (back,) = latents_to_pil(pil_to_latents(image, codec), codec)
    (direct,) = to_pil(codec.decode(codec.encode(pixels_of(image))))
    assert np.abs(np.asarray(back).astype(int) - np.asarray(direct)).max() <= 1


@pytest.mark.parametrize("size", [(102, 70), (20, 20), (15, 16), (8, 4), (64, 33)])
def test_a_size_that_is_no_multiple_is_refused(size, tmp_path):
    model = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).eval()
    model.save_pretrained(tmp_path)
    for vae in (
        model,
        open_codec("it", str(tmp_path), {}),
        open_codec("it", f"quantised({tmp_path})", {"step": 1}),
    ):
        name = "AutoencoderKL" if vae is model else "it"
        with pytest.raises(CodecError) as caught:
            pil_to_latents(picture(size=size), vae)
        assert str(caught.value) == (
            f"Cannot encode {size[0]}×{size[1]} px with {name}: width and height must be multiples "
            "of 8 px. Crop or pad the picture."
        )


class Seen:
    """A codec that keeps the pixels that it is given."""

    info = CodecInfo("it", "it", "it", {}, latent_channels=3)

    def encode(self, images):
        self.pixels = images
        return Encoded((0,), latents=images)


def levels_of(image):
    codec = Seen()
    pil_to_latents(image, codec)
    assert codec.pixels.dtype == torch.float32
    return (codec.pixels[0].permute(1, 2, 0) * 255).numpy()


def test_pictures_are_taken_as_a_run_takes_them(tmp_path):
    """Of a file and of what Pillow makes of it, in every mode that it has."""
    random = np.random.default_rng(4)
    rgba = Image.fromarray(random.integers(0, 256, (32, 48, 4), dtype=np.uint8), "RGBA")
    deep = random.integers(0, 65536, (32, 48), dtype=np.uint16)
    palette = rgba.convert("RGB").quantize(16)
    palette.info["transparency"] = 3
    pictures = {
        "rgb.png": rgba.convert("RGB"),
        "rgba.png": rgba,
        "la.png": rgba.convert("LA"),
        "l.png": rgba.convert("L"),
        "1.png": rgba.convert("1"),
        "p.png": palette,
        "16.png": Image.fromarray(deep),
        "16.tif": Image.fromarray(deep),
        "cmyk.tif": rgba.convert("RGB").convert("CMYK"),
    }
    for name, image in pictures.items():
        image.save(tmp_path / name)
        expected = read_pixels(tmp_path / name).rgb.astype(np.float32)
        with Image.open(tmp_path / name) as opened:
            for given in (image, opened, tmp_path / name, str(tmp_path / name)):
                np.testing.assert_allclose(levels_of(given), expected, atol=1e-4, err_msg=name)
    # Computed by hand: white below, and 16 bits scaled to 8.
    colour, alpha = np.asarray(rgba)[..., :3].astype(float), np.asarray(rgba)[..., 3:] / 255
    by_hand = np.floor(colour * alpha + 255 * (1 - alpha) + 0.5)
    np.testing.assert_allclose(levels_of(rgba), by_hand, atol=1e-3)
    by_hand = np.floor(deep / 257 + 0.5)[..., None].repeat(3, -1)
    for given in (pictures["16.png"], Image.fromarray(deep.astype(np.int32)), deep):
        np.testing.assert_allclose(levels_of(given), by_hand, atol=1e-3)
    sources = {"PA": "P", "La": "LA", "RGBa": "RGBA", "YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB"}
    for mode, source in sources.items():
        assert levels_of(rgba.convert(source).convert(mode)).shape == (32, 48, 3)


def test_arrays_and_tensors_are_taken():
    levels = np.asarray(picture()).copy()
    chw = torch.from_numpy(levels).permute(2, 0, 1)
    expected = levels.astype(np.float32)
    for given in (
        levels,
        levels[None],
        levels / 255,
        (levels / 255).astype(np.float32),
        levels.astype(np.uint16) * 257,
        chw,
        chw[None],
        chw.float() / 255,
        (chw.double() / 255)[None],
        [levels],
    ):
        np.testing.assert_allclose(levels_of(given), expected, atol=1e-3)
    grey = levels[..., 0]
    for given in (grey, grey[..., None], torch.from_numpy(grey)[None]):
        np.testing.assert_allclose(levels_of(given), grey[..., None].repeat(3, -1), atol=1e-3)
    rgba = np.concatenate([levels, grey[..., None]], axis=-1)
    alpha = grey[..., None] / 255
    by_hand = np.floor(levels * alpha + 255 * (1 - alpha) + 0.5)
    for given in (rgba, rgba / 255, torch.from_numpy(rgba).permute(2, 0, 1)):
        np.testing.assert_allclose(levels_of(given), by_hand, atol=1e-3)
    batch = pil_to_latents([levels, chw, picture()], tiny())
    assert batch.shape == (3, 4, 8, 12)
    torch.testing.assert_close(batch[0], batch[2])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.zeros((3, 32, 48), np.uint8), r"Cannot take \[1, 48, 3, 32\] of torch"),
        (np.zeros((32, 48, 2), np.uint8), "for a picture"),
        (np.zeros((32, 48, 3), np.int64), r"Cannot take \[1, 32, 48, 3\] of int64 for a picture"),
        (np.zeros((0, 48, 3), np.uint8), "for a picture"),
        (np.zeros(5), r"Cannot take \[5\] of float64"),
        (torch.zeros(3, 32, 48) - 1, "values from -1 to -1: floats are expected in"),
        (torch.full((3, 32, 48), 200.0), "values from 200 to 200"),
        (torch.full((3, 32, 48), torch.nan), "values from nan to nan"),
        (torch.zeros(3, 32, 48, dtype=torch.int32), "for a picture"),
        (5, "Cannot take int for a picture"),
        (None, "Cannot take NoneType for a picture"),
        (Image.fromarray(np.full((32, 48), 70000, np.int32)), "levels from 70000 to 70000"),
    ],
    # Not by how a picture is written: its address differs from process to process.
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_picture_is_refused(given, reason):
    with pytest.raises(CodecError, match=reason):
        pil_to_latents(given, Seen())


def test_pixels_are_mapped_before_they_are_rounded_to_few_bits(tmp_path):
    """As diffusers' VaeImageProcessor does: 2·x - 1 in float32, then bfloat16."""
    model = kl()
    model.save_pretrained(tmp_path)
    codec = open_codec("it", str(tmp_path), {"dtype": "bfloat16"})
    seen = []
    codec.vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = picture()
    codec.encode(pixels_of(image))
    pil_to_latents(image, codec)
    processor = VaeImageProcessor(vae_scale_factor=2)
    expected = processor.preprocess(image).to(torch.bfloat16)
    assert len(seen) == 2
    for pixels in seen:
        assert torch.equal(pixels, expected)
