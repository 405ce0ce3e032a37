"""Autoencoders whose latents are quantised and stored as real bytes: `quantised(CODEC, step=0.5)`.

Of a spec, what is in the parentheses but for step and bits is the spec of any autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from ..errors import CodecError, SuiteError
from ..records import CodecInfo, Encoded, Settings
from ..suite import QUANTISED, CodecSpec
from .autoencoder.codebook import from_indices, to_indices
from .autoencoder.network import codebook_size
from .base import Codec, Unfitted
from .families import CODECS, open_unfitted
from .latents.indices import pack_indices, unpack_indices
from .latents.stream import MAX_STEP, MIN_STEP, pack_symbols, quantise, unpack_latents
from .settings import CodecSettings, Float, Int, read_settings


class QuantiserSettings(CodecSettings):
    """How latents are quantised; both are None for a model that quantises them itself."""

    step: Float | None = Field(default=None, ge=MIN_STEP, le=MAX_STEP)
    bits: Int | None = Field(default=None, ge=2, le=8)

    @model_validator(mode="after")
    def _one(self) -> QuantiserSettings:
        if self.step is not None and self.bits is not None:
            raise ValueError("step and bits are two ways to say the same; give one")
        return self


@dataclass(frozen=True)
class QuantisedCodec:
    """An autoencoder, and bytes of its latents; decoding starts from the bytes alone.

    `codebook` is the number of entries of a vector-quantised model, whose bytes hold indices.
    """

    info: CodecInfo
    base: Codec
    settings: QuantiserSettings
    codebook: int | None

    @torch.no_grad()
    def encode(self, images: Tensor) -> Encoded:
        """Encode [N, 3, H, W] in [0, 1]; payloads, and the latents that they stand for.

        Latents are float32 [N, C, h, w], whatever the precision of the network.
        """
        latents = self.base.encode(images).latents
        if latents is None:
            raise CodecError(f"Cannot encode with {self.info.name}: its codec gave no latents.")
        if self.codebook is not None:
            vae: Any = self.base.vae  # pyright: ignore[reportAttributeAccessIssue]
            indices = to_indices(vae, latents)
            payloads = [pack_indices(one.cpu().numpy(), self.codebook) for one in indices]
            stored = from_indices(vae, indices)
        else:
            arrays = latents.float().cpu().numpy()
            step, bits = self.settings.step, self.settings.bits
            symbols = [quantise(array, step=step, bits=bits) for array in arrays]
            payloads = [pack_symbols(one) for one in symbols]
            stored = torch.from_numpy(np.stack([one.dequantise() for one in symbols]))
        nbits = tuple(8 * len(payload) for payload in payloads)
        return Encoded(nbits, latents=stored.to(latents.device), payloads=tuple(payloads))

    @torch.no_grad()
    def decode(self, encoded: Encoded) -> Tensor:
        """Return the reconstruction, float32 [N, 3, H, W], from the payloads alone."""
        if encoded.payloads is None:
            raise CodecError(f"Cannot decode with {self.info.name}: payloads are expected.")
        return self.base.decode(Encoded(encoded.nbits, latents=self.unpack(encoded.payloads)))

    @torch.no_grad()
    def unpack(self, payloads: tuple[bytes, ...]) -> Tensor:
        """Return the latents, float32 [N, C, h, w], that payloads of one size hold.

        Raises: CodecError for a damaged payload, or one that this codec cannot have written.
        """
        if self.codebook is None:
            latents = torch.from_numpy(np.stack([unpack_latents(one) for one in payloads]))
        else:
            indices = torch.from_numpy(np.stack([unpack_indices(one) for one in payloads]))
            if int(indices.max()) >= self.codebook:
                raise CodecError(
                    f"Cannot decode with {self.info.name}: the payload names an entry that its "
                    f"codebook of {self.codebook} has not. Decode with the codec that encoded it."
                )
            vae: Any = self.base.vae  # pyright: ignore[reportAttributeAccessIssue]
            latents = from_indices(vae, indices.to(vae.device))
        if latents.shape[1] != self.info.latent_channels:
            raise CodecError(
                f"Cannot decode with {self.info.name}: the payload holds {latents.shape[1]} "
                f"channels, {self.info.latent_channels} are expected. Decode with the codec that "
                "encoded it."
            )
        return latents


def open_quantised(name: str, source: str, settings: Settings) -> Codec | Unfitted:
    """Open an autoencoder and its quantiser.

    Args:
        settings: step or bits, and the autoencoder's own; they go before those in the source.
    Raises: CodecError where the codec is no autoencoder, or does not go with the quantiser.
    """
    example = CODECS["quantised"].example
    inner = _inner(name, source, example)
    settings = {**inner.settings, **settings}
    own = {key: value for key, value in settings.items() if key in QuantiserSettings.model_fields}
    chosen = read_settings(QuantiserSettings, name, own, example)
    if inner.source.startswith(QUANTISED):
        raise CodecError(f"Cannot open {name}: {inner.source} is quantised already.")
    rest = {key: value for key, value in settings.items() if key not in own}
    base = open_unfitted(name, inner.source, rest)
    if base.info.latent_channels is None:
        raise CodecError(
            f"Cannot open {name}: {inner.source} has no latents to quantise. Write, say, {example}."
        )
    vae = getattr(base, "vae", None)
    codebook = None if vae is None else codebook_size(vae)
    is_chosen = chosen.step is not None or chosen.bits is not None
    if codebook is None and not is_chosen:
        raise CodecError(
            f"Cannot open {name}: step or bits is missing. Write, say, {example} or "
            f"{QUANTISED}{inner.source}, bits=4)."
        )
    if codebook is not None and is_chosen:
        raise CodecError(
            f"Cannot open {name}: {inner.source} quantises its latents itself, to a codebook of "
            f"{codebook}. Leave out step and bits: {QUANTISED}{inner.source})."
        )

    def quantised(base: Codec) -> QuantisedCodec:
        info = replace(
            base.info,
            family="quantised",
            source=source,
            settings={**base.info.settings, **chosen.model_dump(exclude_none=True)},
            notes=(*base.info.notes, _note(chosen, codebook)),
        )
        return QuantisedCodec(info, base, chosen, codebook)

    if isinstance(base, Unfitted):
        return Unfitted(base.info, lambda pictures: quantised(base.fitted(pictures)))
    return quantised(base)


def _inner(name: str, source: str, example: str) -> CodecSpec:
    """Return the spec of the codec in the parentheses. Raises: CodecError."""
    if not source.endswith(")"):
        raise CodecError(
            f"Cannot open {name}: {source} has no closing parenthesis. Write, say, {example}."
        )
    try:
        return CodecSpec.parse(source[len(QUANTISED) : -1].strip())
    except SuiteError as error:
        raise CodecError(f"Cannot open {name}: {error}") from error


def _note(chosen: QuantiserSettings, codebook: int | None) -> str:
    if codebook is not None:
        return f"stored as indices into a codebook of {codebook}, range-coded"
    if chosen.step is not None:
        return f"latents in steps of {chosen.step:g} standard deviations, range-coded"
    return f"latents in {2 ** (chosen.bits or 0)} levels a channel, range-coded"
