"""The autoencoder is found wherever training left it, and only where it is one exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from vaebench.bench.codecs import open_codec
from vaebench.bench.errors import CodecError

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def own(kl: AutoencoderKL) -> Tensors:
    return dict(kl.state_dict())


@pytest.fixture
def latents(kl: AutoencoderKL, images: Tensor) -> Callable[[Tensors], Tensor]:
    """Return what a file with some weights must encode to, by diffusers alone."""

    def asked(tensors: Tensors) -> Tensor:
        model = AutoencoderKL.from_config(dict(kl.config))
        model.load_state_dict(tensors)
        with torch.no_grad():
            return model.eval().encode(images * 2 - 1).latent_dist.mode()

    return asked


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    return {f"{prefix}{name}": tensor.clone() for name, tensor in tensors.items()}


def check(path: Path, images: Tensor, expected: Tensor) -> tuple[str, ...]:
    codec = open_codec("it", str(path), {})
    found = codec.encode(images).latents
    assert found is not None
    assert torch.allclose(found, expected, atol=1e-4)
    return codec.info.notes


@pytest.mark.parametrize("suffix", [".safetensors", ".sft", ".pt"])
@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "model.", "autoencoder.", "module._orig_mod.", "net.vae.1."),
        *("", "first_stage_model.", "vae."),
    ],
)
def test_a_prefix_is_taken_off(
    own: Tensors, tmp_path: Path, images: Tensor, latents: Any, prefix: str, suffix: str
) -> None:
    path = tmp_path / f"ae{suffix}"
    write = torch.save if suffix == ".pt" else save_file
    write(prefixed(own, prefix), path)
    notes = check(path, images, latents(own))
    plain = prefix.replace("_orig_mod.", "")
    told = (
        [] if plain in ("", "first_stage_model.", "vae.") else [f"without their prefix {plain!r}"]
    )
    told += ["without '_orig_mod.' in their names"] if plain != prefix else []
    found = [note for note in notes if note.startswith("the file's weights")]
    assert found == ([f"the file's weights {', '.join(told)} are taken"] if told else [])


def test_names_of_compiled_parts_are_understood(
    own: Tensors, tmp_path: Path, images: Tensor, latents: Any
) -> None:
    parts = {
        name.replace("encoder.", "encoder._orig_mod.").replace("decoder.", "decoder._orig_mod."): v
        for name, v in own.items()
    }
    save_file(parts, tmp_path / "ae.safetensors")
    check(tmp_path / "ae.safetensors", images, latents(own))


def test_the_same_with_a_config_beside_it(
    kl_folder: Path, own: Tensors, images: Tensor, latents: Any
) -> None:
    save_file(prefixed(own, "module."), kl_folder / "diffusion_pytorch_model.safetensors")
    (note,) = check(kl_folder, images, latents(own))
    assert note == "the file's weights without their prefix 'module.' are taken"


def test_what_training_left_beside_it_is_passed_over(
    own: Tensors, tmp_path: Path, images: Tensor, latents: Any
) -> None:
    for prefix in ("", "first_stage_model."):
        more = {f"{prefix}{name}": torch.zeros(1) for name in ("loss.logvar", "model_ema.decay")}
        save_file(prefixed(own, prefix) | more, tmp_path / "ae.safetensors")
        check(tmp_path / "ae.safetensors", images, latents(own))


@pytest.mark.parametrize(
    ("keys", "note"),
    [
        (["state_dict"], None),
        (["model"], "the file's weights of 'model' are taken"),
        (["ema"], "the file's weights of 'ema' are taken"),
        (["checkpoint", "generator"], "the file's weights of 'checkpoint.generator' are taken"),
    ],
)
def test_one_nested_dictionary_that_fits_is_taken(
    own: Tensors, tmp_path: Path, images: Tensor, latents: Any, keys: list[str], note: str | None
) -> None:
    other = torch.nn.Linear(2, 2)
    content: Any = prefixed(own, "module.") if note else dict(own)
    for key in reversed(keys):
        content = {key: content}
    content |= {
        "optimizer": torch.optim.Adam(other.parameters()).state_dict(),
        "epoch": 3,
        "discriminator": other.state_dict(),
    }
    torch.save(content, tmp_path / "last.ckpt")
    notes = check(tmp_path / "last.ckpt", images, latents(own))
    told = [one for one in notes if "are taken" in one and "weights" in one]
    expected = note and note.replace(" are", ", without their prefix 'module.' are")
    assert told == ([expected] if expected else [])


@pytest.mark.parametrize("is_flat", [True, False])
def test_of_a_model_and_its_average_the_average_is_taken(
    own: Tensors, tmp_path: Path, images: Tensor, latents: Any, is_flat: bool
) -> None:
    average = {name: tensor * 0.9 for name, tensor in own.items()}
    content: Any = {"model": dict(own), "ema": average, "optimizer": {}, "step": 5}
    if is_flat:
        content = prefixed(own, "model.") | prefixed(average, "ema.")
    torch.save(content, tmp_path / "last.pt")
    notes = check(tmp_path / "last.pt", images, latents(average))
    assert "'model' of the same file would fit too" in notes
    assert any("'ema" in note and "are taken" in note for note in notes)


def test_several_that_fit_alike_are_named(own: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save({"a": dict(own), "b": prefixed(own, ""), "step": 5}, path)
    with pytest.raises(CodecError) as caught:
        open_codec("it", str(path), {})
    assert str(caught.value) == (
        f"Cannot open {path}: it holds 2 autoencoders that fit alike, 'a', 'b'. Save the one "
        "that is meant in a file of its own."
    )


def test_of_several_that_do_not_fit_the_likeliest_is_told_of(own: Tensors, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    lacking = {name: tensor for name, tensor in own.items() if name != "decoder.conv_in.bias"}
    linear = torch.nn.Linear(2, 2).state_dict()
    torch.save({"discriminator": linear, "model": lacking, "epoch": 1}, path)
    with pytest.raises(CodecError, match=r"1 tensor missing \(decoder\.conv_in\.bias\)"):
        open_codec("it", str(path), {})


@pytest.mark.parametrize(("half", "missing"), [("encoder", "decoder"), ("decoder", "encoder")])
@pytest.mark.parametrize("prefix", ["", "module.", "first_stage_model."])
def test_of_half_a_checkpoint_the_missing_half_is_named(
    own: Tensors, tmp_path: Path, kl_folder: Path, half: str, missing: str, prefix: str
) -> None:
    part = {name: tensor for name, tensor in own.items() if missing not in name}
    for path in (tmp_path / "ae.safetensors", kl_folder / "diffusion_pytorch_model.safetensors"):
        save_file(prefixed(part, prefix), path)
        source = tmp_path / "ae.safetensors" if path.parent == tmp_path else kl_folder
        with pytest.raises(CodecError) as caught:
            open_codec("it", str(source), {})
        assert str(caught.value) == (
            f"Cannot open {source}: it holds the {half} alone, its {missing} is missing. Give a "
            "file that has both."
        )


def test_half_of_taesd_alone_says_that_the_other_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "taesd_decoder.safetensors"
    save_file({"1.weight": torch.zeros(4, 4, 3, 3), "1.bias": torch.zeros(4)}, path)
    with pytest.raises(CodecError, match=r"numbered, as one half in TAESD's format is"):
        open_codec("it", str(path), {})


def test_a_text_encoder_is_no_half(tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    save_file({"cond_stage_model.transformer.encoder.layers.0.weight": torch.zeros(1)}, path)
    with pytest.raises(CodecError, match="in no layout whose config can be inferred"):
        open_codec("it", str(path), {})


WHOLE = {
    "SD 1 and 2": (4, ["cond_stage_model.transformer.text_model.x"], 0.18215, None),
    "SDXL": (
        4,
        [
            "conditioner.embedders.0.transformer.text_model.x",
            "conditioner.embedders.1.model.transformer.resblocks.0.x",
        ],
        0.13025,
        None,
    ),
    "SDXL refiner": (4, ["conditioner.embedders.0.model.transformer.x"], 0.13025, None),
    "SD3": (16, ["model.diffusion_model.joint_blocks.0.x", "text_encoders.x"], 1.5305, 0.0609),
    "FLUX.1": (16, ["model.diffusion_model.double_blocks.0.x"], 0.3611, 0.1159),
    "FLUX.1 alone": (16, ["double_blocks.0.x"], 0.3611, 0.1159),
    "Playground 2.5": (4, ["conditioner.embedders.1.model.x", "edm_mean"], 1.0, None),
    "unknown of 4": (4, [], 0.18215, None),
    "unknown of 16": (16, [], 0.3611, 0.1159),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("prefix", ["first_stage_model.", "vae."])
def test_a_whole_checkpoint_tells_the_factors(
    tmp_path: Path, images: Tensor, name: str, suffix: str, prefix: str
) -> None:
    channels, others, scaling, shift = WHOLE[name]
    config: dict[str, Any] = {
        "block_out_channels": [32, 64],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": channels,
        "use_quant_conv": channels == 4,
        "use_post_quant_conv": channels == 4,
    }
    torch.manual_seed(1)
    model = AutoencoderKL(**config).eval()
    tensors = prefixed(dict(model.state_dict()), prefix) | {o: torch.zeros(2) for o in others}
    path = tmp_path / f"model{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": tensors}, path)
    else:
        save_file(tensors, path)
    info = open_codec("it", str(path), {}).info
    assert (info.scaling_factor, info.shift_factor) == (scaling, shift)
    is_sure = bool(others) and scaling != 1.0
    assert is_sure == any("as the file holds its other parts" in note for note in info.notes)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_an_autoencoder_of_other_channels_is_told(tmp_path: Path, channels: int) -> None:
    config: dict[str, Any] = {"in_channels": channels, "out_channels": channels}
    AutoencoderKL(**config, norm_num_groups=32).save_pretrained(tmp_path / "vae")
    counted = f"{channels} channel{'' if channels == 1 else 's'}"
    with pytest.raises(CodecError, match=f"it takes {counted}; vaebench scores RGB"):
        open_codec("it", str(tmp_path / "vae"), {})
    weights = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    alone = weights.rename(tmp_path / "alone.safetensors")
    with pytest.raises(CodecError, match=f"it takes {counted}; vaebench scores RGB"):
        open_codec("it", str(alone), {})
