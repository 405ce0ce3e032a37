"""Any diffusers autoencoder as a codec: loaded whole or refused, probed before it is used."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ...errors import CodecError
from ...records import CodecInfo, Encoded, Settings
from ..base import Codec
from ..families import CODECS
from ..networks.placement import PlacementSettings, place, precision_notes, stored_bits, to_network
from ..networks.weights import count_params, fingerprint
from ..settings import Int, Word, read_settings
from .model import build_model
from .network import codebook_size, decode_latents, encode_images, fixed_side_px, is_stochastic
from .probe import probe
from .scaling import check_statistics, has_statistics, scaling_of
from .sources import find_checkpoint


class AutoencoderSettings(PlacementSettings):
    """The settings of a diffusers autoencoder.

    `posterior` is the mode, or a sample drawn from `seed` and the picture's own pixels. `config`
    is a folder with the config.json of a single file.
    """

    posterior: Literal["mode", "sample"] = "mode"
    seed: Annotated[Int, Field(ge=-(2**63), lt=2**64)] = 0
    subfolder: Word | None = None
    revision: Word | None = None
    config: str | None = None
    local_files_only: bool = False
    tiling: bool = False
    slicing: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True)
class AutoencoderCodec:
    """A diffusers autoencoder; `vae` is the model itself."""

    info: CodecInfo
    vae: Any
    device: torch.device
    settings: AutoencoderSettings

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Encode [N, 3, H, W] in [0, 1]; raw latents [N, C, h, w] in the model's precision."""
        side = fixed_side_px(self.vae)
        if side is not None and images.shape[2:] != (side, side):
            raise CodecError(
                f"Cannot encode {images.shape[3]}×{images.shape[2]} px with {self.info.name}: it "
                f"takes {side}×{side} px alone. Pass --size {side} --fit crop."
            )
        pixels = to_network(images, self.device, self.settings, torch.float32)
        posterior = encode_images(self.vae, pixels)
        latents = posterior.mode
        if self.settings.posterior == "sample" and posterior.std is not None:
            latents = latents + posterior.std * _noise(images, latents, self.settings.seed)
        return Encoded(
            nbits=_stored_bits(self.vae, latents),
            latents=latents,
            posterior_mean=None if posterior.std is None else posterior.mode,
            posterior_std=posterior.std,
            has_indices=codebook_size(self.vae) is not None,
        )

    @torch.no_grad()
    def decode(self, encoded: Encoded) -> Tensor:
        """Return the reconstruction, float32 [N, 3, H, W] on the codec's device."""
        if encoded.latents is None:
            raise CodecError(f"Cannot decode with {self.info.name}: latents are expected.")
        latents = to_network(encoded.latents, self.device, self.settings)
        return decode_latents(self.vae, latents, self.settings.seed).float()


def _noise(images: Tensor, like: Tensor, seed: int) -> Tensor:
    """Draw each picture's noise from the seed and its own pixels: order and batch play no part."""
    drawn: list[Tensor] = []
    # One copy, so that a device is waited for once a batch.
    for image in images.detach().float().cpu().contiguous().numpy():
        digest = hashlib.sha256(seed.to_bytes(16, "little", signed=True) + image.tobytes()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        drawn.append(torch.randn(like.shape[1:], generator=generator))
    return torch.stack(drawn).to(like)


def _stored_bits(vae: Any, latents: Tensor) -> tuple[int, ...]:
    codebook = codebook_size(vae)
    if codebook is None:
        return stored_bits(latents)
    # The decoder of a quantised model needs an index into its codebook for each position.
    return (latents[0, 0].numel() * math.ceil(math.log2(codebook)),) * len(latents)


def open_autoencoder(name: str, source: str, settings: Settings) -> Codec:
    """Open a diffusers autoencoder.

    Raises: CodecError where it cannot be found, is not loaded completely, or cannot encode and
    decode a single picture.
    """
    chosen = read_settings(AutoencoderSettings, name, settings, CODECS["autoencoder"].example)
    found = find_checkpoint(
        source, chosen.subfolder, chosen.revision, chosen.config, chosen.local_files_only
    )
    vae, notes = build_model(source, found, chosen.trust_remote_code)
    device = _set_up(vae, chosen, name)
    seen = probe(vae, device, chosen.torch_dtype, name)
    if chosen.posterior == "sample" and not seen.has_posterior:
        raise CodecError(
            f"Cannot open {name}: {type(vae).__name__} has no posterior to sample from. "
            "Pass posterior=mode."
        )
    check_statistics(vae, name)
    scaling_factor, shift_factor = scaling_of(vae)
    info = CodecInfo(
        name=name,
        family="autoencoder",
        source=source,
        settings=chosen.model_dump(exclude_none=True),
        revision=found.revision,
        weights_sha256=fingerprint(found.files),
        dtype=chosen.dtype,
        device=str(device),
        latent_channels=seen.latent_channels,
        spatial_factor=seen.spatial_factor,
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        params=count_params(vae),
        multiple_px=fixed_side_px(vae) or seen.spatial_factor,
        notes=(*notes, *_notes(vae, chosen), *precision_notes(device, chosen)),
    )
    return AutoencoderCodec(info, vae, device, chosen)


def _set_up(vae: Any, settings: AutoencoderSettings, name: str) -> torch.device:
    pinned: Any = getattr(vae, "_keep_in_fp32_modules", None)
    if pinned and settings.dtype != "float32":
        raise CodecError(
            f"Cannot open {name}: {type(vae).__name__} keeps parts of itself in float32. "
            "Pass dtype=float32."
        )
    for is_wanted, method in (
        (settings.tiling, "enable_tiling"),
        (settings.slicing, "enable_slicing"),
    ):
        if is_wanted:
            try:
                getattr(vae, method)()
            except (AttributeError, NotImplementedError) as error:
                setting = method.removeprefix("enable_")
                raise CodecError(
                    f"Cannot open {name}: {type(vae).__name__} has no {setting}. "
                    f"Leave out {setting}."
                ) from error
    parts = (getattr(vae, part, None) for part in ("encoder", "decoder", "decoder_unet"))
    return place(vae, [part for part in parts if isinstance(part, nn.Module)], settings, name)


def _notes(vae: Any, settings: AutoencoderSettings) -> list[str]:
    notes: list[str] = []
    if has_statistics(vae):
        notes.append("scaled latents are normalised per channel, by statistics of the checkpoint")
    if is_stochastic(vae):
        notes.append(f"the decoder draws noise, here from seed {settings.seed} for each picture")
    if vae.config.get("timestep_conditioning"):
        notes.append("decoded at time step 0, as diffusers' pipelines do by default")
    if vae.config.get("force_upcast") and settings.dtype == "float16":
        notes.append("the config asks for float32 (force_upcast): float16 may overflow")
    return notes
