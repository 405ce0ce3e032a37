import pytest
from vaebench.bench.codecs import open_codec
from vaebench.bench.errors import CodecError

JPEG_VALID = "optimize, progressive, q, subsampling"

SENTENCES = [
    (
        "jpeg",
        {"qq": 3},
        f"Cannot open it: unknown setting 'qq'. Did you mean q? Valid: {JPEG_VALID}. "
        "Write, say, jpeg:q=75,subsampling=420.",
    ),
    (
        "jpeg",
        {"factor": 75},
        f"Cannot open it: unknown setting 'factor'. Valid: {JPEG_VALID}. "
        "Write, say, jpeg:q=75,subsampling=420.",
    ),
    (
        "jpeg",
        {"q": 300},
        "Cannot open it: setting q=300: input should be less than or equal to 100. "
        f"Settings: {JPEG_VALID}; say, jpeg:q=75,subsampling=420.",
    ),
    (
        "jpeg",
        {"q": True},
        f"Cannot open it: setting q=True: a number is expected. Settings: {JPEG_VALID}; "
        "say, jpeg:q=75,subsampling=420.",
    ),
    (
        "jpeg",
        {"subsampling": 421},
        "Cannot open it: setting subsampling=421: 444, 422 or 420 is expected. "
        f"Settings: {JPEG_VALID}; say, jpeg:q=75,subsampling=420.",
    ),
    ("png", {"level": 9}, "Cannot open it: png takes no settings, got 'level'."),
    (
        "resize",
        {},
        "Cannot open it: the setting factor is missing. Settings: factor; say, resize:8.",
    ),
    (
        "jpeg2000",
        {"q_db": 36, "rate": 8},
        "Cannot open it: q_db and rate exclude each other. Settings: q_db, rate; "
        "say, jpeg2000:q_db=36.",
    ),
]


@pytest.mark.parametrize(("source", "settings", "sentence"), SENTENCES)
def test_a_wrong_setting_is_answered_with_the_valid_ones(source, settings, sentence):
    with pytest.raises(CodecError) as error:
        open_codec("it", source, settings)
    assert str(error.value) == sentence


def test_an_autoencoder_lists_its_settings(kl_folder):
    with pytest.raises(CodecError) as error:
        open_codec("it", str(kl_folder), {"dtyp": "float16"})
    assert "unknown setting 'dtyp'. Did you mean dtype? Valid: channels_last, compile, " in str(
        error.value
    )
    with pytest.raises(CodecError, match="'float16', 'bfloat16' or 'float32'"):
        open_codec("it", str(kl_folder), {"dtype": "fp16"})


def test_an_impossible_device_is_told(kl_folder):
    with pytest.raises(CodecError, match=r"device 'nonsense' cannot be used here \(.*Pass device"):
        open_codec("it", str(kl_folder), {"device": "nonsense"})
