import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL
from vaebench.bench.codecs import CODECS, open_codec
from vaebench.bench.codecs.demo import DEMO_CHECKPOINTS
from vaebench.bench.errors import CodecError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def rewrite_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **changes}))


@pytest.fixture
def expected(kl_folder, images):
    return open_codec("it", str(kl_folder), {}).encode(images).latents


@pytest.mark.parametrize("subfolder", ["vae", "vqvae", "movq"])
def test_a_pipeline_folder_leads_to_its_autoencoder(
    kl_folder, tmp_path, images, expected, subfolder
):
    pipeline = tmp_path / "pipeline"
    shutil.copytree(kl_folder, pipeline / subfolder)
    (pipeline / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusionPipeline"})
    )
    codec = open_codec("it", str(pipeline), {})
    assert torch.equal(codec.encode(images).latents, expected)


def test_a_subfolder_may_be_named(kl_folder, tmp_path, images, expected):
    home = tmp_path / "home"
    shutil.copytree(kl_folder, home / "my-vae")
    codec = open_codec("it", str(home), {"subfolder": "my-vae"})
    assert torch.equal(codec.encode(images).latents, expected)
    with pytest.raises(CodecError) as error:
        open_codec("it", str(home), {"subfolder": "other"})
    assert str(error.value) == (
        f"Cannot open {home}: no diffusers autoencoder in other; a config.json with _class_name, "
        f"and {WEIGHTS} beside it, are expected."
    )
    with pytest.raises(CodecError, match=r"no diffusers autoencoder there or in its vae folder;"):
        open_codec("it", str(home), {})


def test_shards_are_put_together(kl, tmp_path, images, expected):
    kl.save_pretrained(tmp_path / "sharded", max_shard_size="1MB")
    files = sorted(path.name for path in (tmp_path / "sharded").glob("*.safetensors"))
    assert len(files) > 1
    codec = open_codec("it", str(tmp_path / "sharded"), {})
    assert torch.equal(codec.encode(images).latents, expected)
    (tmp_path / "sharded" / files[1]).unlink()
    with pytest.raises(CodecError, match=rf"it names files that are not there: '{files[1]}'\.$"):
        open_codec("it", str(tmp_path / "sharded"), {})


def test_a_shard_outside_the_folder_is_not_read(kl, tmp_path):
    kl.save_pretrained(tmp_path / "it", max_shard_size="1MB")
    index = tmp_path / "it" / f"{WEIGHTS}.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["x"] = "../outside.safetensors"
    index.write_text(json.dumps(content))
    (tmp_path / "outside.safetensors").write_bytes(b"")
    with pytest.raises(CodecError, match=r"not there: '\.\./outside\.safetensors'\.$"):
        open_codec("it", str(tmp_path / "it"), {})


def test_a_variant_serves_where_there_is_nothing_else(kl_folder, images, expected):
    variant = kl_folder / "diffusion_pytorch_model.fp16.safetensors"
    shutil.copy(kl_folder / WEIGHTS, variant)
    (kl_folder / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(CodecError, match=f"Cannot read .*{WEIGHTS}"):
        open_codec("it", str(kl_folder), {})
    (kl_folder / WEIGHTS).unlink()
    assert torch.equal(open_codec("it", str(kl_folder), {}).encode(images).latents, expected)


def test_a_config_without_weights_is_told(kl_folder):
    (kl_folder / WEIGHTS).unlink()
    with pytest.raises(CodecError) as error:
        open_codec("it", str(kl_folder), {})
    assert str(error.value) == (
        f"Cannot open {kl_folder}: it has a config.json but no {WEIGHTS} or .bin. "
        f"Name the weights' file, with config={kl_folder}."
    )


def test_the_weights_file_of_a_folder_brings_its_config(kl_folder, images, expected):
    rewrite_config(kl_folder, scaling_factor=0.7)
    codec = open_codec("it", str(kl_folder / WEIGHTS), {})
    assert codec.info.scaling_factor == 0.7
    assert torch.equal(codec.encode(images).latents, expected)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AutoencoderKl", "unknown autoencoder class 'AutoencoderKl'. Did you mean AutoencoderKL?"),
        ("UNet2DConditionModel", "unknown autoencoder class 'UNet2DConditionModel'."),
        ("DDIMScheduler", "unknown autoencoder class 'DDIMScheduler'."),
    ],
)
def test_a_class_that_is_no_autoencoder_is_told(kl_folder, name, told):
    rewrite_config(kl_folder, _class_name=name)
    with pytest.raises(CodecError) as error:
        open_codec("it", str(kl_folder), {})
    assert told in str(error.value)
    assert "AutoencoderTiny" in str(error.value)


