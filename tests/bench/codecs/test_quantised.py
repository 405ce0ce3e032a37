"""Which specs mean a quantised autoencoder, and what is wrong with the others; what is decoded from
the bytes is what decoding the quantised latents gives.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderVidTok, VQModel
from torch import Tensor
from vaebench.bench.codecs import CODECS, family_of, open_codec
from vaebench.bench.codecs.autoencoder.codebook import from_indices, to_indices
from vaebench.bench.codecs.latents.indices import pack_indices
from vaebench.bench.codecs.latents.stream import pack_latents, quantise
from vaebench.bench.codecs.quantised import QuantisedCodec
from vaebench.bench.codecs.tensors import reflect_pad
from vaebench.bench.errors import CodecError
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.records import Encoded, Settings
from vaebench.bench.scoring.reconstruct import Reconstruction, reconstruct
from vaebench.bench.suite import CodecSpec

BLOCKS = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}


def quantised(source: str | Path, settings: Settings) -> QuantisedCodec:
    codec = open_codec("test", f"quantised({source})", settings)
    assert isinstance(codec, QuantisedCodec)
    return codec


def opened(text: str) -> QuantisedCodec:
    spec = CodecSpec.parse(text)
    codec = open_codec(spec.name, spec.source, spec.settings)
    assert isinstance(codec, QuantisedCodec)
    return codec


def test_the_family_claims_its_sources_and_no_others() -> None:
    assert family_of("quantised(demo-f8c4)") is CODECS["quantised"]
    assert family_of("demo-f8c4") is not CODECS["quantised"]
    assert CODECS["quantised"].is_network


def test_settings_of_both_reach_their_codec(kl_folder: Path) -> None:
    codec = opened(f"quantised({kl_folder}:dtype=bfloat16, step=0.25):device=cpu")
    assert codec.info.name == "kl-bfloat16-step0.25-cpu"
    assert codec.info.family == "quantised"
    assert codec.info.source == f"quantised({kl_folder}:dtype=bfloat16)"
    assert codec.info.dtype == "bfloat16"
    assert codec.info.settings["step"] == 0.25
    assert codec.info.settings["device"] == "cpu"
    assert codec.info.weights_sha256 == codec.base.info.weights_sha256
    assert (codec.info.latent_channels, codec.info.multiple_px) == (4, 2)
    # A sweep sets dtype beside the source; what is set there goes before what is in it.
    assert opened(f"quantised({kl_folder}:dtype=bfloat16, bits=3):dtype=float32").info.dtype == (
        "float32"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("quantised(demo-f8c4)", "step or bits is missing"),
        ("quantised(demo-f8c4, step=0)", "step=0: input should be greater than or equal to"),
        ("quantised(demo-f8c4, step=big)", "step='big'"),
        ("quantised(demo-f8c4, bits=1)", "bits=1: input should be greater than or equal to 2"),
        ("quantised(demo-f8c4, bits=9)", "bits=9: input should be less than or equal to 8"),
        ("quantised(demo-f8c4, step=1, bits=4)", "give one"),
        ("quantised(demo-f8c4:stepp=1, bits=4)", "unknown setting 'stepp'"),
        ("quantised(jpeg:q=5, step=1)", "jpeg has no latents to quantise"),
        ("quantised(demo-f8c5, step=1)", "Did you mean demo-f8c4"),
        ("quantised(./nothing, step=1)", "there is no such file or folder"),
    ],
)
def test_what_cannot_be_opened_says_why(text: str, reason: str) -> None:
    with pytest.raises(CodecError) as caught:
        opened(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_quantised_codec_is_not_quantised_again() -> None:
    with pytest.raises(CodecError, match="is quantised already"):
        open_codec("twice", "quantised(quantised(demo-f8c4))", {"step": 1.0})
    with pytest.raises(CodecError, match="no closing parenthesis"):
        open_codec("open", "quantised(demo-f8c4", {"step": 1.0})


def test_a_vector_quantised_model_takes_neither_step_nor_bits(tmp_path: Path) -> None:
    VQModel(num_vq_embeddings=20).save_pretrained(tmp_path / "vq")
    assert opened(f"quantised({tmp_path / 'vq'})").codebook == 20
    with pytest.raises(CodecError, match=r"codebook of 20\. Leave out step and bits"):
        opened(f"quantised({tmp_path / 'vq'}, step=1)")


def in_memory(codec: QuantisedCodec, images: Tensor) -> Tensor:
    """Return the reconstruction of quantised latents that never were bytes."""
    latents = codec.base.encode(images).latents
    assert latents is not None
    step, bits = codec.settings.step, codec.settings.bits
    arrays = [quantise(one.float().numpy(), step=step, bits=bits) for one in latents]
    stored = torch.from_numpy(np.stack([one.dequantise() for one in arrays]))
    return codec.base.decode(Encoded((0,) * len(images), latents=stored))


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [
        ({"step": 0.125}, "float32"),
        ({"step": 2}, "float32"),
        ({"bits": 2}, "float32"),
        ({"bits": 8}, "bfloat16"),
    ],
)
def test_decoding_starts_from_the_bytes_and_gives_the_same(
    kl_folder: Path, images: Tensor, settings: dict[str, float], dtype: str
) -> None:
    codec = quantised(kl_folder, {**settings, "dtype": dtype})
    encoded = codec.encode(images)
    assert encoded.payloads is not None
    assert encoded.nbits == tuple(8 * len(payload) for payload in encoded.payloads)
    assert encoded.latents is not None
    assert encoded.latents.dtype == torch.float32
    bytes_alone = Encoded(encoded.nbits, payloads=encoded.payloads)
    decoded = codec.decode(bytes_alone)
    assert decoded.dtype == torch.float32
    torch.testing.assert_close(decoded, in_memory(codec, images), rtol=0, atol=0)
    torch.testing.assert_close(codec.unpack(encoded.payloads), encoded.latents, rtol=0, atol=0)


def test_a_finer_step_is_nearer_and_takes_more_bits(kl_folder: Path, images: Tensor) -> None:
    base = open_codec("base", str(kl_folder), {})
    reference = base.decode(base.encode(images))
    bits: list[int] = []
    errors: list[float] = []
    for step in (2, 0.5, 0.125):
        codec = quantised(kl_folder, {"step": step})
        encoded = codec.encode(images)
        bits.append(sum(encoded.nbits))
        errors.append(float((codec.decode(encoded) - reference).abs().mean()))
    assert bits == sorted(bits)
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(
    ("codec_name", "step"),
    [("demo-f8c4", 0.25), ("demo-f8c4", 1.5), ("demo-f8c16", 0.5), ("taef2", 1.0)],
)
def test_a_real_picture_comes_back_exactly(
    shared: Path, kodak: Path, codec_name: str, step: float
) -> None:
    source = shared / "weights" / "taef2" if codec_name == "taef2" else codec_name
    if codec_name == "taef2" and not Path(source).is_dir():
        pytest.skip("needs the weights of TAEF2")
    codec = quantised(source, {"step": step, "device": "cpu"})
    rgb = read_pixels(kodak / "kodim20.png").rgb[200:295, 300:430].copy()
    pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].float().div(255)
    (found,) = reconstruct(codec, pixels)
    assert isinstance(found, Reconstruction)
    padded = reflect_pad(pixels, codec.info.multiple_px)
    expected = in_memory(codec, padded)[0, :, : rgb.shape[0], : rgb.shape[1]]
    torch.testing.assert_close(found.pixels, expected, rtol=0, atol=0)
    assert found.nbits < 24 * rgb.shape[0] * rgb.shape[1] / 10 * step**-0.5


def vq_model(entries: int) -> VQModel:
    torch.manual_seed(0)
    model = VQModel(**BLOCKS, num_vq_embeddings=entries, latent_channels=3, vq_embed_dim=4).eval()
    model.quantize.embedding.weight.data.normal_()
    return model


@pytest.mark.parametrize("entries", [30, 5000])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_vq_models_bytes_are_its_indices(
    tmp_path: Path, images: Tensor, entries: int, dtype: str
) -> None:
    vq_model(entries).save_pretrained(tmp_path / "vq")
    codec = quantised(tmp_path / "vq", {"dtype": dtype})
    encoded = codec.encode(images)
    assert encoded.payloads is not None
    decoded = codec.decode(Encoded(encoded.nbits, payloads=encoded.payloads))
    plain = codec.base.decode(codec.base.encode(images))
    # diffusers' quantiser returns z + (entry - z), which is the entry but for its rounding.
    torch.testing.assert_close(decoded, plain, rtol=0, atol=1e-5 if dtype == "float32" else 0.05)
    positions = images.shape[2] * images.shape[3] // 4
    assert max(encoded.nbits) <= positions * np.log2(entries) * 1.01 + 8 * 30


def test_indices_are_what_the_models_own_quantiser_chooses() -> None:
    model = vq_model(50)
    latents = torch.randn(2, 4, 5, 6)
    indices = to_indices(model, latents)
    chosen = model.quantize(latents)[0]
    torch.testing.assert_close(from_indices(model, indices), chosen, rtol=0, atol=1e-6)


def test_the_codebook_of_finite_scalar_quantisation() -> None:
    torch.manual_seed(0)
    model = AutoencoderVidTok(
        z_channels=3, double_z=False, regularizer="fsq", codebook_size=512, ch=32, ch_mult=[1, 2]
    ).eval()
    latents, _ = model.regularization(torch.randn(2, 3, 1, 6, 5))
    still = latents[:, :, 0]
    indices = to_indices(model, still)
    assert int(indices.min()) >= 0
    assert int(indices.max()) < 512
    torch.testing.assert_close(from_indices(model, indices), still, rtol=0, atol=1e-6)
    codes = model.regularization.indices_to_codes(indices.flatten(1))
    torch.testing.assert_close(codes.mT.reshape(still.shape), still, rtol=0, atol=1e-6)


def test_bytes_of_another_codec_are_refused(kl_folder: Path, tmp_path: Path) -> None:
    codec = quantised(kl_folder, {"step": 1})
    other = pack_latents(np.zeros((3, 4, 4), np.float32), step=1)
    with pytest.raises(CodecError, match="holds 3 channels, 4 are expected"):
        codec.unpack((other,))
    with pytest.raises(CodecError, match="payloads are expected"):
        codec.decode(Encoded((0,), latents=torch.zeros(1, 4, 4, 4)))
    vq_model(30).save_pretrained(tmp_path / "vq")
    vq = quantised(tmp_path / "vq", {})
    with pytest.raises(CodecError, match="its codebook of 30 has not"):
        vq.unpack((pack_indices(np.full((4, 4), 40), 50),))
    with pytest.raises(CodecError, match="begins with 1 where 2 is expected"):
        vq.unpack((other,))


def test_latents_that_are_not_finite_are_refused(kl_folder: Path) -> None:
    codec = quantised(kl_folder, {"step": 1})
    with pytest.raises(CodecError, match="finite values"):
        codec.encode(torch.full((1, 3, 16, 16), torch.nan))
