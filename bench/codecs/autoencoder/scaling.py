"""Raw latents to scaled ones, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import CodecError
from ...records import CodecInfo


def scale_latents(latents: Tensor, model: Any) -> Tensor:
    """Return the scaled latents of raw [N, C, h, w].

    Args:
        model: a diffusers autoencoder, or the `CodecInfo` of a codec without statistics.
    Returns: [N, C, h, w]; [N, 4·C, h/2, w/2] for FLUX.2.
    """
    if (statistics := _batch_norm(model)) is not None:
        mean, std = _like(statistics, latents)
        return (_fold(latents) - mean) / std
    scale, shift = _factors(model)
    if (statistics := _per_channel(model)) is not None:
        mean, std = _like(statistics, latents)
        return (latents - mean) * scale / std
    return (latents - shift) * scale


def unscale_latents(latents: Tensor, model: Any) -> Tensor:
    """Return the raw latents of scaled ones: the inverse of `scale_latents`."""
    if (statistics := _batch_norm(model)) is not None:
        mean, std = _like(statistics, latents)
        return _unfold(latents * std + mean)
    scale, shift = _factors(model)
    if (statistics := _per_channel(model)) is not None:
        mean, std = _like(statistics, latents)
        return latents * std / scale + mean
    return latents / scale + shift


def has_statistics(model: Any) -> bool:
    """Tell whether scaling needs more than a factor and a shift."""
    return _batch_norm(model) is not None or _per_channel(model) is not None


def check_statistics(model: Any, name: str) -> None:
    """Refuse statistics by which no latents can be scaled.

    Raises: CodecError where they are not a finite number a channel, or a deviation is 0.
    """
    try:
        statistics = _per_channel(model)
        is_usable = statistics is None or (
            all(bool(values.isfinite().all()) for values in statistics)
            and bool((statistics[1] != 0).all())
        )
    except (TypeError, ValueError, RuntimeError):
        is_usable = False
    if not is_usable:
        raise CodecError(
            f"Cannot open {name}: latents_mean and latents_std of its config are expected to hold "
            "a finite number for each latent channel, and no deviation of 0."
        )


def scaling_of(model: Any) -> tuple[float | None, float | None]:
    """Return the scaling and shift factors that a diffusers model declares."""
    if _normalises_itself(model):
        return 1.0, 0.0
    return model.config.get("scaling_factor"), model.config.get("shift_factor")


def _factors(model: Any) -> tuple[float, float]:
    if isinstance(model, CodecInfo):
        scale, shift = model.scaling_factor, model.shift_factor
    else:
        scale, shift = scaling_of(model)
    return 1.0 if scale is None else scale, 0.0 if shift is None else shift


def _normalises_itself(model: Any) -> bool:
    # AutoencoderRAE scales inside encode and decode.
    return hasattr(model, "_normalize_latents") and hasattr(model, "_latents_mean")


def _per_channel(model: Any) -> tuple[Tensor, Tensor] | None:
    if isinstance(model, CodecInfo) or _normalises_itself(model):
        return None
    # LTX keeps the statistics among its weights, the others in the config.
    kept = {**model.config, **dict(model.named_buffers(recurse=False))}
    mean, std = kept.get("latents_mean"), kept.get("latents_std")
    if mean is None or std is None:
        return None
    return _first_frame(mean, model), _first_frame(std, model)


def _first_frame(statistic: Any, model: Any) -> Tensor:
    values = torch.as_tensor(statistic).flatten()
    channels = model.config.get("latent_channels") or model.config.get("z_dim") or len(values)
    # Cosmos has a value for each channel and latent frame; a picture is the first frame.
    return values.view(channels, -1)[:, 0].view(1, -1, 1, 1)


def _batch_norm(model: Any) -> tuple[Tensor, Tensor] | None:
    norm = getattr(model, "bn", None)
    if norm is None:
        return None
    mean = norm.running_mean.view(1, -1, 1, 1)
    return mean, (norm.running_var + norm.eps).sqrt().view(1, -1, 1, 1)


def _like(statistics: tuple[Tensor, Tensor], latents: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = statistics
    return mean.to(latents), std.to(latents)


def _fold(latents: Tensor) -> Tensor:
    return torch.nn.functional.pixel_unshuffle(latents, 2)


def _unfold(latents: Tensor) -> Tensor:
    return torch.nn.functional.pixel_shuffle(latents, 2)
