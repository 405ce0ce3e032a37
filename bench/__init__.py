"""The runner: pictures and codecs in, a run folder out.

`run`, `speed` and `load_run` are the same from a notebook as on the command line; they and the
article's two functions, `pil_to_latents` and `latents_to_pil`, are imported when first used, so
that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load_run, report, run, score, speed
    from .codecs import latents_to_pil, pil_to_latents

__all__ = ["latents_to_pil", "load_run", "pil_to_latents", "report", "run", "score", "speed"]


def __getattr__(name: str) -> Any:
    if name in ("load_run", "report", "run", "score", "speed"):
        from . import api

        return getattr(api, name)
    if name in ("latents_to_pil", "pil_to_latents"):
        from . import codecs

        return getattr(codecs, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
