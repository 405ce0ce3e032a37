import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from vaebench.bench.codecs import CODECS, open_codec
from vaebench.bench.errors import CodecError


def as_tensor(path):
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float() / 255


def psnr(reference, reconstruction):
    return float(-10 * (reference.double() - reconstruction).square().mean().log10())


def conv(width_in, width_out, **options):
    return nn.Conv2d(width_in, width_out, 3, padding=1, **options)


class ReferenceBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Sequential(
            conv(width, width), nn.ReLU(), conv(width, width), nn.ReLU(), conv(width, width)
        )

    def forward(self, x):
        return torch.relu(self.conv(x) + x)


def save_pair(folder, halves, name="tae", suffix=".pth"):
    folder.mkdir(exist_ok=True)
    for half, tensors in zip(("encoder", "decoder"), halves, strict=True):
        path = folder / f"{name}_{half}{suffix}"
        if suffix == ".pth":
            torch.save(tensors, path)
        else:
            save_file(tensors, path)
    return folder


def tiny_halves(latent_channels):
    """Return a TAESD of diffusers, and the same network in TAESD's own format."""
    torch.manual_seed(latent_channels)
    tiny = AutoencoderTiny(
        latent_channels=latent_channels,
        encoder_block_out_channels=(16, 16, 16, 16),
        decoder_block_out_channels=(16, 16, 16, 16),
    ).eval()
    encoder = {
        key.removeprefix("layers."): tensor.contiguous()
        for key, tensor in tiny.encoder.state_dict().items()
    }
    decoder = {}
    for key, tensor in tiny.decoder.state_dict().items():
        _, number, rest = key.split(".", 2)
        # TAESD's decoder counts its clamp, diffusers' does not.
        decoder[f"{int(number) + 1}.{rest}"] = tensor.contiguous()
    return tiny, [encoder, decoder]


@pytest.fixture(scope="module")
def taef2(request):
    shared: Path = request.getfixturevalue("shared")
    return open_codec("taef2", str(shared / "weights" / "taef2"), {})


def test_taef2_gives_its_known_answers(taef2, kodak):
    image = as_tensor(kodak / "kodim23.png")
    encoded = taef2.encode(image)
    assert encoded.latents.shape == (1, 32, 64, 96)
    assert encoded.nbits == (32 * 64 * 96 * 32,)
    decoded = taef2.decode(encoded).clamp(0, 1)
    assert psnr(image, decoded) == pytest.approx(33.354, abs=0.001)
    assert psnr(image, (decoded * 255).round() / 255) == pytest.approx(33.342, abs=0.001)


def test_taef2_tells_what_it_is(taef2):
    info = taef2.info
    assert (info.family, info.latent_channels, info.spatial_factor) == ("taesd", 32, 8)
    assert (info.multiple_px, info.dtype, info.device) == (8, "float32", "cpu")
    assert (info.scaling_factor, info.shift_factor) == (1.0, 0.0)
    assert len(info.weights_sha256) == 64


@pytest.mark.parametrize(
    ("dropped", "told"),
    [
        (r"0:12\.pool\.3\.", r"its encoder is not in TAESD's format \('pool.3.weight'\)"),
        (r"0:12\.pool\.", "some blocks of a stage lack their pool tensors"),
        (r"1:\d+\.pool\.", "one of its halves has pool tensors and the other has none"),
        (r"0:0\.bias", r"1 tensor missing \(0.bias\)"),
        (r"1:19\.bias", r"1 tensor missing \(19.bias\)"),
        (r"1:9\.", "layer 9 is missing"),
        (r"0:3\.", r"1 tensor missing \(2.bias\)"),
        (r"0:14\.", "its layers do not fit together|do not belong together"),
    ],
)
def test_taef2_is_loaded_whole_or_not_at_all(shared, tmp_path, dropped, told):
    folder = shared / "weights" / "taef2"
    halves = [torch.load(folder / f"taef2_{half}.pth") for half in ("encoder", "decoder")]
    kept = [
        {key: tensors[key] for key in tensors if not re.match(dropped, f"{index}:{key}")}
        for index, tensors in enumerate(halves)
    ]
    with pytest.raises(CodecError, match=told):
        open_codec("it", str(save_pair(tmp_path / "cut", kept)), {})


