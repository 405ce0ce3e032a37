import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from vaebench.bench.codecs import open_codec
from vaebench.bench.errors import CodecError
from vaebench.bench.records import Encoded

# Our spec, and how plain Pillow is asked for the same file.
FILES = [
    ("jpeg", {}, {"format": "JPEG", "quality": 75, "subsampling": 2, "optimize": True}),
    (
        "jpeg",
        {"q": 90, "subsampling": 444, "progressive": True, "optimize": False},
        {"format": "JPEG", "quality": 90, "subsampling": 0, "progressive": True},
    ),
    (
        "jpeg",
        {"q": 30, "subsampling": "4:2:2"},
        {"format": "JPEG", "quality": 30, "subsampling": 1, "optimize": True},
    ),
    ("webp", {"q": 40}, {"format": "WEBP", "quality": 40, "method": 4}),
    ("webp", {"lossless": True}, {"format": "WEBP", "lossless": True, "quality": 80, "method": 4}),
    (
        "avif",
        {"q": 60, "speed": 9},
        {"format": "AVIF", "quality": 60, "speed": 9, "subsampling": "4:2:0"},
    ),
    (
        "jpeg2000",
        {"q_db": 36},
        {
            "format": "JPEG2000",
            "quality_mode": "dB",
            "quality_layers": [36],
            "irreversible": True,
            "num_resolutions": 6,
        },
    ),
    (
        "jpeg2000",
        {"rate": 20.0},
        {
            "format": "JPEG2000",
            "quality_mode": "rates",
            "quality_layers": [20.0],
            "irreversible": True,
            "num_resolutions": 6,
        },
    ),
    ("jpeg2000", {}, {"format": "JPEG2000", "num_resolutions": 6}),
    ("png", {}, {"format": "PNG"}),
]


def as_tensor(pixels):
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def photo(request):
    kodak = request.getfixturevalue("kodak")
    with Image.open(kodak / "kodim23.png") as image:
        return np.asarray(image.crop((200, 100, 392, 228)))


@pytest.mark.parametrize(("source", "given_settings", "plain"), FILES)
def test_bytes_and_pixels_are_those_of_plain_pillow(photo, source, given_settings, plain):
    codec = open_codec("it", source, given_settings)
    encoded = codec.encode(as_tensor(photo))
    expected = io.BytesIO()
    Image.fromarray(photo).save(expected, **plain)
    assert encoded.payloads == (expected.getvalue(),)
    assert encoded.nbits == (8 * len(expected.getvalue()),)
    assert encoded.latents is None
    with Image.open(expected) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert torch.equal(codec.decode(encoded), as_tensor(pixels))


@pytest.mark.parametrize(
    ("source", "given_settings"), [("png", {}), ("webp", {"lossless": True}), ("jpeg2000", {})]
)
def test_lossless_codecs_return_the_rounded_picture(source, given_settings):
    codec = open_codec("it", source, given_settings)
    images = torch.rand(2, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    decoded = codec.decode(codec.encode(images))
    assert torch.equal(decoded, (images * 255).round() / 255)


def test_input_is_rounded_not_truncated():
    codec = open_codec("it", "png", {})
    images = torch.full((1, 3, 4, 4), 127.6 / 255)
    assert torch.equal(codec.decode(codec.encode(images)), torch.full((1, 3, 4, 4), 128 / 255))


def test_values_outside_the_range_are_clamped():
    codec = open_codec("it", "png", {})
    images = torch.tensor([-0.5, 1.7]).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert codec.decode(codec.encode(images))[0, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("source", ["jpeg", "webp", "avif", "jpeg2000", "png", "resize"])
@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 33), width=st.integers(1, 33))
def test_any_size_works(source, height, width):
    codec = open_codec("it", source, {"factor": 8} if source == "resize" else {})
    assert codec.info.multiple_px == 1
    images = torch.rand(2, 3, height, width)
    encoded = codec.encode(images)
    decoded = codec.decode(encoded)
    assert decoded.shape == images.shape
    assert decoded.dtype == torch.float32
    assert 0 <= float(decoded.min()) <= float(decoded.max()) <= 1
    assert len(encoded.nbits) == 2


