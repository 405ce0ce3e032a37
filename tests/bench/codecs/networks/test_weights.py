import hashlib
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.networks.weights import (
    InitSkipped,
    fingerprint,
    load_strict,
    read_weights,
)
from vaebench.bench.errors import CodecError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def change_file(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    return str(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda tensors: tensors.pop("decoder.conv_in.bias"),
            "1 tensor missing (decoder.conv_in.bias). ",
        ),
        (
            lambda tensors: tensors.update({"extra.weight": torch.zeros(1)}),
            "1 tensor unexpected (extra.weight). ",
        ),
        (
            lambda tensors: tensors.update({"decoder.conv_in.bias": torch.zeros(9)}),
            "1 tensor wrongly shaped (decoder.conv_in.bias: expected [64], got [9]). ",
        ),
    ],
)
def test_a_checkpoint_is_loaded_whole_or_not_at_all(kl_folder, change, told):
    source = change_file(kl_folder, change)
    with pytest.raises(CodecError) as error:
        open_codec("it", source, {})
    assert str(error.value) == (
        f"Cannot load {source} as AutoencoderKL: {told}"
        "The file or its config belongs to another model."
    )


def test_many_faults_are_counted_and_the_first_named(kl_folder):
    def rename_encoder(tensors):
        for name in [name for name in tensors if name.startswith("encoder.")]:
            tensors[f"other.{name}"] = tensors.pop(name)

    with pytest.raises(CodecError) as error:
        open_codec("it", change_file(kl_folder, rename_encoder), {})
    sentence = str(error.value)
    missing, unexpected = sentence.split("; ")
    assert "tensors missing (encoder.conv_in.bias, encoder.conv_in.weight, " in missing
    assert missing.count("encoder.") == 10
    assert missing.endswith(" more)")
    assert "tensors unexpected (other.encoder.conv_in.bias, " in unexpected


def test_nan_and_inf_are_damage(kl_folder):
    def spoil(tensors):
        tensors["decoder.conv_out.bias"][0] = torch.nan
        tensors["encoder.conv_in.bias"][3] = -torch.inf

    with pytest.raises(CodecError) as error:
        open_codec("it", change_file(kl_folder, spoil), {})
    assert str(error.value) == (
        f"Cannot load {kl_folder / WEIGHTS}: 2 tensors with NaN or inf: decoder.conv_out.bias, "
        "encoder.conv_in.bias. The file is damaged or its training diverged."
    )


class Vandal:
    """Its unpickling would run a program that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin", ".pt"])
def test_a_pickle_runs_no_code(tmp_path, suffix):
    made = tmp_path / "made"
    path = tmp_path / f"evil{suffix}"
    torch.save({"state_dict": {"encoder.conv_in.weight": Vandal(made)}}, path)
    with pytest.raises(CodecError) as error:
        open_codec("it", str(path), {})
    assert str(error.value) == (
        f"Cannot load {path}: it is no plain pickle of tensors, and anything more could run code. "
        "Convert it to safetensors where you trust its author."
    )
    assert not made.exists()
    # The file is a working attack, or the test would prove nothing.
    torch.load(path, weights_only=False)
    assert made.exists()


def test_a_pickle_in_a_diffusers_folder_or_a_taesd_pair_runs_no_code(kl_folder, tmp_path):
    (kl_folder / WEIGHTS).unlink()
    made = tmp_path / "made"
    torch.save({"a": Vandal(made)}, kl_folder / "diffusion_pytorch_model.bin")
    pair = tmp_path / "pair"
    pair.mkdir()
    for half in ("encoder", "decoder"):
        torch.save({"1.conv.0.weight": Vandal(made)}, pair / f"tae_{half}.pth")
    for folder in (kl_folder, pair):
        with pytest.raises(CodecError, match="no plain pickle of tensors"):
            open_codec("it", str(folder), {})
    assert not made.exists()


def test_a_plain_pickle_is_read(kl, kl_folder, images):
    expected = open_codec("it", str(kl_folder), {}).encode(images).latents
    (kl_folder / WEIGHTS).unlink()
    torch.save(kl.state_dict(), kl_folder / "diffusion_pytorch_model.bin")
    assert torch.equal(open_codec("it", str(kl_folder), {}).encode(images).latents, expected)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("vae.safetensors", b"not a file of tensors", "no valid safetensors file"),
        ("vae.safetensors", b"", "no valid safetensors file"),
        ("vae.pth", b"", "no valid checkpoint"),
        ("vae.ckpt", b"PK\x03\x04 cut short", "no valid checkpoint"),
    ],
)
def test_a_damaged_file_is_told(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CodecError, match=rf"^Cannot read .*{name}: {told}"):
        open_codec("it", str(path), {})


def test_a_pickle_of_something_else_is_told(tmp_path):
    path = tmp_path / "list.pth"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(CodecError, match="tensors by name are expected, got list"):
        read_weights([path])
    torch.save({"step": 3}, path)
    with pytest.raises(CodecError, match="step is no tensor"):
        read_weights([path])


def test_a_tensor_in_two_shards_is_told(tmp_path):
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        save_file({"same": torch.zeros(1)}, file)
    with pytest.raises(CodecError, match=r"b.safetensors: same is in another file as well"):
        read_weights(files)


def test_the_fingerprint_is_the_files_own(tmp_path, kl_folder):
    digest = hashlib.sha256((kl_folder / WEIGHTS).read_bytes()).hexdigest()
    assert open_codec("it", str(kl_folder), {}).info.weights_sha256 == digest
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in "ab"]
    joined = hashlib.sha256("".join(digests).encode()).hexdigest()
    assert fingerprint([tmp_path / "b", tmp_path / "a"]) == joined


def test_a_missing_step_counter_is_no_fault():
    norm = torch.nn.BatchNorm2d(2)
    tensors = {name: value + 1.5 for name, value in norm.state_dict().items()}
    del tensors["num_batches_tracked"]
    load_strict(norm, tensors, "it")
    assert norm.running_mean.tolist() == [1.5, 1.5]


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.tensor([2.0, 3.0]))
        self.register_buffer("table", nn.init.constant_(torch.empty(2), 5.0), persistent=False)


def test_what_is_built_without_init_draws_no_numbers_but_fills_its_buffers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with InitSkipped():
        parts = Parts()
        nn.init.normal_(tensor=parts.scale)
    assert torch.equal(torch.get_rng_state(), before)
    assert parts.scale.tolist() == [2.0, 3.0]
    assert parts.table.tolist() == [5.0, 5.0]
    assert parts.norm.running_var.tolist() == [1.0, 1.0, 1.0]
    assert {name: part.shape for name, part in parts.state_dict().items()} == {
        name: part.shape for name, part in Parts().state_dict().items()
    }
