"""Single files: CompVis' key layout turned into diffusers', and the config read from shapes.

Source: the layouts of https://github.com/CompVis/latent-diffusion, of FLUX.1 (the same without
1×1 convolutions about the latents) and of FLUX.2 (with batch-norm statistics).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import CodecError, shortened

_NORM_GROUPS = 32

_LDM = re.compile(r"(encoder\.down|decoder\.up)\.\d+\.")
_DIFFUSERS = re.compile(r"(encoder\.down|decoder\.up)_blocks\.\d+\.")
_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets."),
        (r"^encoder\.down\.(\d+)\.attn\.", r"encoder.down_blocks.\1.attentions."),
        (r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
        (r"^decoder\.up\.(\d+)\.block\.", r"decoder.up_blocks.\1.resnets."),
        (r"^decoder\.up\.(\d+)\.attn\.", r"decoder.up_blocks.\1.attentions."),
        (r"^decoder\.up\.(\d+)\.upsample\.", r"decoder.up_blocks.\1.upsamplers.0."),
        (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
        (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
        (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
        (r"\.nin_shortcut\.", ".conv_shortcut."),
        (r"^(encoder|decoder)\.norm_out\.", r"\1.conv_norm_out."),
        (r"^(encoder|decoder)\.((post_)?quant_conv)\.", r"\2."),
        (r"(\.attentions\.\d+)\.norm\.", r"\1.group_norm."),
        (r"(\.attentions\.\d+)\.([qkv])\.", r"\1.to_\2."),
        (r"(\.attentions\.\d+)\.proj_out\.", r"\1.to_out.0."),
    )
)


@dataclass(frozen=True)
class _Model:
    """A published model: its factors, and a name that its whole checkpoint alone has.

    `shape` is its latent channels, and whether there are 1×1 convolutions about them.
    """

    name: str
    shape: tuple[int, bool]
    scaling_factor: float
    shift_factor: float | None
    sample_size: int
    mark: re.Pattern[str]

    def factors(self) -> dict[str, Any]:
        shift = {} if self.shift_factor is None else {"shift_factor": self.shift_factor}
        return {"scaling_factor": self.scaling_factor, **shift, "sample_size": self.sample_size}

    def told(self) -> str:
        shift = "" if self.shift_factor is None else f" and shift {self.shift_factor}"
        verb = "is" if self.shift_factor is None else "are"
        return f"{self.name}'s scaling factor {self.scaling_factor}{shift} {verb} taken"

    def instead(self) -> str:
        if self.shift_factor is None:
            return f"{self.name}'s, of the same shapes, is {self.scaling_factor}"
        return (
            f"{self.name}'s, of the same shapes, are {self.scaling_factor} and {self.shift_factor}"
        )


# Source: the VAEs' config.json of the models as they are published; the names of their whole
# checkpoints, https://github.com/Stability-AI/generative-models, sd3.5 and black-forest-labs/flux.
_SD = _Model("SD 1 and 2", (4, True), 0.18215, None, 512, re.compile(r"cond_stage_model\."))
_SDXL = _Model(
    "SDXL", (4, True), 0.13025, None, 1024, re.compile(r"conditioner\.embedders\.(1|0\.model)\.")
)
_SD3 = _Model("SD3", (16, False), 1.5305, 0.0609, 1024, re.compile(r"(.*\.)?joint_blocks\."))
_FLUX = _Model("FLUX.1", (16, False), 0.3611, 0.1159, 1024, re.compile(r"(.*\.)?double_blocks\."))
_WHOLE_MODELS = (_SD, _SDXL, _SD3, _FLUX)
# In Playground 2.5's file, which has SDXL's shapes and other parts.
_STATISTICS = "edm_mean"

# The names that diffusers' own attention blocks had before 0.14.
_DEPRECATED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_DEPRECATED_ATTENTION = re.compile(r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.")
_UP_BLOCK = re.compile(r"^decoder\.up_blocks\.(\d+)\.")
_ATTENTION_WEIGHT = re.compile(r"\.attentions\.\d+\.to_(q|k|v|out\.0)\.weight$")


def to_diffusers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under diffusers' present names; what is not known keeps its name."""
    is_ldm = any(_LDM.match(name) for name in tensors)
    renamed = {_rename(name, is_ldm): tensor for name, tensor in tensors.items()}
    if is_ldm:
        renamed = _reverse_up_blocks(renamed)
    return {
        name: tensor.flatten(1) if _ATTENTION_WEIGHT.search(name) else tensor
        for name, tensor in renamed.items()
    }


def _rename(name: str, is_ldm: bool) -> str:
    if is_ldm:
        for pattern, replacement in _RENAMES:
            name = pattern.sub(replacement, name)
    return _DEPRECATED_ATTENTION.sub(lambda m: f"{m[1]}.{_DEPRECATED[m[2]]}.", name)


