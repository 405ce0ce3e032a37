import re

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLFlux2, VQModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.autoencoder.ldm import infer_config, to_diffusers
from vaebench.bench.codecs.networks.steady_layers import steady
from vaebench.bench.errors import CodecError

LEVELS = 3
BLOCKS = {
    "block_out_channels": [32, 32, 64],
    "down_block_types": ["DownEncoderBlock2D"] * LEVELS,
    "up_block_types": ["UpDecoderBlock2D"] * LEVELS,
    "layers_per_block": 2,
}
ATTENTION = {
    "down_block_types": ["DownEncoderBlock2D"] * 2 + ["AttnDownEncoderBlock2D"],
    "up_block_types": ["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 2,
}
NO_QUANT = {"use_quant_conv": False, "use_post_quant_conv": False}


def to_ldm(model):
    """Return a diffusers model's tensors as CompVis would have saved them."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        attention = ".attentions." in name
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        name = re.sub(
            r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name
        )
        name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{LEVELS - 1 - int(found[1])}", name)
        name = name.replace("down_blocks.", "down.")
        name = name.replace("resnets.", "block.").replace("attentions.", "attn.")
        name = name.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if attention:
            name = name.replace("group_norm", "norm").replace("to_out.0", "proj_out")
            name = re.sub(r"to_([qkv])\.", r"\1.", name)
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
        tensors[name] = tensor.contiguous()
    return tensors


def make(model_class, **config):
    torch.manual_seed(0)
    return model_class(**{**BLOCKS, "latent_channels": 4, **config}).eval()


@torch.no_grad()
def ask_diffusers(model, images):
    steady(model)
    output = model.encode(images * 2 - 1)
    latents = output.latents if isinstance(model, VQModel) else output.latent_dist.mode()
    # Of three pictures they are a slice, which runs through other kernels.
    return latents, model.decode(latents.contiguous()).sample / 2 + 0.5


MODELS = {
    "sd": lambda: make(AutoencoderKL),
    "flux": lambda: make(
        AutoencoderKL, latent_channels=16, scaling_factor=0.3611, shift_factor=0.1159, **NO_QUANT
    ),
    "attention in the lowest level": lambda: make(AutoencoderKL, **ATTENTION),
    "no attention in the middle": lambda: make(AutoencoderKL, mid_block_add_attention=False),
    "flux2": lambda: make(AutoencoderKLFlux2, latent_channels=8),
    "vq": lambda: make(VQModel, latent_channels=3, num_vq_embeddings=50, vq_embed_dim=4),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_file_in_compvis_layout_is_the_same_model(name, tmp_path, images):
    model = MODELS[name]()
    path = tmp_path / "vae.safetensors"
    save_file(to_ldm(model), path)
    codec = open_codec("it", str(path), {})
    assert type(codec.vae) is type(model)
    encoded = codec.encode(images)
    latents, decoded = ask_diffusers(model, images)
    assert torch.equal(encoded.latents, latents)
    assert torch.equal(codec.decode(encoded), decoded)
    assert codec.info.notes[0].startswith("config inferred from the tensors' shapes; ")
    for key in (*BLOCKS, "latent_channels", "norm_num_groups", "mid_block_add_attention"):
        assert codec.vae.config[key] == model.config[key]


def test_factors_that_shapes_cannot_tell_are_noted(tmp_path):
    told = {}
    for name in ("sd", "flux", "vq", "flux2"):
        path = tmp_path / f"{name}.safetensors"
        save_file(to_ldm(MODELS[name]()), path)
        info = open_codec("it", str(path), {}).info
        told[name] = (info.scaling_factor, info.shift_factor, info.notes[0])
    assert told["sd"][:2] == (0.18215, None)
    assert "SDXL's, of the same shapes, is 0.13025" in told["sd"][2]
    assert told["flux"][:2] == (0.3611, 0.1159)
    assert "SD3's, of the same shapes, are 1.5305 and 0.0609" in told["flux"][2]
    assert told["vq"][:2] == (1.0, None)
    assert "is not known, 1 is taken" in told["vq"][2]
    assert told["flux2"][:2] == (None, None)
    assert "batch-norm statistics" in told["flux2"][2]


def test_flux2_keeps_its_1x1_convolutions_inside_its_halves(tmp_path, images):
    model = MODELS["flux2"]()
    tensors = {
        name.replace("post_quant_conv", "decoder.post_quant_conv")
        if name.startswith("post")
        else name.replace("quant_conv", "encoder.quant_conv")
        if name.startswith("quant")
        else name: tensor
        for name, tensor in to_ldm(model).items()
    }
    assert "encoder.quant_conv.weight" in tensors
    assert "decoder.post_quant_conv.bias" in tensors
    del tensors["bn.num_batches_tracked"]
    save_file(tensors, tmp_path / "ae.safetensors")
    codec = open_codec("it", str(tmp_path / "ae.safetensors"), {})
    assert torch.equal(codec.encode(images).latents, ask_diffusers(model, images)[0])


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("prefix", ["first_stage_model.", "vae."])
def test_of_a_whole_checkpoint_the_autoencoder_is_taken(tmp_path, images, suffix, prefix):
    model = MODELS["sd"]()
    tensors = {f"{prefix}{name}": tensor for name, tensor in to_ldm(model).items()}
    tensors |= {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4),
        "cond_stage_model.logit_scale": torch.full((1,), torch.nan),
        f"{prefix}loss.logvar": torch.zeros(1),
    }
    path = tmp_path / f"sd{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": tensors, "global_step": 3}, path)
    else:
        save_file(tensors, path)
    codec = open_codec("it", str(path), {})
    assert torch.equal(codec.encode(images).latents, ask_diffusers(model, images)[0])


def test_a_foreign_tensor_is_not_passed_over(tmp_path):
    tensors = to_ldm(MODELS["sd"]())
    tensors["decoder.up.1.attn.0.k.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "vae.safetensors")
    with pytest.raises(CodecError, match=r"1 tensor unexpected \(decoder.up_blocks.1.attentions"):
        open_codec("it", str(tmp_path / "vae.safetensors"), {})


@pytest.mark.parametrize("name", ["sd", "flux", "no attention in the middle"])
def test_renaming_agrees_with_diffusers(name):
    # diffusers 0.42; it knows neither attention in the levels nor VQ models.
    model = MODELS[name]()
    theirs = convert_ldm_vae_checkpoint(to_ldm(model), dict(model.config))
    ours = to_diffusers(to_ldm(model))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_single_file_in_diffusers_layout_needs_no_config(tmp_path, images):
    model = MODELS["sd"]()
    path = tmp_path / "vae.safetensors"
    save_file(model.state_dict(), path)
    codec = open_codec("it", str(path), {})
    assert torch.equal(codec.encode(images).latents, ask_diffusers(model, images)[0])


def test_attention_names_of_old_files_are_understood(tmp_path, images):
    model = MODELS["sd"]()
    model.save_pretrained(tmp_path)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, tensor in model.state_dict().items():
        for new_word, old_word in old.items():
            name = name.replace(f"attentions.0.{new_word}.", f"attentions.0.{old_word}.")
        tensors[name] = tensor
    save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors")
    codec = open_codec("it", str(tmp_path), {})
    assert torch.equal(codec.encode(images).latents, ask_diffusers(model, images)[0])


def test_a_config_may_be_given(tmp_path, images):
    model = make(AutoencoderKL, norm_num_groups=8, scaling_factor=0.5)
    path = tmp_path / "vae.safetensors"
    save_file(to_ldm(model), path)
    model.save_config(tmp_path / "config")
    for config in (tmp_path / "config", tmp_path / "config" / "config.json"):
        codec = open_codec("it", str(path), {"config": str(config)})
        assert torch.equal(codec.encode(images).latents, ask_diffusers(model, images)[0])
        assert codec.info.scaling_factor == 0.5
        assert codec.info.notes == ()
    with pytest.raises(CodecError, match=r"^Cannot read config=/none: there is no config\.json\.$"):
        open_codec("it", str(path), {"config": "/none"})


def test_sd1_at_full_size_is_recognised():
    config = {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }
    with torch.device("meta"):
        tensors = AutoencoderKL(**config, layers_per_block=2).state_dict()
    inferred, notes = infer_config(tensors, "it")
    assert inferred == {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "mid_block_add_attention": True,
        "use_quant_conv": True,
        "use_post_quant_conv": True,
        "scaling_factor": 0.18215,
        "sample_size": 512,
        **config,
    }
    assert len(notes) == 1


def test_layouts_that_cannot_be_inferred_ask_for_a_config(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"some.weight": torch.zeros(1)}, path)
    with pytest.raises(CodecError) as error:
        open_codec("it", str(path), {})
    assert str(error.value) == (
        f"Cannot open {path}: its tensors (first some.weight) are in no layout whose config can "
        "be inferred. Pass config=DIR with the model's config.json."
    )
    tensors = to_ldm(MODELS["sd"]())
    del tensors["decoder.conv_in.weight"]
    save_file(tensors, path)
    with pytest.raises(CodecError, match=r"'decoder.conv_in.weight' is missing\. Pass config=DIR"):
        open_codec("it", str(path), {})
    narrow = make(AutoencoderKL, block_out_channels=[8, 8, 8], norm_num_groups=8)
    save_file(to_ldm(narrow), path)
    with pytest.raises(CodecError, match=r"widths \[8, 8, 8\] do not divide into 32 norm groups"):
        open_codec("it", str(path), {})
