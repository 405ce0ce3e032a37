"""Where and how a network runs: device, precision, memory format, compilation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import CodecError, first_line
from ..settings import CodecSettings
from ..tensors import default_device
from .steady_layers import steady

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
_TF32_NOTE = "convolutions run in TF32, torch's default for float32 on CUDA"


class PlacementSettings(CodecSettings):
    """The settings that every network has.

    `device` is auto (CUDA where there is one), cpu, cuda, cuda:1, …; precision is float32
    unless asked otherwise, on every device. `compile` compiles encoder and decoder.
    """

    dtype: Literal["float16", "bfloat16", "float32"] = "float32"
    device: str = "auto"
    compile: bool = False
    channels_last: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision of weights and latents."""
        return _DTYPES[self.dtype]


def place(
    network: nn.Module, compiled: Iterable[nn.Module], settings: PlacementSettings, name: str
) -> torch.device:
    """Move a network to its device and precision, ready to run; return the device.

    Args:
        compiled: the parts that `compile` compiles. Never the whole model: a compiled model's
            encode and decode methods would run uncompiled.
    Raises: CodecError where the device does not exist.
    """
    device = _find_device(settings.device, name)
    network.eval().requires_grad_(False)
    # nn.Module's own: diffusers' `to` warns of modules pinned to float32 even where none is.
    nn.Module.to(network, device=device, dtype=settings.torch_dtype)
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    as_it_is = settings.dtype == "float32" and not settings.channels_last and not settings.compile
    if device.type == "cpu" and as_it_is:
        steady(network)
    if settings.compile:
        for part in compiled:
            part.compile()
    return device


def to_network(
    images: Tensor,
    device: torch.device,
    settings: PlacementSettings,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return [N, C, H, W] as the network takes it, in the memory format that was asked for.

    A picture that was read as [H, W, 3] and permuted would be in the other: that takes other
    kernels, all through the network.

    Args:
        dtype: the network's own where none is given.
    """
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    return images.to(device=device, dtype=dtype or settings.torch_dtype).contiguous(
        memory_format=layout
    )


def precision_notes(device: torch.device, settings: PlacementSettings) -> tuple[str, ...]:
    """Return what a reader must know of the arithmetic."""
    tf32 = torch.backends.cudnn.allow_tf32
    is_tf32 = device.type == "cuda" and settings.dtype == "float32" and tf32
    return (_TF32_NOTE,) if is_tf32 else ()


def stored_bits(latents: Tensor) -> tuple[int, ...]:
    """Return for each picture the bits of its latents, stored as they are."""
    return (latents[0].numel() * latents.element_size() * 8,) * len(latents)


def _find_device(device: str, name: str) -> torch.device:
    if device == "auto":
        return default_device()
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        told = first_line(error).rstrip(".")
        raise CodecError(
            f"Cannot open {name}: device {device!r} cannot be used here ({told}). "
            "Pass device=cpu or device=auto."
        ) from error
    return found
