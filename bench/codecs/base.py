"""What every codec is: two methods and an info record; and a family, which opens its codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..errors import CodecError, first_line
from ..records import CodecInfo, Encoded, Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    Pictures = Iterable[NDArray[np.uint8]]
    """Pictures, uint8 sRGB [H, W, 3] one after the other."""


class Codec(Protocol):
    """Turns pictures into what would be stored, and back."""

    @property
    def info(self) -> CodecInfo:
        """What the codec is and where it came from."""
        ...

    def encode(self, images: Tensor) -> Encoded:
        """Encode float32 [N, 3, H, W] in [0, 1]; H and W multiples of `info.multiple_px`."""
        ...

    def decode(self, encoded: Encoded) -> Tensor:
        """Return the reconstruction, float32 [N, 3, H, W], unrounded and not clamped."""
        ...


@runtime_checkable
class PictureCodec(Codec, Protocol):
    """A classical codec: what its users call is of 8-bit pictures, not of tensors."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> Encoded:
        """Encode RGB pictures of one size."""
        ...

    def decode_pictures(self, encoded: Encoded) -> list[Image.Image]:
        """Return the RGB pictures, decoded and in memory."""
        ...


@dataclass(frozen=True)
class Unfitted:
    """A codec that is still to be fitted on the pictures that it is scored on.

    `fitted(pictures)` reads them once. Raises: CodecError where they do not do.
    """

    info: CodecInfo
    fitted: Callable[[Pictures], Codec]


Opener = Callable[[str, str, Settings], Codec | Unfitted]
"""Opens a codec by what the run calls it, its source and its settings. Raises: CodecError."""


@dataclass(frozen=True)
class Family:
    """A kind of codec: which sources it claims, and what opens one.

    `claims(source)` looks at the source alone (a word, a path, a file's header) and never loads
    weights. `opens` is the opener, or its name, `package.module:function`, which is imported when
    a codec is opened. The codecs of a family that `is_network` take the settings dtype, device,
    compile and channels_last.
    """

    claims: Callable[[str], bool]
    opens: str | Opener
    example: str
    is_network: bool = False

    def open(self, name: str, source: str, settings: Settings) -> Codec | Unfitted:
        """Open a codec. Raises: CodecError with one sentence."""
        return self._opener(name)(name, source, settings)

    def _opener(self, name: str) -> Opener:
        if not isinstance(self.opens, str):
            return self.opens
        try:
            return resolve_name(self.opens)
        # Another package's module may fail in any way.
        except Exception as error:
            raise CodecError(
                f"Cannot open {name}: what opens it, {self.opens!r}, does not load "
                f"({type(error).__name__}: {first_line(error).rstrip('.')}). Mend or reinstall "
                "the package that brings it."
            ) from error