def _reverse_up_blocks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # CompVis numbers the decoder's levels from fine to coarse, diffusers in order of use.
    last = max(_indices(tensors, "decoder.up_blocks"), default=0)
    return {
        _UP_BLOCK.sub(lambda m: f"decoder.up_blocks.{last - int(m[1])}.", name): tensor
        for name, tensor in tensors.items()
    }


def infer_config(
    tensors: Mapping[str, Tensor], source: str, others: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Return the config that fits tensors under diffusers' names, and what it had to assume.

    Args:
        others: the names of the file's other tensors: of a whole checkpoint they tell the model.
    Raises: CodecError where they are not of AutoencoderKL, AutoencoderKLFlux2 or VQModel.
    """
    if not any(_DIFFUSERS.match(name) for name in tensors):
        first = shortened(next(iter(tensors), "none"))
        raise CodecError(
            f"Cannot open {source}: its tensors (first {first}) are in no layout whose config can "
            "be inferred. Pass config=DIR with the model's config.json."
        )
    try:
        config = _architecture(tensors)
    except (KeyError, IndexError, ValueError) as error:
        raise CodecError(
            f"Cannot open {source}: its config cannot be inferred; {error} is missing. "
            "Pass config=DIR with the model's config.json."
        ) from error
    widths: list[int] = config["block_out_channels"]
    if any(width % _NORM_GROUPS for width in widths):
        raise CodecError(
            f"Cannot open {source}: its config cannot be inferred; widths {widths} do not divide "
            f"into {_NORM_GROUPS} norm groups. Pass config=DIR with the model's config.json."
        )
    factors, notes = _factors(config, others)
    return config | factors, [f"config inferred from the tensors' shapes; {notes}"]


def _architecture(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    downs = _indices(tensors, "encoder.down_blocks")
    ups = _indices(tensors, "decoder.up_blocks")
    latent_channels = tensors["decoder.conv_in.weight"].shape[1]
    config: dict[str, Any] = {
        "_class_name": "AutoencoderKL",
        "in_channels": tensors["encoder.conv_in.weight"].shape[1],
        "out_channels": tensors["decoder.conv_out.weight"].shape[0],
        "block_out_channels": [
            tensors[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in downs
        ],
        "down_block_types": [
            f"{_attn(tensors, f'encoder.down_blocks.{i}')}DownEncoderBlock2D" for i in downs
        ],
        "up_block_types": [
            f"{_attn(tensors, f'decoder.up_blocks.{i}')}UpDecoderBlock2D" for i in ups
        ],
        "layers_per_block": len(_indices(tensors, "encoder.down_blocks.0.resnets")),
        "latent_channels": latent_channels,
        "norm_num_groups": _NORM_GROUPS,
        "mid_block_add_attention": "encoder.mid_block.attentions.0.to_q.weight" in tensors,
    }
    if (codebook := tensors.get("quantize.embedding.weight")) is not None:
        count, width = codebook.shape
        vq = {"_class_name": "VQModel", "num_vq_embeddings": count, "vq_embed_dim": width}
        return config | vq
    config["use_quant_conv"] = "quant_conv.weight" in tensors
    config["use_post_quant_conv"] = "post_quant_conv.weight" in tensors
    if "bn.running_mean" in tensors:
        config["_class_name"] = "AutoencoderKLFlux2"
    return config


def _factors(config: Mapping[str, Any], others: Collection[str]) -> tuple[dict[str, Any], str]:
    if config["_class_name"] == "AutoencoderKLFlux2":
        return {}, "latents are normalised by the file's batch-norm statistics"
    if config["_class_name"] == "AutoencoderKL":
        channels, has_quant = config["latent_channels"], bool(config.get("use_quant_conv"))
        if _STATISTICS in others:
            told = "Playground 2.5's statistics of each channel are not taken, nor a scaling factor"
            return {"scaling_factor": 1.0}, f"{told}: pass config=DIR for scaled latents"
        for model in _WHOLE_MODELS:
            if (channels, has_quant) == model.shape and any(map(model.mark.match, others)):
                return model.factors(), f"{model.told()}, as the file holds its other parts"
        if channels == 16 and not has_quant:
            return _FLUX.factors(), f"16 channels: {_FLUX.told()} ({_SD3.instead()})"
        if channels == 4:
            return _SD.factors(), f"4 channels: {_SD.told()} ({_SDXL.instead()})"
    return {"scaling_factor": 1.0}, "the scaling factor is not known, 1 is taken"


def _indices(tensors: Mapping[str, Tensor], prefix: str) -> list[int]:
    numbered = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return sorted({int(match[1]) for name in tensors if (match := numbered.match(name))})


def _attn(tensors: Mapping[str, Tensor], block: str) -> str:
    return "Attn" if f"{block}.attentions.0.to_q.weight" in tensors else ""
