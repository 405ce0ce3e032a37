"""What every codec is: two methods and an info record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..records import CodecInfo, Encoded, Settings

if TYPE_CHECKING:
    from torch import Tensor


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


@dataclass(frozen=True)
class Family:
    """A kind of codec: which sources it claims, and how it opens one.

    `claims(source)` looks at the source alone (a word, a path, a file's header) and never loads
    weights. `open(name, source, settings)` raises CodecError with one sentence. The codecs of a
    family that `is_network` take the settings dtype, device, compile and channels_last.
    """

    claims: Callable[[str], bool]
    open: Callable[[str, str, Settings], Codec]
    example: str
    is_network: bool = False
