import pytest
from vaebench.bench.codecs import CODECS, open_codec
from vaebench.bench.errors import SuiteError
from vaebench.bench.rate.knobs import KNOBS, STEPS, Asked, plan_sweeps, settled
from vaebench.bench.records import CodecInfo
from vaebench.bench.suite import CodecSpec


def sweep_of(text, *asked):
    return plan_sweeps([CodecSpec.parse(text)], Asked.parse(asked))[0]


@pytest.mark.parametrize("name", [name for name in KNOBS if name in CODECS])
def test_every_knob_is_a_setting_of_its_codec_at_every_default_value(name):
    if name == "jpegxl":
        pytest.importorskip("pillow_jxl")
    sweep = sweep_of(name)
    for setting in sweep.settings:
        codec = open_codec(name, name, sweep.turned(setting))
        assert codec.info.settings[sweep.knob.name] == sweep.value(setting)
    ends = (sweep.knob.fewest_bytes, sweep.knob.most_bytes)
    assert all(min(ends) <= value <= max(ends) for value in sweep.values)
    for value in ends:
        open_codec(name, name, sweep.turned(sweep.setting(value)))


def test_an_autoencoder_is_swept_by_the_step_of_its_latents():
    sweep = sweep_of("mine=demo-f8c4:dtype=float32")
    assert sweep.of_latents and sweep.values == STEPS
    assert sweep.settings[0] == "step=0.05" and sweep.middle == "step=0.5"
    assert sweep.opening_spec.settings == {"dtype": "float32"}


def test_a_codec_that_is_opened_to_be_seen_has_its_knob_at_the_first_setting():
    assert sweep_of("resize").opening_spec.settings == {"factor": 2}
    assert sweep_of("webp:method=6").opening_spec.settings == {"method": 6, "q": 0}


@pytest.mark.parametrize("text", ["jpeg:q=75", "quantised(demo-f8c4, step=0.5)", "resize:8"])
def test_a_codec_without_a_knob_or_with_a_fixed_one_is_one_point(text):
    sweep = sweep_of(text)
    assert sweep.knob is None and sweep.settings == ("as given",) and sweep.turned("as given") == {}
    assert sweep.opening_spec == CodecSpec.parse(text)


def test_values_that_were_asked_for_go_before_the_default_ones_once_each():
    assert sweep_of("jpeg", "jpeg=10,50,10,90").settings == ("q=10", "q=50", "q=90")
    assert sweep_of("a=demo-f8c4", "a=0.25").values == (0.25,)


@pytest.mark.parametrize(
    ("text", "asked", "told"),
    [
        ("jpeg", "jpg=1,2", "Unknown codec in --sweep 'jpg'. Did you mean jpeg? Valid: jpeg."),
        ("jpeg", "jpeg=", "Cannot read the sweep 'jpeg='. Write CODEC=VALUE,VALUE,…"),
        ("jpeg", "jpeg=1,nan", "Cannot read the sweep"),
        ("jpeg", "10,20", "Cannot read the sweep"),
        ("jpeg", "jpeg=10.5", "its q takes whole numbers, got 10.5"),
        ("j=jpeg:q=75", "j=10", "Cannot sweep j: it has nothing to turn"),
        ("q=quantised(demo-f8c4, bits=4)", "q=1", "Cannot sweep q: it has nothing to turn"),
        ("d=demo-f8c4", "d=0,1", "Cannot sweep d: its step goes from 0.00390625 to 64, got 0, 1."),
        ("jpeg", "jpeg=0,50", "Cannot sweep jpeg: its q goes from 1 to 100, got 0, 50."),
    ],
)
def test_what_cannot_be_swept_is_answered_with_a_sentence(text, asked, told):
    with pytest.raises(SuiteError) as error:
        sweep_of(text, asked)
    assert told in str(error.value)


def test_once_opened_a_codec_without_latents_is_one_point():
    info = CodecInfo("png", "png", "png", {})
    assert settled(sweep_of("png"), info, None, Asked()).settings == ("as given",)
    with pytest.raises(SuiteError, match="Cannot sweep png: it has nothing to turn"):
        settled(sweep_of("png"), info, None, Asked.parse(["png=1"]))


def test_once_opened_an_autoencoder_keeps_its_steps_and_files_their_q():
    info = CodecInfo("it", "autoencoder", "demo-f8c4", {}, latent_channels=4)
    for text in ("demo-f8c4", "jpeg"):
        assert settled(sweep_of(text), info, None, Asked()) == sweep_of(text)


def test_a_vector_quantised_model_has_no_step_and_the_sentence_says_what_to_write():
    info = CodecInfo("vq", "autoencoder", "./vq", {}, latent_channels=4)
    with pytest.raises(SuiteError) as error:
        settled(sweep_of("vq=./vq"), info, 1024, Asked())
    assert "Give its one point: --codec 'vq=quantised(./vq)'" in str(error.value)
    assert CodecSpec.parse("vq=quantised(./vq)").source == "quantised(./vq)"
