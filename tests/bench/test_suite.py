"""One model for the command line and for suite.toml."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaebench.bench.errors import SuiteError
from vaebench.bench.suite import CodecSpec, Suite


@pytest.mark.parametrize(
    ("text", "name", "source", "settings"),
    [
        ("jpeg", "jpeg", "jpeg", {}),
        ("jpeg:q=75", "jpeg-q75", "jpeg", {"q": 75}),
        (
            "jpeg:q=75,subsampling=420",
            "jpeg-q75-subsampling420",
            "jpeg",
            {"q": 75, "subsampling": 420},
        ),
        ("webp:lossless", "webp-lossless", "webp", {"lossless": True}),
        ("resize:8", "resize-8", "resize", {"factor": 8}),
        ("resize:0.5", "resize-0.5", "resize", {"factor": 0.5}),
        ("mine=./vae:dtype=float16", "mine", "./vae", {"dtype": "float16"}),
        ("../weights/taef2", "taef2", "../weights/taef2", {}),
        ("a/vae.safetensors", "vae", "a/vae.safetensors", {}),
        (
            "org/vae:revision=v1,posterior=sample,seed=3",
            "vae-v1-sample-seed3",
            "org/vae",
            {"revision": "v1", "posterior": "sample", "seed": 3},
        ),
        ("m=org/vae:config=../a/b", "m", "org/vae", {"config": "../a/b"}),
        ("w=C:\\models\\vae", "w", "C:\\models\\vae", {}),
        ("x/y=z", "yz", "x/y=z", {}),
        ("pca:c=4,f=8,fit=../a", "pca-c4-f8", "pca", {"c": 4, "f": 8, "fit": "../a"}),
        ("m=org/vae:revision=12e4567", "m", "org/vae", {"revision": "12e4567"}),
        ("m=org/vae:revision=0042", "m", "org/vae", {"revision": "0042"}),
        ("m=vae:tiling=false", "m", "vae", {"tiling": False}),
        (
            "quantised(demo-f8c4, step=0.5)",
            "demo-f8c4-step0.5",
            "quantised(demo-f8c4)",
            {"step": 0.5},
        ),
        ("quantised(a/vae,bits=4)", "vae-bits4", "quantised(a/vae)", {"bits": 4}),
        ("quantised( org/vq )", "vq-quantised", "quantised(org/vq)", {}),
        (
            "q=quantised(./vae:dtype=float16, step=1, posterior=sample)",
            "q",
            "quantised(./vae:dtype=float16, posterior=sample)",
            {"step": 1},
        ),
        (
            "quantised(vae:dtype=float16, step=2):device=cpu",
            "vae-float16-step2-cpu",
            "quantised(vae:dtype=float16)",
            {"step": 2, "device": "cpu"},
        ),
        (
            "jpeg:q=75,subsampling=4:2:0",
            "jpeg-q75-4:2:0".replace(":", ""),
            "jpeg",
            {"q": 75, "subsampling": "4:2:0"},
        ),
        ("m=C:\\models\\vae:tiling", "m", "C:\\models\\vae", {"tiling": True}),
        ("pca:c=4,f=8,fit=C:\\a", "pca-c4-f8", "pca", {"c": 4, "f": 8, "fit": "C:\\a"}),
        ("m=org/vae:revision=refs/pr/5", "m", "org/vae", {"revision": "refs/pr/5"}),
        ("m=./gone-12:30:00", "m", "./gone-12:30:00", {}),
        ("m=./gone-12:30:00:dtype=float16", "m", "./gone-12:30:00", {"dtype": "float16"}),
        (
            "quantised(jpeg:q=75,subsampling=4:2:0, step=1)",
            "jpeg-q75-420-step1",
            "quantised(jpeg:q=75,subsampling=4:2:0)",
            {"step": 1},
        ),
        ("quantised(C:\\m\\vae, bits=8)", "vae-bits8", "quantised(C:\\m\\vae)", {"bits": 8}),
    ],
)
def test_a_spec_is_name_source_and_settings(
    text: str, name: str, source: str, settings: dict[str, object]
) -> None:
    spec = CodecSpec.parse(text)
    assert (spec.name, spec.source, dict(spec.settings)) == (name, source, settings)
    assert [type(value) for value in spec.settings.values()] == [type(v) for v in settings.values()]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expected [NAME=]SOURCE"),
        ("jpeg:q=1,q=2", "'q' is given twice"),
        ("reference=jpeg", "'reference' is reserved"),
        (":q=1", "Expected [NAME=]SOURCE"),
        ("quantised(vae", "the parenthesis after quantised is not closed"),
        ("quantised(vae)s, step=1", "the parenthesis after quantised is not closed"),
        ("quantised(, step=1)", "names no codec"),
        ("quantised(vae, step=1, step=2)", "'step' is given twice"),
        (f"{'quantised(' * 3000}vae{')' * 3000}", "it is nested too deeply"),
    ],
)
def test_a_spec_that_cannot_be_read_says_why(text: str, reason: str) -> None:
    with pytest.raises(SuiteError) as caught:
        CodecSpec.parse(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"codecs": []}, "codecs"),
        ({"codecs": ["jpeg", "jpeg"]}, "two codecs are called 'jpeg'"),
        ({"codecs": ["jpeg"], "size": 512}, "size and fit go together"),
        ({"codecs": ["jpeg"], "fit": "crop"}, "size and fit go together"),
        (
            {"codecs": ["jpeg"], "sise": 512},
            "unknown field 'sise'. Did you mean size? Valid: background",
        ),
        ({"codecs": [{"source": "jpeg", "q": 5}]}, "codecs.0: unknown field 'q'. Valid: name"),
        ({"codecs": ["jpeg"], "keep": "some"}, "'all', 'worst' or 'none', got 'some'"),
        ({"codecs": ["jpeg"], "size": 2, "fit": "pad"}, "size"),
        (
            {"codecs": ["jpeg"], "background": "whitish"},
            "background is 'whitish', a colour",
        ),
        ({"codecs": ["jpeg:q=1,q=2"]}, "'q' is given twice"),
    ],
)
def test_a_suite_that_is_not_valid_says_why(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(SuiteError) as caught:
        Suite.create(**fields)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_command_line_meant_comes_back_from_its_file(tmp_path: Path) -> None:
    suite = Suite.create(
        images=["photos", "sample"],
        codecs=[
            "mine=./vae:dtype=float16,tiling=true",
            "jpeg:q=75",
            "resize:8",
            "quantised(./vae, step=0.5)",
        ],
        regions=["regions.json"],
        metrics=["psnr", "lpips-alex"],
        size=512,
        fit="crop",
        rounding="float",
        batch_size=4,
        keep="worst",
    )
    path = tmp_path / "suite.toml"
    path.write_text(suite.to_toml(), encoding="utf-8")
    assert Suite.load(path) == suite


def test_specs_in_a_file_may_be_the_command_lines(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text('codecs = ["jpeg:q=75", {source = "webp", settings = {q = 5}}]\n')
    assert Suite.load(path) == Suite.create(codecs=["jpeg:q=75", "webp:q=5"])


def test_a_file_that_is_no_suite_is_named(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    with pytest.raises(SuiteError, match=r"Cannot read the suite .*suite\.toml"):
        Suite.load(path)
    path.write_text("codecs = [")
    with pytest.raises(SuiteError, match=r"suite\.toml is not valid TOML"):
        Suite.load(path)
    path.write_text('codecs = ["jpeg"]\nfoo = 1\n')
    with pytest.raises(SuiteError, match=r"suite\.toml: .*unknown field 'foo'"):
        Suite.load(path)


@pytest.mark.parametrize(
    "folder",
    ["vae-12:30:00", "a:dtype=float16", "c=d", "q(1), step=3", "jpeg:q=5", "a,b", "x y:z", "v)"],
)
def test_a_path_that_exists_is_taken_as_one(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(folder).mkdir()
    for path in (folder, f"./{folder}", str(tmp_path / folder)):
        for text, settings in (
            (path, {}),
            (f"m={path}:dtype=float16,config=C:\\b", {"dtype": "float16", "config": "C:\\b"}),
        ):
            spec = CodecSpec.parse(text)
            assert (spec.source, dict(spec.settings)) == (path, settings)
        inner = f"quantised({path}:dtype=float16, step=0.5)"
        spec = CodecSpec.parse(inner)
        assert spec.source == f"quantised({path}:dtype=float16)"
        assert dict(spec.settings) == {"step": 0.5}
        spec = CodecSpec.parse(spec.source.removeprefix("quantised(")[:-1])
        assert (spec.source, dict(spec.settings)) == (path, {"dtype": "float16"})


def test_a_spec_of_very_many_colons_is_read_at_once() -> None:
    started = time.perf_counter()
    for text in (":" * 65000, "./" + "a:" * 32000, "quantised(" + "a:" * 32000 + ")"):
        with suppress(SuiteError):
            CodecSpec.parse(text)
    assert time.perf_counter() - started < 5


def test_python_may_give_paths_and_names_of_colours(tmp_path: Path) -> None:
    suite = Suite.create(
        images=[tmp_path / "a.png", "sample"],
        regions=[tmp_path / "r.json"],
        weights=tmp_path,
        codecs=[tmp_path / "vae", "jpeg"],
        background="black",
    )
    assert suite.images == [str(tmp_path / "a.png"), "sample"]
    assert suite.regions == [str(tmp_path / "r.json")]
    assert suite.weights == str(tmp_path)
    assert suite.codecs[0].source == str(tmp_path / "vae")
    assert suite.background == "#000000"
    # One colour is one protocol, however it is written.
    for written in ("#FFFFFF", "#fff", "White", "rgb(255, 255, 255)"):
        assert Suite.create(codecs=["jpeg"], background=written).background == "#ffffff"
    for none in ("#ffffff80", "", "transparent", 5, None):
        with pytest.raises(SuiteError, match="background"):
            Suite.create(codecs=["jpeg"], background=none)


def test_a_suite_is_not_read_beyond_what_one_can_have(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    with path.open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(SuiteError, match="more than 16 MiB"):
        Suite.load(path)


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_a_sentence(text: str) -> None:
    try:
        spec = CodecSpec.parse(text)
    except SuiteError as error:
        assert "Cannot read the codec" in str(error)
    else:
        assert CodecSpec(name=spec.name, source=spec.source, settings=spec.settings) == spec
