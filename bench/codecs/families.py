"""Which source belongs to which family of codecs, and what opens it.

`CODECS` holds the families in the order in which they are asked whether a source is theirs. What
opens a codec is named and not imported: most need torch, which listing the codecs must not.
Other packages add a family by an entry point in the group `vaebench.codecs` that loads to one.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ..errors import CodecError, SuiteError, unknown_name
from ..records import Settings
from ..suite import QUANTISED, CodecSpec
from .autoencoder.sources import is_autoencoder_source, looks_like_path
from .base import Codec, Family, Unfitted
from .demo import DEMO_CHECKPOINTS
from .taesd_files import is_taesd_source

_FILE = "vaebench.bench.codecs.classical:open_file_codec"


def _word(word: str, opens: str, example: str) -> Family:
    return Family(lambda source: source == word, opens, example)


CODECS: dict[str, Family] = {
    "jpeg": _word("jpeg", _FILE, "jpeg:q=75,subsampling=420"),
    "webp": _word("webp", _FILE, "webp:q=80"),
    "avif": _word("avif", _FILE, "avif:q=60"),
    "jpegxl": _word("jpegxl", _FILE, "jpegxl:q=90"),
    "jpeg2000": _word("jpeg2000", _FILE, "jpeg2000:q_db=36"),
    "png": _word("png", _FILE, "png"),
    "resize": _word("resize", "vaebench.bench.codecs.classical:open_resize", "resize:8"),
    "quantised": Family(
        lambda source: source.startswith(QUANTISED),
        "vaebench.bench.codecs.quantised:open_quantised",
        f"{QUANTISED}demo-f8c4, step=0.5)",
        is_network=True,
    ),
    "pca": _word("pca", "vaebench.bench.codecs.pca:open_pca", "pca:c=4,f=8,fit=path/to/pictures"),
    "taesd": Family(
        is_taesd_source,
        "vaebench.bench.codecs.taesd:open_taesd",
        "path/to/taesd, a folder with *_encoder.pth and *_decoder.pth",
        is_network=True,
    ),
    "autoencoder": Family(
        is_autoencoder_source,
        "vaebench.bench.codecs.autoencoder.codec:open_autoencoder",
        "stabilityai/sd-vae-ft-mse:dtype=float16,posterior=sample",
        is_network=True,
    ),
}

_GROUP = "vaebench.codecs"
_PATH_FORMS = (
    "A checkpoint is a folder (./sd-vae), a file (./vae.safetensors) or a hub id (org/name)."
)


def open_codec(name: str, source: str, settings: Settings) -> Codec:
    """Open the codec that a source and its settings mean.

    It is what a caller of Python wrote; a spec that may come from a file goes by `open_spec`.

    Args:
        name: what the run calls it.
        source: jpeg, resize, demo-f8c4, a path, org/name, ….
        settings: the family's own; a bare number of a spec comes as "factor".
    Raises: CodecError where no family claims the source, its family cannot open it, or it is one
        to be fitted on pictures, of which there are none here.
    """
    return _fitted(name, open_unfitted(name, source, settings))


def open_spec(spec: CodecSpec, settings: Settings | None = None) -> Codec:
    """Open the codec of a spec, wherever that came from; see `open_unfitted_spec`.

    Raises: CodecError.
    """
    return _fitted(spec.name, open_unfitted_spec(spec, settings))


def open_unfitted_spec(spec: CodecSpec, settings: Settings | None = None) -> Codec | Unfitted:
    """Open the codec of a spec, which runs code of a checkpoint only where it is by hand.

    This is the gate: whatever has a spec opens it here.

    Args:
        settings: in place of the spec's own.
    Raises: CodecError.
    """
    chosen = spec.settings if settings is None else dict(settings)
    try:
        spec.model_copy(update={"settings": chosen}).require_trust()
    except SuiteError as error:
        raise CodecError(f"Cannot open {spec.name}: {error}") from None
    return open_unfitted(spec.name, spec.source, chosen)


def _fitted(name: str, codec: Codec | Unfitted) -> Codec:
    if isinstance(codec, Unfitted):
        raise CodecError(
            f"Cannot open {name}: there are no pictures to fit it on here. "
            "Pass fit=DIR, a folder of training pictures."
        )
    return codec


def open_unfitted(name: str, source: str, settings: Settings) -> Codec | Unfitted:
    """Open a codec where it may still be fitted, on pictures that are read later; see `open_codec`.

    Raises: CodecError.
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
        told = unknown_name("codec", source, [*words, *DEMO_CHECKPOINTS, *third_party])
        told = f"{told} {_PATH_FORMS}"
    if broken:
        told += f" Entry points that do not load: {', '.join(broken)}."
    return told
