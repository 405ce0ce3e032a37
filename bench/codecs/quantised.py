"""The family of quantised autoencoders: `quantised(CODEC, step=0.5)`, `quantised(CODEC, bits=4)`.

What is in the parentheses, but for step and bits, is the spec of any autoencoder. What needs torch
waits until one is opened.
"""

from __future__ import annotations

from ..errors import CodecError, SuiteError
from ..records import Settings
from .base import Codec, Family

PREFIX = "quantised("


def _claims(source: str) -> bool:
    return source.startswith(PREFIX)


def _open(name: str, source: str, settings: Settings) -> Codec:
    from .quantised_codec import open_quantised

    inner, given = _inner(name, source)
    return open_quantised(name, source, inner, {**given, **settings}, QUANTISED.example)


def _inner(name: str, source: str) -> tuple[str, Settings]:
    """Return the source and the settings of the codec in the parentheses. Raises: CodecError."""
    from ..suite import CodecSpec

    if not source.endswith(")"):
        raise CodecError(
            f"Cannot open {name}: {source} has no closing parenthesis. Write, say, "
            f"{QUANTISED.example}."
        )
    try:
        spec = CodecSpec.parse(source[len(PREFIX) : -1].strip())
    except SuiteError as error:
        raise CodecError(f"Cannot open {name}: {error}") from error
    return spec.source, spec.settings


QUANTISED = Family(_claims, _open, "quantised(demo-f8c4, step=0.5)", is_network=True)
