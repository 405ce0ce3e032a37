"""The rungs of the loss ladder: what each switches on, and how a codec runs with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ...codecs.base import Codec
from ...errors import CodecError
from ...records import CodecInfo, Encoded
from ...suite import CodecSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Protocol:
    """What happens to a picture between the original and the reconstruction that is scored.

    `codec_settings` are those that decide how the codec is opened.
    """

    is_resized: bool = False
    posterior: str = "mode"
    dtype: str = "float32"
    has_8bit_latents: bool = False
    is_tiled: bool = False
    is_rounded: bool = False
    round_trips: int = 1

    @property
    def codec_settings(self) -> tuple[tuple[str, str | bool], ...]:
        """The settings that differ from the base's."""
        settings = (
            ("posterior", self.posterior, "mode"),
            ("dtype", self.dtype, "float32"),
            ("tiling", self.is_tiled, False),
        )
        return tuple((name, value) for name, value, usual in settings if value != usual)


@dataclass(frozen=True)
class Rung:
    """One thing that a protocol may do: its name, the fields of Protocol it sets, its setting."""

    name: str
    changes: dict[str, Any]
    setting: str | None = None
    lacking: str = ""


BASE: Final = Protocol()
SWITCHES: Final = (
    Rung("resize", {"is_resized": True}),
    Rung("sample", {"posterior": "sample"}, "posterior", "no posterior to sample from"),
    Rung("float16", {"dtype": "float16"}, "dtype", "no precision to choose"),
    Rung("bfloat16", {"dtype": "bfloat16"}, "dtype", "no precision to choose"),
    Rung("8-bit latents", {"has_8bit_latents": True}, None, "no latents: they store a file"),
    Rung("tiling", {"is_tiled": True}, "tiling", "no tiling"),
    Rung("rounding", {"is_rounded": True}),
)
"""In the order in which a picture meets them."""


def rungs_of(generations: Sequence[int]) -> tuple[Rung, ...]:
    """Return all rungs, the repeated round trips last."""
    trips = (Rung(f"{k} round trip{'s' if k > 1 else ''}", {"round_trips": k}) for k in generations)
    return (*SWITCHES, *trips)


def why_not(rung: Rung, info: CodecInfo, is_resizing: bool) -> str | None:
    """Return why a codec has no such rung; None where it may have it."""
    if rung.name == "resize" and not is_resizing:
        return "no size was given: pass --size and --fit"
    has_setting = rung.setting is None or rung.setting in info.settings
    has_latents = not rung.changes.get("has_8bit_latents") or info.latent_channels is not None
    return None if has_setting and has_latents else f"{info.family} codecs have {rung.lacking}"


def switched(protocol: Protocol, rung: Rung) -> Protocol:
    """Return a protocol with one rung more."""
    return replace(protocol, **rung.changes)


def base_settings(spec: CodecSpec, is_network: bool) -> dict[str, Any]:
    """Return a codec's settings without what is a rung of its own."""
    dropped = ("posterior", "dtype", "tiling") if is_network else ()
    return {name: value for name, value in spec.settings.items() if name not in dropped}


@dataclass(frozen=True)
class EightBitLatents:
    """A codec whose latents are stored in 8 bits.

    Each channel of each picture is rounded to 256 levels, evenly from its least to its greatest
    value; these two are not counted in `nbits`.
    """

    codec: Codec

    @property
    def info(self) -> CodecInfo:
        """The codec's own."""
        return self.codec.info

    def encode(self, images: Tensor) -> Encoded:
        """Encode [N, 3, H, W] and round the latents. Raises: CodecError where there are none."""
        encoded = self.codec.encode(images)
        if encoded.latents is None:
            raise CodecError(f"Cannot store latents of {self.info.name} in 8 bits: it has none.")
        latents = to_256_levels(encoded.latents)
        return Encoded((8 * latents[0].numel(),) * len(latents), latents)

    def decode(self, encoded: Encoded) -> Tensor:
        """Decode as the codec does."""
        return self.codec.decode(encoded)


def to_256_levels(latents: Tensor) -> Tensor:
    """Return [N, C, h, w] rounded to 256 even levels between each channel's least and greatest.

    The result is within (greatest - least) / 510 of the latents, but for their own precision.
    """
    values = latents.float()
    low = values.amin((-2, -1), keepdim=True)
    step = (values.amax((-2, -1), keepdim=True) - low) / 255
    # A channel of one value has no levels to tell apart.
    levels = ((values - low) / step.where(step > 0, 1.0)).round()
    return (low + levels * step).to(latents.dtype)
