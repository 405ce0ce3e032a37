"""Codecs: everything that turns a picture into what would be stored, and back.

`CODECS` holds the families in the order in which they are asked whether a source is theirs.
Other packages add one by an entry point in the group `vaebench.codecs` that loads to a `Family`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CodecError, unknown_name
from ..records import Settings
from .autoencoder.family import AUTOENCODER
from .base import Codec, Family
from .classical import AVIF, JPEG, JPEG2000, JPEGXL, PNG, RESIZE, WEBP
from .pca import PCA
from .quantised import QUANTISED
from .taesd import TAESD

if TYPE_CHECKING:
    from .pil import latents_to_pil, pil_to_latents

__all__ = [
    "CODECS",
    "Codec",
    "Family",
    "family_of",
    "latents_to_pil",
    "open_codec",
    "pil_to_latents",
]

CODECS: dict[str, Family] = {
    "jpeg": JPEG,
    "webp": WEBP,
    "avif": AVIF,
    "jpegxl": JPEGXL,
    "jpeg2000": JPEG2000,
    "png": PNG,
    "resize": RESIZE,
    "quantised": QUANTISED,
    "pca": PCA,
    "taesd": TAESD,
    "autoencoder": AUTOENCODER,
}

_GROUP = "vaebench.codecs"
_PATH_FORMS = (
    "A checkpoint is a folder (./sd-vae), a file (./vae.safetensors) or a hub id (org/name)."
)


def open_codec(name: str, source: str, settings: Settings) -> Codec:
    """Open the codec that a source and its settings mean.

    Args:
        name: what the run calls it.
        source: jpeg, resize, demo-f8c4, a path, org/name, ….
        settings: the family's own; a bare number of a spec comes as "factor".
    Raises: CodecError where no family claims the source, or its family cannot open it.
    """
    return family_of(source).open(name, source, settings)


def family_of(source: str) -> Family:
    """Return the family that claims a source. Raises: CodecError where none does."""
    for family in CODECS.values():
        if family.claims(source):
            return family
    return _third_party_family(source)


def _third_party_family(source: str) -> Family:
    """Return the family of another package that claims a source, or is called so.

    A broken entry point is passed over unless it is the one asked for.
    """
    broken: list[str] = []
    points = list(entry_points(group=_GROUP))
    for point in points:
        try:
            family = _load(point)
            if family.claims(source) or point.name == source:
                return family
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            if point.name == source:
                raise CodecError(
                    f"Cannot open {source}: its entry point {point.value!r} does not load "
                    f"({told}). Mend or uninstall the package that brings it."
                ) from error
            broken.append(f"{point.name} ({told})")
    raise CodecError(_unknown_source(source, [point.name for point in points], broken))


def _load(point: EntryPoint) -> Family:
    loaded: Any = point.load()
    if not isinstance(loaded, Family):
        raise TypeError(f"a vaebench Family is expected, got {type(loaded).__name__}")
    return loaded


def _unknown_source(source: str, third_party: list[str], broken: list[str]) -> str:
    from .autoencoder.sources import demo_names, looks_like_path

    if Path(source).exists():
        told = (
            f"Cannot open {source}: no autoencoder is found there. A diffusers folder with "
            "config.json, a pipeline folder, a TAESD pair (*_encoder.pth, *_decoder.pth) or one "
            "file of weights is expected."
        )
    elif looks_like_path(source):
        told = f"Cannot open {source}: there is no such file or folder. {_PATH_FORMS}"
    else:
        words = [word for word, family in CODECS.items() if family.claims(word)]
        told = unknown_name("codec", source, [*words, *demo_names(), *third_party])
        told = f"{told} {_PATH_FORMS}"
    if broken:
        told += f" Entry points that do not load: {', '.join(broken)}."
    return told


def __getattr__(name: str) -> Callable[..., Any]:
    # The notebook functions need torch, which listing the codecs must not import.
    if name in ("latents_to_pil", "pil_to_latents"):
        from . import pil

        return getattr(pil, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
