"""Broken, foreign and malicious checkpoints on the command line: one sentence, exit 2, no code."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from vaebench.bench import api
from vaebench.bench.cli import app as cli
from vaebench.bench.codecs import open_codec, vbl
from vaebench.bench.codecs.demo import DEMO_CHECKPOINTS

DEMO = DEMO_CHECKPOINTS["demo-f8c4"]
FILE = "diffusion_pytorch_model.safetensors"
CONFIG: dict[str, Any] = json.loads((DEMO / "config.json").read_text())
FIRST = "decoder.conv_in.bias"


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return load_file(DEMO / FILE)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """Run the command with one codec; return its sentence, having checked that it is one."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("picture.png")

    def run(codec: str) -> str:
        words = ["run", "--images", "picture.png", "--codec", f"x={codec}", "--metric", "psnr"]
        monkeypatch.setattr(sys, "argv", ["vaebench", *words, "--out", "out"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capfd.readouterr()
        assert ended.value.code == 2
        (sentence,) = told.err.strip().splitlines()
        assert sentence.startswith("Error: Cannot ")
        assert not Path("out").exists()
        return sentence

    return run


def folder(tensors: dict[str, Tensor] | None = None, **changes: Any) -> Path:
    """Write ./vae: the demonstration checkpoint with other tensors or another config."""
    path = Path("vae")
    path.mkdir()
    config = {key: value for key, value in {**CONFIG, **changes}.items() if value is not ...}
    (path / "config.json").write_text(json.dumps(config))
    if tensors is not None:
        save_file(tensors, path / FILE)
    return path


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: {n: v for n, v in t.items() if n != FIRST}, f"1 tensor missing ({FIRST})"),
        (lambda t: {**t, "more": torch.zeros(1)}, "1 tensor unexpected (more)"),
        (
            lambda t: {**t, FIRST: torch.zeros(2)},
            f"1 tensor wrongly shaped ({FIRST}: expected [96], got [2])",
        ),
        (lambda t: {**t, FIRST: t[FIRST] * torch.nan}, f"1 tensor with NaN or inf: {FIRST}"),
        (lambda t: {**t, FIRST: t[FIRST] / 0}, f"1 tensor with NaN or inf: {FIRST}"),
        (lambda t: {**t, FIRST: t[FIRST].long()}, "1 tensor of whole numbers"),
        (lambda t: {"a": torch.zeros(1)}, "168 tensors missing"),
        (lambda t: {**t, "a\n\x1b[31m": torch.zeros(1)}, r"1 tensor unexpected (a\n\x1b[31m)"),
    ],
    ids=["missing", "unexpected", "misshaped", "nan", "inf", "integers", "none", "escapes"],
)
def test_tensors_that_do_not_fit(
    command: Callable[[str], str],
    tensors: dict[str, Tensor],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    reason: str,
) -> None:
    folder(change(tensors))
    assert reason in command("./vae")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "unknown autoencoder class"),
        ({"_class_name": "AutoencoderKLx"}, "Did you mean AutoencoderKL?"),
        ({"_class_name": "os.system"}, "unknown autoencoder class 'os.system'"),
        ({"_class_name": 5}, "unknown autoencoder class '5'"),
        ({"_class_name": ...}, "a config.json with _class_name"),
        ({"_class_name": "AutoencoderTiny"}, "tensors missing"),
        ({"block_out_channels": "hello"}, "cannot be built from its config"),
        ({"block_out_channels": [10**6, 10**6]}, "cannot be built from its config"),
        ({"latent_channels": -4}, "cannot be built from its config"),
        ({"norm_num_groups": 0}, "cannot be built from its config (ZeroDivisionError"),
        ({"layers_per_block": 10**9}, "asks for over 100 in 'layers_per_block'"),
        ({"layers_per_block": [2, 10**9]}, "asks for over 100 in 'layers_per_block'"),
        ({"block_out_channels": [8] * 99}, "asks for over 32 in 'block_out_channels'"),
        ({"latent_channels": 10**400}, "cannot be built from its config"),
        ({"scaling_factor": 10**400}, "scaling_factor is 1000000000"),
        ({"latents_mean": [10**400] * 4, "latents_std": 1}, "a finite number for each latent"),
        ({"latents_mean": [0, 0, 0, 0], "latents_std": 5}, "a finite number for each latent"),
        ({"latents_mean": [0, 0, 0, 0], "latents_std": [1, 1, 0, 1]}, "no deviation of 0"),
        ({"latents_mean": "0000", "latents_std": "1111"}, "a finite number for each latent"),
        ({"_class_name": "Own", "auto_map": {}}, "is code that comes with the checkpoint"),
        ({"_class_name": "Own", "auto_map": "a\n.\x1b[31mb"}, r"class '\x1b[31mb' is code"),
        ({"scaling_factor": "big"}, "scaling_factor is 'big'"),
        ({"scaling_factor": float("nan")}, "scaling_factor is nan"),
        ({"scaling_factor": 0}, "scaling_factor is 0"),
    ],
    ids=str,
)
def test_configs_that_do_not_fit(
    command: Callable[[str], str],
    tensors: dict[str, Tensor],
    changes: dict[str, Any],
    reason: str,
) -> None:
    folder(tensors, **changes)
    assert reason in command("./vae")