def test_decoding_starts_from_the_payload_alone(photo):
    codec = open_codec("it", "jpeg", {})
    payloads = codec.encode(as_tensor(photo)).payloads
    other = open_codec("other", "jpeg", {"q": 5})
    again = other.decode(Encoded(nbits=(0,), payloads=payloads))
    assert torch.equal(again, codec.decode(Encoded(nbits=(0,), payloads=payloads)))


def test_batch_and_order_play_no_part(photo):
    codec = open_codec("it", "webp", {})
    images = torch.cat([as_tensor(photo), as_tensor(photo[::-1])])
    together, turned = codec.encode(images), codec.encode(images.flip(0))
    assert together.payloads == turned.payloads[::-1]
    assert together.payloads[0] == codec.encode(images[:1]).payloads[0]


def test_files_carry_no_metadata(photo):
    for source in ("jpeg", "webp", "avif", "png"):
        (file,) = open_codec("it", source, {}).encode(as_tensor(photo)).payloads
        with Image.open(io.BytesIO(file)) as image:
            assert not image.getexif()
            assert "icc_profile" not in image.info
            assert "xmp" not in image.info


def test_quality_buys_fidelity_with_bytes(photo):
    image = as_tensor(photo)
    for source, worse, better in [
        ("jpeg", {"q": 30}, {"q": 90}),
        ("webp", {"q": 30}, {"q": 90}),
        ("avif", {"q": 30}, {"q": 80}),
        ("jpeg2000", {"q_db": 30}, {"q_db": 40}),
        ("jpeg2000", {"rate": 40}, {"rate": 10}),
        ("resize", {"factor": 8}, {"factor": 2}),
    ]:
        codecs = [open_codec("it", source, chosen) for chosen in (worse, better)]
        codes = [codec.encode(image) for codec in codecs]
        errors = [
            float((codec.decode(code) - image).square().mean())
            for codec, code in zip(codecs, codes, strict=True)
        ]
        assert codes[0].nbits < codes[1].nbits
        assert errors[0] > errors[1]


def test_resize_is_lanczos_down_and_up(photo):
    codec = open_codec("it", "resize", {"factor": 5})
    encoded = codec.encode(as_tensor(photo))
    height, width = photo.shape[:2]
    small_size = (-(-width // 5), -(-height // 5))
    small = Image.fromarray(photo).resize(small_size, Image.Resampling.LANCZOS)
    large = np.asarray(small.resize((width, height), Image.Resampling.LANCZOS))
    assert encoded.nbits == (24 * small_size[0] * small_size[1],)
    assert torch.equal(codec.decode(encoded), as_tensor(large))


def test_info_tells_the_settings_in_force():
    info = open_codec("mine", "jpeg", {"q": 60}).info
    assert (info.name, info.family, info.source) == ("mine", "jpeg", "jpeg")
    assert info.settings == {
        "q": 60,
        "subsampling": "420",
        "progressive": False,
        "optimize": True,
    }
    assert info.latent_channels is None
    assert info.params is None


def test_a_pillow_without_the_codec_is_told(monkeypatch):
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    with pytest.raises(CodecError) as error:
        open_codec("small", "avif", {})
    assert str(error.value) == (
        "Cannot open small: this Pillow was built without avif. "
        "Install Pillow from PyPI: pip install --force-reinstall pillow."
    )


def test_a_picture_too_large_for_the_format_is_told():
    with pytest.raises(CodecError, match=r"^Cannot encode 16384×1 px with it: "):
        open_codec("it", "webp", {}).encode(torch.zeros(1, 3, 1, 16384))


def test_latents_are_no_file():
    with pytest.raises(CodecError, match="a file's bytes are expected, got latents"):
        open_codec("it", "png", {}).decode(Encoded(nbits=(1,), latents=torch.zeros(1, 4, 2, 2)))
