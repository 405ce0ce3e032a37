"""Pictures decoded once: what finding them decoded is kept until it is scored, within bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..images.find import file_sha256
from ..images.pixels import fit_pixels, placement, read_pixels
from ..records import ImageRef
from ..suite import Suite

MOST_BYTES = 128 * 2**20
"""This much is kept, 113 pictures of 768×512 px; what is found later is decoded again."""


class Decoded:
    """The pictures of a set at the size at which they are scored, uint8 [H, W, 3]."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._kept: dict[str, NDArray[np.uint8]] = {}
        self._left_bytes = MOST_BYTES

    def keep(self, path: str, rgb: NDArray[np.uint8]) -> None:
        """Keep the pixels of a file that was found, if there is room."""
        if self._left_bytes <= 0:
            return
        fitted = self._fitted(rgb)
        if fitted.nbytes <= self._left_bytes:
            self._kept[path] = fitted
        # A set goes on in order: where one has no room, those after it are not tried either.
        self._left_bytes -= fitted.nbytes

    def read(self, image: ImageRef) -> NDArray[np.uint8]:
        """Return a picture's pixels, which stay. Raises: ImageError."""
        kept = self._kept.get(image.path)
        return self._read(image) if kept is None else kept

    def take(self, image: ImageRef) -> NDArray[np.uint8]:
        """Return a picture's pixels and keep them no longer. Raises: ImageError."""
        kept = self._kept.pop(image.path, None)
        return self._read(image) if kept is None else kept

    def _read(self, image: ImageRef) -> NDArray[np.uint8]:
        path = Path(image.path)
        rgb = read_pixels(path, self._suite.background).rgb
        try:
            # Behind the decoding, so that what was decoded is what is told of.
            is_changed = file_sha256(path) != image.sha256
        except OSError as error:
            raise ImageError(f"Cannot read {path.name}: {error.strerror}.") from error
        if is_changed:
            raise ImageError(
                f"Cannot score {image.image_id}: {path} was changed since the run began. "
                "Restore it and go on with --resume, or start a new run."
            )
        return self._fitted(rgb)

    def _fitted(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        suite = self._suite
        fitted = fit_pixels(rgb, suite.size, suite.fit or "crop", suite.background)
        if suite.fit != "pad" or suite.size is None:
            return fitted
        # Padding is the codec's alone: see `padding`.
        place = placement(rgb.shape[1], rgb.shape[0], suite.size, "pad")
        rows = slice(place.top_px, place.top_px + place.height_px)
        columns = slice(place.left_px, place.left_px + place.width_px)
        return np.ascontiguousarray(fitted[rows, columns])