def test_a_config_that_does_not_fit_its_class_is_told(kl_folder):
    rewrite_config(kl_folder, down_block_types=["NoSuchBlock"] * 2)
    with pytest.raises(CodecError, match="AutoencoderKL cannot be built from its config"):
        open_codec("it", str(kl_folder), {})


def test_what_diffusers_ignores_of_a_config_is_noted(kl_folder):
    assert open_codec("it", str(kl_folder), {}).info.notes == ()
    rewrite_config(kl_folder, from_the_future=True)
    (note,) = open_codec("it", str(kl_folder), {}).info.notes
    assert note.endswith("ignores of its config: ['from_the_future']")


def test_damaged_json_is_told(kl_folder):
    (kl_folder / "config.json").write_text("{")
    with pytest.raises(CodecError, match=r"config.json: no valid JSON"):
        open_codec("it", str(kl_folder), {})
    (kl_folder / "config.json").write_text("[]")
    with pytest.raises(CodecError, match=r"config.json: a JSON object is expected"):
        open_codec("it", str(kl_folder), {})


def test_a_checkpoints_own_code_runs_on_request_alone(kl_folder, images, expected, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(
        "diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(kl_folder / "modules")
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    ran = kl_folder / "ran"
    (kl_folder / "own.py").write_text(
        f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n"
        "from diffusers import AutoencoderKL\nclass OwnKL(AutoencoderKL):\n    pass\n"
    )
    rewrite_config(kl_folder, _class_name="OwnKL", auto_map={"AutoModel": "own.OwnKL"})
    with pytest.raises(CodecError) as error:
        open_codec("it", str(kl_folder), {})
    assert str(error.value) == (
        f"Cannot open {kl_folder}: its class 'OwnKL' is code that comes with the checkpoint "
        "('own.py'). Where you have read it and trust it, pass trust_remote_code."
    )
    assert not ran.exists()
    codec = open_codec("it", str(kl_folder), {"trust_remote_code": True})
    assert ran.exists()
    assert type(codec.vae).__name__ == "OwnKL"
    assert torch.equal(codec.encode(images).latents, expected)


def test_demo_names_lead_to_their_folders(kl_folder, images, expected, monkeypatch):
    monkeypatch.setitem(DEMO_CHECKPOINTS, "demo-f2c4", kl_folder)
    codec = open_codec("it", "demo-f2c4", {})
    assert codec.info.source == "demo-f2c4"
    assert torch.equal(codec.encode(images).latents, expected)
    with pytest.raises(CodecError, match=r"Did you mean demo-f2c4\?"):
        open_codec("it", "demo-f2c3", {})


def test_what_is_claimed_is_seen_from_the_source_alone(kl_folder, tmp_path):
    claims = CODECS["autoencoder"].claims
    assert claims(str(kl_folder))
    assert claims(str(kl_folder.parent))
    assert claims("org/name")
    assert claims("stabilityai/sd-vae-ft-mse")
    (tmp_path / "vae.ckpt").touch()
    assert claims(str(tmp_path / "vae.ckpt"))
    (tmp_path / "empty").mkdir()
    for source in (str(tmp_path / "empty"), "./org/name", "a/b/c", "org/vae.safetensors", "word"):
        assert not claims(source)


def test_a_folder_goes_before_a_hub_id(kl, tmp_path, monkeypatch, images):
    kl.save_pretrained(tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    codec = open_codec("it", "org/name", {})
    assert isinstance(codec.vae, AutoencoderKL)
    assert codec.info.revision is None
