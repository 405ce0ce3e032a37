"""The family of diffusers autoencoders; what needs torch waits until one is opened."""

from __future__ import annotations

from ...records import Settings
from ..base import Codec, Family
from .sources import is_autoencoder_source


def _open(name: str, source: str, settings: Settings) -> Codec:
    from .codec import open_autoencoder

    return open_autoencoder(name, source, settings, AUTOENCODER.example)


AUTOENCODER = Family(
    is_autoencoder_source,
    _open,
    "stabilityai/sd-vae-ft-mse:dtype=float16,posterior=sample",
    is_network=True,
)
