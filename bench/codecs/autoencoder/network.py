"""Calling a diffusers autoencoder of any class on still pictures in [0, 1].

The pixel range of a class, the one frame of a video class and the form of its answers are known
here and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor

# Pixels are (x - mean) / std of x in [0, 1]; every class not named here takes [-1, 1].
# Plain numbers: a tensor of them would be copied to the device, and waited for, at every call.
_SIGNED = (0.5, 0.5)
_UNIT = (0.0, 1.0)
_RANGES = {"AutoencoderRAE": _UNIT}
# Its attention mask is wrong for more than one video.
_ONE_AT_A_TIME = ("AutoencoderKLHunyuanVideo15",)
# Its encoder wants the first frame repeated until it fills the first latent.
_FRAME_REPEATED = ("AutoencoderVidTok",)


@dataclass(frozen=True)
class Posterior:
    """What an encoder answered: the mode, and the spread where there is a distribution.

    Both are [N, C, h, w].
    """

    mode: Tensor
    std: Tensor | None


def encode_images(vae: Any, images: Tensor) -> Posterior:
    """Encode float32 [N, 3, H, W] in [0, 1], on the model's device, in the model's precision.

    They are mapped to the model's range before they are rounded to its precision, as by diffusers'
    VaeImageProcessor: of few bits, there are more about 0 than about 1/2.
    """
    if type(vae).__name__ in _ONE_AT_A_TIME and len(images) > 1:
        each = [encode_images(vae, image) for image in images.split(1)]
        spreads = [one.std for one in each if one.std is not None]
        return Posterior(
            torch.cat([one.mode for one in each]), torch.cat(spreads) if spreads else None
        )
    output = vae.encode(_as_network_input(vae, images))
    distribution = getattr(output, "latent_dist", None)
    if distribution is not None:
        spread = getattr(distribution, "std", None)
        spread = None if spread is None else _one_frame(spread)
        return Posterior(_one_frame(distribution.mode()), spread)
    if isinstance(output, tuple):
        return Posterior(_one_frame(output[0]), None)
    latents = getattr(output, "latents", None)
    return Posterior(_one_frame(output.latent if latents is None else latents), None)


def _as_network_input(vae: Any, images: Tensor) -> Tensor:
    mean, std = _RANGES.get(type(vae).__name__, _SIGNED)
    pixels = ((images.float() - mean) / std).to(next(vae.parameters()).dtype)
    if vae.config.get("in_channels") == 4:
        # An RGBA model; the picture is opaque.
        pixels = torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)
    if not is_video(vae):
        return pixels
    frames = vae.temporal_compression_ratio if type(vae).__name__ in _FRAME_REPEATED else 1
    return pixels.unsqueeze(2).expand(-1, -1, frames, -1, -1)


def decode_latents(vae: Any, latents: Tensor, seed: int) -> Tensor:
    """Decode raw [N, C, h, w] to [N, 3, H, W] around [0, 1], not clamped.

    A decoder that draws noise draws the same for every picture, from `seed`, so that neither
    order nor batch plays a part.
    """
    one_at_a_time = is_stochastic(vae) or type(vae).__name__ in _ONE_AT_A_TIME
    if not one_at_a_time:
        return _decode(vae, latents)
    decoded: list[Tensor] = []
    for one in latents.split(1):
        with _seeded(seed, latents.device):
            decoded.append(_decode(vae, one))
    return torch.cat(decoded)


def _decode(vae: Any, latents: Tensor) -> Tensor:
    known = inspect.signature(vae.decode).parameters
    options: dict[str, Any] = {}
    if "num_frames" in known:
        options["num_frames"] = 1
    if "temb" in known and vae.config.get("timestep_conditioning"):
        # The time step at which diffusers' pipelines decode unless told otherwise.
        options["temb"] = latents.new_zeros(len(latents))
    output = vae.decode(latents.unsqueeze(2) if is_video(vae) else latents, **options)
    pixels = _one_frame(output if isinstance(output, Tensor) else output.sample)
    mean, std = _RANGES.get(type(vae).__name__, _SIGNED)
    return pixels[:, :3] * std + mean


def is_video(vae: Any) -> bool:
    """Tell whether a model takes [N, C, frames, H, W]."""
    # Qwen-Image 2.1 takes frames too, though it convolves them one by one.
    has_frames = "temperal_downsample" in vae.config
    return has_frames or any(parameter.ndim == 5 for parameter in vae.encoder.parameters())


def is_stochastic(vae: Any) -> bool:
    """Tell whether the decoder draws noise."""
    injected: Any = vae.config.get("decoder_inject_noise") or ()
    return hasattr(vae, "decoder_scheduler") or bool(injected is True or any(injected or ()))


def fixed_side_px(vae: Any) -> int | None:
    """Return the side of the only pictures that a model takes, None where any size will do."""
    # AutoencoderRAE would resize all others, and give back another size than it got.
    return getattr(vae, "decoder_image_size", None)


def codebook_size(vae: Any) -> int | None:
    """Return the number of codebook entries of a model whose latents are quantised."""
    if vae.config.get("regularizer") == "fsq":
        return vae.config["codebook_size"]
    return vae.config.get("num_vq_embeddings")


def _one_frame(tensor: Tensor) -> Tensor:
    return tensor[:, :, 0] if tensor.ndim == 5 else tensor


_SEEDING = Lock()


@contextmanager
def _seeded(seed: int, device: torch.device) -> Generator[None]:
    devices = [device] if device.type == "cuda" else []
    # What noise is drawn from belongs to all threads.
    with _SEEDING, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
