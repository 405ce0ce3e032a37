"""The tensors that a config of AutoencoderKL asks for, told without diffusers.

Importing diffusers takes seconds; a checkpoint whose tensors do not fit its config is refused
sooner. What is built here is never run: the model of a checkpoint that fits is diffusers' own.

Source: the layout of AutoencoderKL in https://github.com/huggingface/diffusers, 0.35 to 0.42.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",),
    "up_block_types": ("UpDecoderBlock2D",),
    "block_out_channels": (64,),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
_HAS_ATTENTION = {
    "DownEncoderBlock2D": False,
    "AttnDownEncoderBlock2D": True,
    "UpDecoderBlock2D": False,
    "AttnUpDecoderBlock2D": True,
}


def kl_layout(config: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """Return AutoencoderKL's tensors by name, of the right shapes but without values.

    None where the config is not one that diffusers would build just so: it tells why itself.
    """
    chosen = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
    try:
        with torch.device("meta"):
            return _model(chosen).state_dict()
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RuntimeError):
        return None


def _model(chosen: Mapping[str, Any]) -> nn.Module:
    latent_channels: int = chosen["latent_channels"]
    widths: Sequence[int] = chosen["block_out_channels"]
    parts: dict[str, nn.Module] = {
        "encoder": _half(
            chosen,
            width_in=chosen["in_channels"],
            width_out=2 * latent_channels,
            widths=widths,
            blocks="down",
            layers=chosen["layers_per_block"],
        ),
        "decoder": _half(
            chosen,
            width_in=latent_channels,
            width_out=chosen["out_channels"],
            widths=widths[::-1],
            blocks="up",
            layers=chosen["layers_per_block"] + 1,
        ),
    }
    if chosen["use_quant_conv"]:
        parts["quant_conv"] = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
    if chosen["use_post_quant_conv"]:
        parts["post_quant_conv"] = nn.Conv2d(latent_channels, latent_channels, 1)
    return nn.ModuleDict(parts)


def _half(
    chosen: Mapping[str, Any],
    width_in: int,
    width_out: int,
    widths: Sequence[int],
    blocks: str,
    layers: int,
) -> nn.Module:
    groups: int = chosen["norm_num_groups"]
    levels = [
        _level(groups, before, width, layers, blocks, _HAS_ATTENTION[kind], is_last)
        for before, width, kind, is_last in zip(
            (widths[0], *widths[:-1]),
            widths,
            chosen[f"{blocks}_block_types"],
            (*[False] * (len(widths) - 1), True),
            strict=True,
        )
    ]
    # The middle lies where the pictures are smallest: last of the encoder, first of the decoder.
    middle = widths[-1] if blocks == "down" else widths[0]
    between: dict[str, nn.Module] = {
        "resnets": nn.ModuleList([_resnet(groups, middle, middle) for _ in range(2)])
    }
    if chosen["mid_block_add_attention"]:
        between["attentions"] = nn.ModuleList([_attention(groups, middle)])
    return nn.ModuleDict(
        {
            "conv_in": nn.Conv2d(width_in, widths[0], 3),
            f"{blocks}_blocks": nn.ModuleList(levels),
            "mid_block": nn.ModuleDict(between),
            "conv_norm_out": nn.GroupNorm(groups, widths[-1]),
            "conv_out": nn.Conv2d(widths[-1], width_out, 3),
        }
    )


def _level(
    groups: int,
    before: int,
    width: int,
    layers: int,
    blocks: str,
    has_attention: bool,
    is_last: bool,
) -> nn.Module:
    resnets = [_resnet(groups, width if i else before, width) for i in range(layers)]
    parts: dict[str, nn.Module] = {"resnets": nn.ModuleList(resnets)}
    if has_attention:
        parts["attentions"] = nn.ModuleList([_attention(groups, width) for _ in range(layers)])
    if not is_last:
        resample = nn.ModuleDict({"conv": nn.Conv2d(width, width, 3)})
        parts[f"{blocks}samplers"] = nn.ModuleList([resample])
    return nn.ModuleDict(parts)


def _resnet(groups: int, width_in: int, width: int) -> nn.Module:
    parts: dict[str, nn.Module] = {
        "norm1": nn.GroupNorm(groups, width_in),
        "conv1": nn.Conv2d(width_in, width, 3),
        "norm2": nn.GroupNorm(groups, width),
        "conv2": nn.Conv2d(width, width, 3),
    }
    if width_in != width:
        parts["conv_shortcut"] = nn.Conv2d(width_in, width, 1)
    return nn.ModuleDict(parts)


def _attention(groups: int, width: int) -> nn.Module:
    return nn.ModuleDict(
        {
            "group_norm": nn.GroupNorm(groups, width),
            "to_q": nn.Linear(width, width),
            "to_k": nn.Linear(width, width),
            "to_v": nn.Linear(width, width),
            "to_out": nn.ModuleList([nn.Linear(width, width)]),
        }
    )
