"""The built-in sample set: eight pictures that ship inside scikit-image, and their regions."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .errors import ImageError

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
