"""Binary PNM files whose levels do not end at 255: with every bit, and fast.

Pillow decodes them in Python, a pixel at a time, and cuts colour to 8 bits.

Source: the Netpbm manual, formats PGM and PPM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .limits import is_scaled_pnm
from .modes import Samples, scaled


def pnm_samples(image: Image.Image, path: Path) -> Samples | None:
    """Return the samples of an opened, not yet loaded, PNM; None for one that Pillow reads well.

    Raises: ValueError, its message the reason, where pixels are missing or beyond their range.
    """
    if not is_scaled_pnm(image):
        return None
    opened: Any = image
    maxval: int = opened.tile[0].args[1]
    shape = (image.height, image.width, 3 if image.mode == "RGB" else 1)
    sample = np.dtype(">u2" if maxval > 255 else "u1")
    expected = int(np.prod(shape))
    stored = np.fromfile(path, sample, expected, offset=opened.tile[0].offset)
    if len(stored) < expected:
        raise ValueError(f"it has {len(stored)} of {expected} samples")
    if stored.max() > maxval:
        raise ValueError(f"a sample is {stored.max()}, above its header's largest, {maxval}")
    colour = scaled(stored.reshape(shape), maxval, 65535 if maxval > 255 else 255)
    bits = maxval.bit_length()
    levels = f"{bits}-bit" if maxval == 2**bits - 1 else f"levels of 0..{maxval}"
    return Samples(colour, "rgb" if shape[2] == 3 else "gray", None, (f"{levels} scaled to 8",))
