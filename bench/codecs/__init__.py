"""Codecs: everything that turns a picture into what would be stored, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .base import Codec, Family, Unfitted
from .families import (
    CODECS,
    family_of,
    open_codec,
    open_spec,
    open_unfitted,
    open_unfitted_spec,
)

if TYPE_CHECKING:
    from .pil import latents_to_pil, pil_to_latents

__all__ = [
    "CODECS",
    "Codec",
    "Family",
    "Unfitted",
    "family_of",
    "latents_to_pil",
    "open_codec",
    "open_spec",
    "open_unfitted",
    "open_unfitted_spec",
    "pil_to_latents",
]


def __getattr__(name: str) -> Callable[..., Any]:
    # The notebook functions need torch, which listing the codecs must not import.
    if name in ("latents_to_pil", "pil_to_latents"):
        from . import pil

        return getattr(pil, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