def test_damaged_files(command: Callable[[str], str], tensors: dict[str, Tensor]) -> None:
    path = folder(tensors) / FILE
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", struct.pack("<Q", 2**40) + b"{}"):
        path.write_bytes(content)
        assert "no valid safetensors file" in command("./vae")
    path.unlink()
    assert "has a config.json but no" in command("./vae")
    for content, reason in (("{", "no valid JSON"), ("[1]", "a JSON object is expected")):
        (path.parent / "config.json").write_text(content)
        assert reason in command("./vae")


@pytest.mark.parametrize(
    "placed",
    [{"a": "../../../etc/passwd"}, {"a": 5}, ["a"], {"a": "/x"}, {"a": "x" * 999}, {"a": "\n\0"}],
    ids=["up", "number", "list", "absolute", "long", "control"],
)
def test_an_index_names_files_beside_it_alone(command: Callable[[str], str], placed: Any) -> None:
    index = folder() / f"{FILE}.index.json"
    index.write_text(json.dumps({"weight_map": placed}))
    assert "Cannot load vae" in command("./vae")


def test_a_seed_beyond_64_bits_is_refused(command: Callable[[str], str]) -> None:
    assert f"setting seed={2**64}" in command(f"demo-f8c4:posterior=sample,seed={2**64}")


def test_no_code_of_a_pickle_runs(
    command: Callable[[str], str], tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    folder()
    bomb = Bomb(made)
    writers: dict[str, Callable[[Any, Path], object]] = {
        "torch": torch.save,
        "pickle": lambda value, path: path.write_bytes(pickle.dumps(value)),
    }
    for write in writers.values():
        for content in (bomb, {"a": bomb}, {"state_dict": tensors, "callbacks": bomb}):
            for name in ("vae/diffusion_pytorch_model.bin", "vae.ckpt", "vae.pt"):
                write(content, Path(name))
                assert "anything more could run code" in command(f"./{Path(name).parts[0]}")
                Path(name).unlink()
    assert not made.exists()
    # The trap is a trap: unpickled as Python does it, it springs.
    pickle.loads(pickle.dumps(bomb))
    assert made.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "tensors by name are expected, got list"),
        ({"a": 5}, "a is no tensor"),
        ({1: torch.zeros(2)}, "1 is no tensor's name"),
        (torch.nn.Linear(2, 2), "anything more could run code"),
        ({"a": torch.eye(3).to_sparse()}, "a is no tensor"),
        ({"a": torch.zeros(3, device="meta")}, "a is no tensor"),
        ({"a": torch.zeros(1).expand(10**12)}, "a is no tensor"),
    ],
    ids=["list", "number", "unnamed", "module", "sparse", "elsewhere", "one number for all"],
)
def test_pickles_of_something_else(
    command: Callable[[str], str], content: Any, reason: str
) -> None:
    torch.save(content, "vae.pt")
    assert reason in command("./vae.pt")


