"""The family of linear codes: what a trained autoencoder of the same size has to beat."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from ..records import Settings
from .base import Codec, Family
from .settings import CodecSettings, Int, read_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pictures = Callable[[], Iterable["NDArray[np.uint8]"]]
"""Reads pictures, uint8 sRGB [H, W, 3] one after the other, each time it is called."""

# No setting can carry a run's pictures, and a codec inside another is opened by that one.
_SET: ContextVar[Pictures | None] = ContextVar("vaebench_pca_set", default=None)


class PcaSettings(CodecSettings):
    """`c` coefficients are kept of each block of `f`×`f` pixels in three colours.

    `fit` is a folder of training pictures (or a glob, list or file, as of --images); without it
    the code is fitted on the pictures that it is scored on.
    """

    c: Int = Field(ge=1)
    f: Int = Field(ge=1, le=32)
    fit: str | None = None

    @model_validator(mode="after")
    def _not_more_than_there_are(self) -> PcaSettings:
        values = 3 * self.f**2
        if self.c > values:
            raise ValueError(
                f"c={self.c} is more than the {values} values of a block of {self.f}×{self.f} "
                f"pixels (3·f²); pass c={values} or less"
            )
        return self


@contextmanager
def set_to_fit_on(pictures: Pictures) -> Generator[None]:
    """Fit each linear code opened meanwhile that has no `fit` on these pictures.

    Whoever scores a set of pictures opens its codecs inside; also one inside another's source,
    `quantised(pca:c=4,f=8)`, is reached.
    """
    token = _SET.set(pictures)
    try:
        yield
    finally:
        _SET.reset(token)


def _open(name: str, source: str, settings: Settings) -> Codec:
    from .pca_codec import open_pca

    return open_pca(
        name, source, read_settings(PcaSettings, name, settings, PCA.example), _SET.get()
    )


PCA = Family(lambda source: source == "pca", _open, "pca:c=4,f=8,fit=path/to/pictures")
