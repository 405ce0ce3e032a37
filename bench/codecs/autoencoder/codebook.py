"""The codebook of a vector-quantised autoencoder: its latents as indices, and back.

diffusers' models of two kinds have one. A VQModel keeps the entries among its weights, and its
decoder takes any latents and quantises them. Video models with finite scalar quantisation have an
entry for each combination of levels; their encoder has quantised already.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .network import codebook_size

# FSQRegularizer's levels of each channel, of which the fifth is 0; the only ones diffusers has.
_LEVELS = 8


def to_indices(vae: Any, latents: Tensor) -> Tensor:
    """Return the codebook indices, int64 [N, h, w], that a model's decoder makes of raw latents."""
    if hasattr(vae, "quantize"):
        found: Tensor = vae.quantize(latents)[2][2]
        return found.reshape(len(latents), *latents.shape[2:])
    levels = (latents.float() * (_LEVELS // 2)).round().long() + _LEVELS // 2
    places = _LEVELS ** torch.arange(levels.shape[1], device=levels.device)
    return (levels * places.view(1, -1, 1, 1)).sum(dim=1)


def from_indices(vae: Any, indices: Tensor) -> Tensor:
    """Return the raw latents, float32 [N, C, h, w], of codebook indices, int64 [N, h, w]."""
    if hasattr(vae, "quantize"):
        entries: Tensor = vae.quantize.embedding.weight[indices]
        return entries.permute(0, 3, 1, 2).float()
    channels = _channels(codebook_size(vae) or 1)
    places = _LEVELS ** torch.arange(channels, device=indices.device).view(1, -1, 1, 1)
    levels = indices[:, None] // places % _LEVELS
    return (levels - _LEVELS // 2).float() / (_LEVELS // 2)


def _channels(size: int) -> int:
    return next(count for count in range(1, 64) if size <= _LEVELS**count)
