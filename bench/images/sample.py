"""The built-in sample set: eight pictures that ship inside scikit-image, and their regions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE = "sample"
"""The word that names the set, as a source of pictures and as a source of regions."""

SAMPLE_REGIONS = Path(__file__).with_name("sample_regions.json")
"""Boxes of the sample's eyes, faces and lettering, drawn and checked by eye."""

_NAMES = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "page.png",
    "rocket.jpg",
)


def sample_paths() -> list[Path]:
    """Return where the pictures are. Raises: ImageError where scikit-image lacks them."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ImageError("The sample set needs scikit-image: pip install scikit-image.")
    # Found without importing skimage, which would take longer than reading the pictures.
    folder = Path(spec.origin).parent / "data"
    missing = [name for name in _NAMES if not (folder / name).is_file()]
    if missing:
        raise ImageError(f"The sample set lacks {', '.join(missing)} in {folder}.")
    return [folder / name for name in _NAMES]


def sample_pixels(size: int, batch: int) -> NDArray[np.uint8]:
    """Return the sample pictures cropped to size, uint8 [batch, size, size, 3].

    Real pictures: the time of a classical codec, and whether float16 overflows, hang on them.

    Raises: ImageError where the sample set is not installed.
    """
    import numpy as np

    from .pixels import fit_pixels, read_pixels

    paths = sample_paths()
    used = paths[: min(batch, len(paths))]
    pictures = [fit_pixels(read_pixels(path).rgb, size, "crop") for path in used]
    return np.stack([pictures[place % len(pictures)] for place in range(batch)])
