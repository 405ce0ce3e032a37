"""`--fit pad`: what a codec is given around a picture, and takes no part in any number of it.

The picture that is scored, kept and counted is the scaled one; the frame of one colour is put
around it on its way into the codec, and cut off on its way out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ..images.pixels import background_rgb
from ..records import Region
from ..suite import Suite
from .reconstruct import Failure, Piece

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """A square frame of `size_px`, of `background`, in whose middle a picture lies."""

    size_px: int
    background: str

    def corner(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return the left and top of the picture in the frame, as `placement` has them."""
        return (self.size_px - width_px) // 2, (self.size_px - height_px) // 2

    def around(self, pixels: Tensor) -> Tensor:
        """Return [N, 3, h, w] in [0, 1] within the frame, [N, 3, size, size]."""
        height, width = pixels.shape[2:]
        left, top = self.corner(width, height)
        colour = torch.tensor(background_rgb(self.background)).float().div(255).to(pixels)
        frame = colour.view(1, 3, 1, 1).repeat(len(pixels), 1, self.size_px, self.size_px)
        frame[:, :, top : top + height, left : left + width] = pixels
        return frame

    def cut_off(self, piece: Piece | Failure, width_px: int, height_px: int) -> Piece | Failure:
        """Return a piece whose pixels are the picture's alone."""
        if isinstance(piece, Failure):
            return piece
        left, top = self.corner(width_px, height_px)
        inside = piece.pixels[..., top : top + height_px, left : left + width_px]
        return replace(piece, pixels=inside)

    def unframed(self, region: Region, width_px: int, height_px: int) -> Region:
        """Return a region of the frame in the pixels of the picture in it."""
        left, top = self.corner(width_px, height_px)
        x0, y0, x1, y1 = region.box_px
        return replace(region, box_px=(x0 - left, y0 - top, x1 - left, y1 - top))


def padding_of(suite: Suite) -> Padding | None:
    """Return the frame that a suite puts around its pictures, None for none."""
    if suite.fit != "pad" or suite.size is None:
        return None
    return Padding(suite.size, suite.background)
