"""Pictures as 8-bit sRGB pixels, and their fit to a fixed size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from ..errors import ImageError
from ..records import ImageRef
from .files.colour import samples_to_srgb, to_8_bits
from .files.decode import read_samples
from .files.limits import MAX_PIXELS
from .files.modes import row_blocks

Fit = Literal["crop", "squash", "pad"]


class Pixels(NamedTuple):
    """A picture as it is scored: uint8 sRGB [H, W, 3], and what was converted to get there."""

    rgb: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_pixels(ref: ImageRef | str | Path, background: str = "#ffffff") -> Pixels:
    """Read a picture's first frame as upright 8-bit sRGB, alpha composited on `background`.

    Colour is converted as `samples_to_srgb` states; samples of more than 8 bits are rounded to 8
    once, after colour and alpha where these allow it.

    Raises: ImageError with the reason for a file that is broken, cut short, too large or
        transparent everywhere.
    """
    path = Path(ref.path if isinstance(ref, ImageRef) else ref)
    backdrop = background_rgb(background)
    samples = read_samples(path)
    try:
        converted = samples_to_srgb(samples)
    except ValueError as error:
        raise ImageError(f"Cannot read {path.name}: {error}.") from error
    notes = [*samples.notes, *converted.notes]
    alpha = samples.alpha
    if alpha is not None and not alpha.any():
        raise ImageError(
            f"Cannot read {path.name}: nothing of it is visible, its alpha is 0 everywhere. Save "
            "it without alpha, or opaque."
        )
    if alpha is None or bool((alpha == np.iinfo(alpha.dtype).max).all()):
        rgb = to_8_bits(converted.rgb)
    else:
        rgb = _composite(converted.rgb, alpha, backdrop)
        notes.append(f"alpha composited on {background}")
    return Pixels(np.ascontiguousarray(_upright(rgb, samples.orientation)), tuple(notes))


def background_rgb(background: str) -> tuple[int, int, int]:
    """Return an opaque colour's levels. Raises: ImageError for what is no opaque colour."""
    try:
        colour = ImageColor.getrgb(background)
    except ValueError:
        colour = ()
    if len(colour) != 3:
        raise ImageError(
            f"Unknown background {background!r}: expected an opaque colour, #ffffff or black, say."
        )
    return colour


def _composite(
    colour: NDArray[Any], alpha: NDArray[Any], backdrop: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Return round(255·(colour·a + backdrop·(1-a))), exactly; colour and alpha of either depth."""
    rgb = np.empty(colour.shape, np.uint8)
    opaque = int(np.iinfo(alpha.dtype).max)
    steps = int(np.iinfo(colour.dtype).max) // 255
    whole = opaque * steps
    # 65535 squared and half of `whole` are more than 32 bits hold.
    integer = np.uint32 if whole < 65535 * 257 else np.uint64
    behind = np.asarray(backdrop, integer) * integer(steps)
    for rows in row_blocks(len(rgb)):
        opacity = alpha[rows, :, None].astype(integer)
        mixed = colour[rows] * opacity + behind * (opaque - opacity)
        # `whole` is odd: no sum lies half way between two levels.
        rgb[rows] = (mixed + integer(whole // 2)) // integer(whole)
    return rgb


def _upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo what an EXIF orientation says of the stored rows and columns."""
    if orientation >= 5:
        rgb = rgb.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return rgb


class Placement(NamedTuple):
    """Where a picture scaled to `width_px` x `height_px` lies in a square frame of `size_px`.

    `left_px` and `top_px` are negative where the frame cuts the picture.
    """

    width_px: int
    height_px: int
    left_px: int
    top_px: int
    size_px: int


def placement(width_px: int, height_px: int, size: int, fit: Fit) -> Placement:
    """Return how a picture of width_px x height_px is fitted into size x size.

    crop scales the shorter side to size and cuts the centre out; squash scales both sides; pad
    scales the longer side and centres the picture. The other side is rounded to whole pixels.
    """
    if size < 1:
        raise ImageError(f"Cannot fit pictures to a size of {size} px: expected at least 1.")
    if size * size > MAX_PIXELS:
        raise ImageError(
            f"Cannot fit pictures to a size of {size} px: that is more than "
            f"{MAX_PIXELS // 1_000_000} megapixels. Ask for {math.isqrt(MAX_PIXELS)} or less."
        )
    if fit == "squash":
        return Placement(size, size, 0, 0, size)
    side = min(width_px, height_px) if fit == "crop" else max(width_px, height_px)
    width = max(1, round(width_px * size / side))
    height = max(1, round(height_px * size / side))
    return Placement(width, height, (size - width) // 2, (size - height) // 2, size)


def _shown(place: Placement, source: Image.Image) -> tuple[float, float, float, float]:
    """Return the part of a cropped picture that its frame shows, in pixels before scaling."""
    across, down = source.width / place.width_px, source.height / place.height_px
    left, top = -place.left_px, -place.top_px
    right, bottom = left + place.size_px, top + place.size_px
    return left * across, top * down, right * across, bottom * down


def fit_pixels(
    pixels: NDArray[np.uint8], size: int | None, fit: Fit, background: str = "#ffffff"
) -> NDArray[np.uint8]:
    """Return uint8 [size, size, 3] of uint8 [H, W, 3] (Lanczos, antialiased); as it is for None."""
    if size is None:
        return pixels
    height, width = pixels.shape[:2]
    place = placement(width, height, size, fit)
    source = Image.fromarray(pixels)
    if place.width_px * place.height_px > MAX_PIXELS:
        # A strip whose short side is to fill the frame: only what the frame shows is scaled.
        return np.asarray(
            source.resize((size, size), Image.Resampling.LANCZOS, _shown(place, source))
        )
    scaled = source.resize((place.width_px, place.height_px), Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (size, size), background_rgb(background))
    frame.paste(scaled, (place.left_px, place.top_px))
    return np.asarray(frame)