@pytest.mark.parametrize("latent_channels", [4, 16, 32])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_tensors_alone_tell_the_variant(tmp_path, images, latent_channels, suffix):
    tiny, halves = tiny_halves(latent_channels)
    codec = open_codec("it", str(save_pair(tmp_path / "it", halves, "any", suffix)), {})
    encoded = codec.encode(images)
    with torch.no_grad():
        latents = tiny.encode(images * 2 - 1).latents
        decoded = tiny.decode(latents).sample / 2 + 0.5
    assert codec.info.latent_channels == latent_channels
    assert codec.info.params == sum(p.numel() for p in tiny.parameters())
    torch.testing.assert_close(encoded.latents, latents, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(codec.decode(encoded), decoded, atol=1e-6, rtol=1e-5)


def test_the_f32_variant_halves_five_times(tmp_path):
    stem = [conv(3, 8, stride=2), nn.ReLU(), conv(8, 16, stride=2), nn.ReLU(), ReferenceBlock(16)]
    down = [
        layer
        for _ in range(3)
        for layer in (conv(16, 16, stride=2, bias=False), ReferenceBlock(16))
    ]
    encoder = nn.Sequential(*stem, *down, conv(16, 32))
    up = []
    for width_in, width_out in ((24, 16), (16, 16), (16, 16), (16, 16), (16, 16)):
        up += [ReferenceBlock(width_in), nn.Upsample(scale_factor=2)]
        up += [conv(width_in, width_out, bias=False)]
    decoder = nn.Sequential(nn.Identity(), conv(32, 24), nn.ReLU(), *up, conv(16, 3))
    halves = [encoder.state_dict(), decoder.state_dict()]
    codec = open_codec("it", str(save_pair(tmp_path / "it", halves)), {})
    assert (codec.info.spatial_factor, codec.info.latent_channels) == (32, 32)
    images = torch.rand(1, 3, 64, 96)
    encoded = codec.encode(images)
    with torch.no_grad():
        latents = encoder(images)
        decoded = decoder(torch.tanh(latents / 3) * 3)
    torch.testing.assert_close(encoded.latents, latents, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(codec.decode(encoded), decoded, atol=1e-6, rtol=1e-5)


def test_a_change_of_width_goes_through_the_skip(tmp_path, images):
    _, halves = tiny_halves(4)
    torch.manual_seed(3)
    encoder = {key: tensor for key, tensor in halves[0].items() if not key.startswith("14.")}
    wider = nn.ModuleDict(
        {
            "conv": nn.Sequential(conv(16, 24), nn.ReLU(), conv(24, 24), nn.ReLU(), conv(24, 24)),
            "skip": nn.Conv2d(16, 24, 1, bias=False),
        }
    )
    last = conv(24, 4)
    encoder |= {f"14.{key}": tensor for key, tensor in wider.state_dict().items()}
    encoder |= {f"15.{key}": tensor for key, tensor in last.state_dict().items()}
    codec = open_codec("it", str(save_pair(tmp_path / "it", [encoder, halves[1]])), {})
    tiny, _ = tiny_halves(4)
    with torch.no_grad():
        x = tiny.encoder.layers[:14](images)
        latents = last(torch.relu(wider["conv"](x) + wider["skip"](x)))
    torch.testing.assert_close(codec.encode(images).latents, latents, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_one_file_may_hold_both_halves(tmp_path, images, suffix):
    _, halves = tiny_halves(4)
    both = {
        f"{half}.{key}": tensor
        for half, tensors in zip(("encoder", "decoder"), halves, strict=True)
        for key, tensor in tensors.items()
    }
    path = tmp_path / f"both{suffix}"
    torch.save(both, path) if suffix == ".pth" else save_file(both, path)
    pair = open_codec("it", str(save_pair(tmp_path / "it", halves)), {})
    one = open_codec("it", str(path), {})
    assert one.info.family == "taesd"
    assert torch.equal(one.encode(images).latents, pair.encode(images).latents)
    both["middle.weight"] = torch.zeros(1)
    torch.save(both, tmp_path / "more.pth")
    with pytest.raises(CodecError, match=r"tensor middle.weight belongs to neither half"):
        open_codec("it", str(tmp_path / "more.pth"), {})


def test_of_several_checkpoints_one_is_named(tmp_path, images):
    four, sixteen = tiny_halves(4)[1], tiny_halves(16)[1]
    save_pair(tmp_path / "it", four, "taesd")
    save_pair(tmp_path / "it", sixteen, "taef1")
    with pytest.raises(CodecError, match=r"several checkpoints .* say .*taef1_encoder.pth"):
        open_codec("it", str(tmp_path / "it"), {})
    for half in ("encoder", "decoder"):
        codec = open_codec("it", str(tmp_path / "it" / f"taef1_{half}.pth"), {})
        assert codec.info.latent_channels == 16


def test_a_missing_half_is_told(tmp_path):
    folder = save_pair(tmp_path / "it", tiny_halves(4)[1])
    (folder / "tae_decoder.pth").unlink()
    with pytest.raises(CodecError, match=r"decoder's file are expected, found tae_encoder.pth\.$"):
        open_codec("it", str(folder), {})


def test_halves_of_two_models_are_told(tmp_path):
    halves = [tiny_halves(4)[1][0], tiny_halves(16)[1][1]]
    with pytest.raises(CodecError, match="its layers do not fit together"):
        open_codec("it", str(save_pair(tmp_path / "it", halves)), {})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("5.conv.2.bias"), r"1 tensor missing \(5.conv.2.bias\)"),
        (lambda d: d.update({"5.conv.9.weight": torch.zeros(2)}), "1 tensor unexpected"),
        (lambda d: d.update({"5.conv.2.weight": torch.zeros(16, 16, 1, 1)}), "wrongly shaped"),
        (lambda d: d.update({"words": torch.zeros(2)}), "not in TAESD's format"),
        (lambda d: d.update({"19.bias": torch.full((3,), torch.nan)}), "NaN or inf: 19.bias"),
    ],
)
def test_a_changed_half_is_refused(tmp_path, change, told):
    halves = tiny_halves(4)[1]
    change(halves[1])
    with pytest.raises(CodecError, match=told):
        open_codec("it", str(save_pair(tmp_path / "it", halves)), {})


def test_precision_is_a_setting(tmp_path, images):
    folder = str(save_pair(tmp_path / "it", tiny_halves(4)[1]))
    full, half = open_codec("it", folder, {}), open_codec("it", folder, {"dtype": "bfloat16"})
    encoded = half.encode(images)
    assert encoded.latents.dtype == torch.bfloat16
    assert encoded.nbits[0] * 2 == full.encode(images).nbits[0]
    assert half.decode(encoded).dtype == torch.float32
    torch.testing.assert_close(
        half.decode(encoded), full.decode(full.encode(images)), atol=0.05, rtol=0
    )


def test_telling_a_format_neither_unpacks_a_bomb_nor_trips_over_a_lock(tmp_path):
    path = tmp_path / "both.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("both/data.pkl", bytes(1 << 26))
    tracemalloc.start()
    try:
        assert not CODECS["taesd"].claims(str(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()
    whole = path.read_bytes()
    flags = whole.index(b"PK\x01\x02") + 8
    path.write_bytes(whole[:flags] + b"\1" + whole[flags + 1 :])
    assert not CODECS["taesd"].claims(str(path))
