"""Which specs mean a quantised autoencoder, and what is wrong with the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers import VQModel
from vaebench.bench.codecs import CODECS, family_of, open_codec
from vaebench.bench.codecs.quantised_codec import QuantisedCodec
from vaebench.bench.errors import CodecError
from vaebench.bench.suite import CodecSpec


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
