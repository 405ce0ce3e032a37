"""A checkpoint's own code runs on the word of whoever runs the command, never on that of a file."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from vaebench.bench import api
from vaebench.bench.cli.run import suite_of
from vaebench.bench.codecs import open_spec, open_unfitted_spec, vbl
from vaebench.bench.compare.gate.gate import Gate, run_gate
from vaebench.bench.errors import CodecError, RunFolderError, SuiteError, VaebenchError
from vaebench.bench.store.record import read_record
from vaebench.bench.suite import CodecSpec, Suite
from vaebench.bench.timing.processes import ProcessSource, Request, staged_harness

ROOT = Path(__file__).resolve().parents[3]
REFUSED = r"trust_remote_code of .* is not taken from a file\. .* pass the codec by --codec"


@pytest.fixture
def own(kl: AutoencoderKL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture and ./ck, whose own code leaves `ran` beside it."""
    from huggingface_hub import constants

    monkeypatch.setattr(
        "diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    kl.save_pretrained("ck")
    config = json.loads(Path("ck/config.json").read_text())
    config |= {"_class_name": "OwnKL", "auto_map": {"AutoModel": "own.OwnKL"}}
    Path("ck/config.json").write_text(json.dumps(config))
    Path("ck/own.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        "from diffusers import AutoencoderKL\nclass OwnKL(AutoencoderKL):\n    pass\n"
    )
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    return tmp_path


SPECS: list[Any] = [
    "x=./ck:trust_remote_code",
    "x=./ck:trust_remote_code=yes",
    "x=quantised(./ck:trust_remote_code, step=0.5)",
    "x=quantised(./ck, step=0.5):trust_remote_code=true",
    "x=quantised(quantised(quantised(./ck:dtype=float32,trust_remote_code)), step=2)",
    {"name": "x", "source": "./ck", "settings": {"trust_remote_code": True}},
    {"name": "x", "source": "./ck", "settings": {"trust_remote_code": 1}},
    {"name": "x", "source": "quantised(./ck: trust_remote_code )", "settings": {"step": 0.5}},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_toml_makes_it_run(own: Path, spec: Any) -> None:
    entry = (
        json.dumps(spec)
        if isinstance(spec, str)
        else "{{name = 'x', source = '{source}', settings = {{{settings}}}}}".format(
            source=spec["source"],
            settings=", ".join(f"{key} = {json.dumps(v)}" for key, v in spec["settings"].items()),
        )
    )
    suite = f'images = ["a.png"]\nmetrics = ["psnr"]\ncodecs = [{entry}]\n'
    Path("suite.toml").write_text(suite)
    with pytest.raises(SuiteError, match=REFUSED):
        Suite.load(Path("suite.toml"))
    rules = 'rules = ["psnr: not worse than 0.1 dB"]\n'
    Path("gate.toml").write_text(rules + "[suite]\n" + suite)
    with pytest.raises(SuiteError, match=REFUSED):
        Gate.load(Path("gate.toml"))
    # The gate holds without those who read files, and beside what the command line changes.
    loaded = Suite.model_validate({"codecs": [spec]})
    for suite_read in (loaded, Suite.create(**{**dict(loaded), "size": 16, "fit": "crop"})):
        for opens in (open_spec, open_unfitted_spec):
            with pytest.raises(CodecError, match=REFUSED):
                opens(suite_read.codecs[0])
        with pytest.raises(CodecError, match=REFUSED):
            api.run(suite_read, out="out", history="off")
    assert not (own / "ran").exists()


def test_options_beside_a_suite_do_not_make_it_trusted(own: Path) -> None:
    Path("suite.toml").write_text('codecs = ["x=./ck"]\n')
    merged = suite_of(Path("suite.toml"), {"size": 16, "fit": "crop"})
    assert [spec.is_by_hand for spec in merged.codecs] == [False]
    merged = suite_of(Path("suite.toml"), {"codecs": ["x=./ck:trust_remote_code"]})
    assert [spec.is_by_hand for spec in merged.codecs] == [True]
    assert "by_hand" not in merged.to_toml() + merged.model_dump_json()
    with pytest.raises(SuiteError, match="unknown field 'is_by_hand'"):
        Suite.create(codecs=[{"source": "./ck", "is_by_hand": True}])
    # As a field of its own name it is none of the model's.
    with pytest.raises(SuiteError):
        Suite.create(codecs=[{"source": "./ck", "_is_by_hand": True}])


def reseal(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change run.json and give it the checksum of what it now holds, as anyone can."""
    fields = json.loads((folder / "run.json").read_text())
    fields.pop("sha256")
    change(fields)
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    (folder / "run.json").write_text(json.dumps({**fields, "sha256": digest}))


def put(spec: Any) -> Callable[[dict[str, Any]], object]:
    """Return what makes a codec the only one of a run that is not finished."""
    return lambda fields: (fields["suite"].update(codecs=[spec]), fields.update(finished=False))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_run_folder_makes_it_run(own: Path, spec: Any) -> None:
    api.run(images=["a.png"], codecs=["x=jpeg"], metrics=["psnr"], out="out", history="off")
    reseal(Path("out"), put(spec))
    # A spec of text is none of what run.json holds; if it is read at all, it is not trusted.
    with pytest.raises((CodecError, RunFolderError)):
        api.resume("out", history="off")
    assert not (own / "ran").exists()


def test_no_gate_over_a_run_folder_makes_it_run(own: Path) -> None:
    codecs = ["x=jpeg", "y=jpeg:q=5"]
    api.run(images=["a.png"], codecs=codecs, metrics=["psnr"], out="out", history="off")
    trusted = {"name": "x", "source": "./ck", "settings": {"trust_remote_code": True}}
    reseal(Path("out"), lambda fields: fields["suite"]["codecs"].__setitem__(0, trusted))
    Path("gate.toml").write_text(
        'runs = ["out"]\nbaseline = "x"\nrules = ["latency decode 64x64: clean at 50 %"]\n'
    )
    with pytest.raises(VaebenchError, match=f"Cannot time BASE: Cannot open x: {REFUSED}"):
        run_gate(Path("gate.toml"))
    assert not (own / "ran").exists()


def test_a_worker_is_told_who_gave_its_codec(own: Path) -> None:
    with staged_harness(64, 1) as harness:
        spec = CodecSpec.parse("x=./ck:trust_remote_code")
        source = ProcessSource("BASE", Request(spec, "decode", None, 0.1), None, harness)
        source.start()
        try:
            source.warm_up()
        finally:
            source.stop()
    assert (own / "ran").exists()


def test_given_by_hand_it_runs_and_goes_on_where_it_is_given_again(own: Path) -> None:
    text = "x=./ck:trust_remote_code"
    api.run(images=["a.png"], codecs=[text], metrics=["psnr"], out="out", history="off")
    (own / "ran").unlink()
    # Its report is made as any other's.
    api.report("out")
    assert not (own / "ran").exists()
    reseal(Path("out"), lambda fields: fields.update(finished=False))
    with pytest.raises(CodecError, match=REFUSED):
        api.resume("out", history="off")
    with pytest.raises(SuiteError, match=r"none of those that the run began with \(x\)"):
        api.resume("out", history="off", codecs=["x=./other:trust_remote_code"])
    api.resume("out", history="off", codecs=[text])
    assert read_record(Path("out")).finished
    assert api.load_run("out").scores["value"].notna().to_numpy().all()


def test_the_same_with_timings(own: Path) -> None:
    run = api.speed(
        codecs=["x=quantised(./ck:trust_remote_code, step=1)"],
        speed={"sizes": [16], "stages": ["decode"], "samples": 10, "max_s": 0.1},
        out="out",
        history="off",
    )
    assert len(run.timings) == 1
    assert (own / "ran").exists()


@pytest.mark.parametrize(
    ("spec", "does"),
    [
        ("quantised(./ck:trust_remote_code, step=1)", "runs code of the checkpoint"),
        ("quantised(./ck):step=1,trust_remote_code=true", "runs code of the checkpoint"),
        ("quantised(org/name, step=1)", "is org/name, neither a path nor in the package"),
        ("quantised(org/name:local_files_only, step=1)", "is org/name, neither"),
        ("quantised(pca:c=4,f=8,fit=/home, step=1)", "is pca, neither"),
        ("quantised(demo-f8c4:compile, step=1)", "sets compile"),
        ("quantised(demo-f8c4, step=1):compile=true", "sets compile"),
        ("quantised(demo-f8c4:revision=main, step=1)", "sets revision"),
        ("quantised(ano-ther, step=1)", "is ano-ther, neither"),
    ],
)
def test_a_coded_picture_names_no_more_than_a_checkpoint_of_this_machine(
    own: Path, monkeypatch: pytest.MonkeyPatch, spec: str, does: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    pixels = np.zeros((16, 16, 3), np.uint8)
    file = vbl.encode_picture(pixels, CodecSpec.parse("quantised(demo-f8c4, step=1)"))
    monkeypatch.setattr("vaebench.bench.codecs.vbl.open_spec", never)
    with pytest.raises(CodecError) as caught:
        vbl.decode_picture(replace(file, spec=spec), "a.vbl")
    assert f"Cannot decode a.vbl: its codec {does}" in str(caught.value)
    assert "pass --codec" in str(caught.value)
    assert not (own / "ran").exists()


@pytest.mark.usefixtures("own")
def test_what_a_coded_picture_may_name_is_opened(kl: AutoencoderKL) -> None:
    kl.save_pretrained("ck")
    pixels = np.full((16, 16, 3), 90, np.uint8)
    for text in ("quantised(demo-f8c4, step=1)", "quantised(./ck:seed=3, bits=4)"):
        file = vbl.encode_picture(pixels, CodecSpec.parse(text))
        assert vbl.decode_picture(file, "a.vbl").shape == (16, 16, 3)


def test_a_coded_picture_is_not_read_beyond_what_one_can_have(tmp_path: Path) -> None:
    path = tmp_path / "a.vbl"
    with path.open("wb") as file:
        file.write(vbl.MAGIC)
        file.truncate(5 << 30)
    with pytest.raises(CodecError, match="more than 256 MiB"):
        vbl.read_latent_file(path)


def test_specs_are_opened_by_the_gate_alone() -> None:
    doors = {"bench/codecs/__init__.py", "bench/codecs/families.py", "bench/codecs/quantised.py"}
    for path in sorted((ROOT / "bench").rglob("*.py")):
        if path.relative_to(ROOT).as_posix() in doors:
            continue
        names = {
            node.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Name)
        }
        assert not names & {"open_codec", "open_unfitted"}, path