class Hungry:
    """Unpickled, it would take 20 GB."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return bytearray, (20_000_000_000,)


def test_nothing_larger_than_its_file_is_made_of_a_pickle(
    command: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    torch.save({"a": Hungry()}, "vae.pt")
    assert "no plain pickle of tensors" in command("./vae.pt")
    Path("vae.pt").write_bytes(pickle.dumps({"a": Hungry()}))
    assert "no plain pickle of tensors" in command("./vae.pt")
    # The same where a coded picture names it.
    file = vbl.LatentFile("quantised(./vae.pt):step=1", "00" * 16, 16, 16, b"")
    Path("a.vbl").write_bytes(vbl.to_bytes(file))
    monkeypatch.setattr(sys, "argv", ["vaebench", "decode", "a.vbl", "a.png"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "no plain pickle of tensors" in capfd.readouterr().err
    with zipfile.ZipFile("vae.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vae/data.pkl", bytes(200_000_000))
    assert "its archive would unpack to 200000000 bytes" in command("./vae.pth")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("vae/config.json", b'{"_class_name": "'),
        ("vae/diffusion_pytorch_model.safetensors.index.json", b'{"weight_map": {"'),
        (f"vae/{FILE}", struct.pack("<Q", 1 << 33) + b"{"),
        (f"vae/{FILE}", struct.pack("<Q", 2) + b"{}"),
        ("vae/diffusion_pytorch_model.bin", b"PK\x03\x04"),
        ("vae/diffusion_pytorch_model.bin", b"\x80\x02}"),
        ("vae/diffusion_pytorch_model.bin", b"\x80\x02X\xff\xff\xff\x7f"),
    ],
)
def test_a_file_of_5_gb_that_is_nothing_is_refused_by_its_size_or_beginning(
    command: Callable[[str], str], name: str, start: bytes
) -> None:
    folder()
    with Path(name).open("wb") as file:
        file.write(start)
        file.truncate(5 << 30)
    began = time.perf_counter()
    command("./vae")
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F32", "shape": [10_000_000_000], "data_offsets": [0, 40_000_000_000]},
        {"dtype": "F4", "shape": [80_000_000_000], "data_offsets": [0, 40_000_000_000]},
    ],
    ids=["of another shape", "of 4 bits"],
)
def test_a_tensor_of_40_gb_is_never_read(
    command: Callable[[str], str], tensor: dict[str, Any]
) -> None:
    header = json.dumps({FIRST: tensor}).encode()
    with (folder() / FILE).open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 40_000_000_000)
    told = command("./vae")
    assert "its encoder is missing" in told or "its type 'F4' is not one of" in told


def test_widths_that_need_more_memory_than_there_is_are_refused_before_it_is_taken(
    command: Callable[[str], str], tensors: dict[str, Tensor]
) -> None:
    for number, widths in enumerate(([20_000] * 4, [3200] * 4)):
        path = folder(
            tensors,
            block_out_channels=widths,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
        )
        told = command("./vae")
        assert ("cannot be built from its config" in told) == (number == 0)
        assert ("wrongly shaped" in told) == (number == 1)
        shutil.rmtree(path)
    # Of a file without a config, the shapes make it; a tensor without numbers can have any.
    save_file(
        {
            "encoder.1.conv.0.weight": torch.zeros(10**6, 10**6, 0, 3),
            "decoder.1.weight": torch.zeros(0),
        },
        "both.safetensors",
    )
    assert "both.safetensors" in command("./both.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20


def test_what_quotes_a_file_is_cut(
    command: Callable[[str], str], tensors: dict[str, Tensor]
) -> None:
    long = "n" * 5_000_000
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({**tensors, long: torch.zeros(1)}, {}),
        ({long: torch.zeros(1)}, {}),
        ({f"{number}": torch.zeros(1) for number in range(50_000)}, {}),
        (tensors, {"_class_name": long}),
        (tensors, {"scaling_factor": long}),
        (tensors, {"act_fn": long}),
        (tensors, {f"{long}_layers": 1000}),
        (tensors, {"_class_name": "Own", "auto_map": long}),
    ]
    for own, changes in cases:
        path = folder(own, **changes)
        assert len(command("./vae")) < 5000
        if not changes:
            (path / FILE).rename("alone.safetensors")
            assert len(command("./alone.safetensors")) < 5000
        shutil.rmtree(path)
    index = folder() / f"{FILE}.index.json"
    placed = {f"t{number}": f"shard-{number}.safetensors" for number in range(100_000)}
    index.write_text(json.dumps({"weight_map": placed}))
    told = command("./vae")
    assert told.endswith("and 99990 more.")
    assert told.count("shard-") == 10


def test_unknown_keys_of_a_config_are_counted(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tensors, **{f"key{number}": number for number in range(200_000)})
    (note,) = open_codec("it", "./vae", {}).info.notes
    assert note.endswith("and 199990 more]")
    assert len(note) < 500


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" + bytes(99), bytes(1000)])
def test_files_that_are_no_pickles(command: Callable[[str], str], content: bytes) -> None:
    Path("vae.ckpt").write_bytes(content)
    assert "vae.ckpt" in command("./vae.ckpt")


def test_a_network_that_gives_nan_leaves_its_scores_unavailable(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32), (200, 90, 10)).save("picture.png")
    # Finite weights whose activations overflow.
    folder({**tensors, FIRST: torch.full(tensors[FIRST].shape, 3e38)})
    run = api.run(
        images=["picture.png"], codecs=["x=./vae"], metrics=["psnr"], out="out", history="off"
    )
    (reason,) = run.unavailable["reason"].unique()
    assert reason == "x gave NaN or infinite values in decoding."
    assert set(run.unavailable["image_id"]) == {"picture.png"}
    assert run.scores["value"].isna().all()
