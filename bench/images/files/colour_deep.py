"""16-bit colours through an ICC profile of curves and a matrix, which Pillow converts at 8 bits.

At 8 bits a linear profile would leave a photograph's shadows a handful of levels.

Source: ICC.1:2022, 10.5 curveType, 10.18 parametricCurveType, Annex F.3 three-component
matrix-based profiles; IEC 61966-2-1 for the sRGB curve.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms

_ROWS_AT_ONCE = 256


def deep_srgb(colour: NDArray[np.uint16], profile: bytes) -> NDArray[np.uint16] | None:
    """Convert uint16 grey or RGB [H, W, 1 or 3] to uint16 sRGB [H, W, 3].

    Returns: None for a profile that is a table of colours, or whose curves are of no known type.
    """
    channels = "k" if colour.shape[-1] == 1 else "rgb"
    try:
        tags = _tags(profile)
        if any(name.startswith(b"A2B") for name in tags):
            return None
        # Single precision is a hundredth of a 16-bit level, and several times as fast.
        curves = [_curve(tags[f"{channel}TRC".encode()]).astype(np.float32) for channel in channels]
        to_srgb = np.eye(3) if channels == "k" else _srgb_matrix() @ _matrix(tags)
        matrix = to_srgb.T.astype(np.float32)
    except (KeyError, ValueError, ZeroDivisionError, struct.error):
        return None
    rgb = np.empty((*colour.shape[:2], 3), np.uint16)
    for top in range(0, len(rgb), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        light = np.stack([curve[colour[rows, :, i]] for i, curve in enumerate(curves)], axis=-1)
        linear = np.broadcast_to(light, (*light.shape[:2], 3)) @ matrix
        rgb[rows] = np.rint(_srgb_curve(np.clip(linear, 0, 1)) * 65535)
    return rgb


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return a profile's tags by signature."""
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return {name: profile[start : start + size] for name, start, size in entries}


def _matrix(tags: dict[bytes, bytes]) -> NDArray[np.float64]:
    """Return the matrix from a profile's linear RGB to XYZ under D50."""
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return np.asarray(columns, np.float64).T / 65536


@functools.cache
def _srgb_matrix() -> NDArray[np.float64]:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return np.linalg.inv(_matrix(_tags(srgb.tobytes()))).astype(np.float64)


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Return the linear light, 0 to 1, of each 16-bit level."""
    level = np.arange(65536) / 65535
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return level
        points: NDArray[Any] = np.asarray(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count == 1:
            return level ** (points[0] / 256)
        return np.interp(level, np.linspace(0, 1, count), points / 65535)
    if tag[:4] == b"para":
        return _parametric(tag, level)
    raise ValueError(f"unknown curve type {tag[:4]!r}")


def _parametric(tag: bytes, level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a parametric curve: (a·x + b)^g + e from d on, c·x + f below."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind > 4:
        raise ValueError(f"unknown parametric curve {kind}")
    count = (1, 3, 4, 5, 7)[kind]
    stored = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = (stored + [0.0] * 7)[:7] if kind else (stored[0], 1.0, *([0.0] * 5))
    if kind in (1, 2):
        # Their third or fourth number is what is added on both sides of the bend, -b/a.
        c, d, e, f = 0.0, -b / a, c, c
    power = np.maximum(a * level + b, 0) ** g + e
    return np.where(level >= d, power, c * level + f)


def _srgb_curve(linear: NDArray[Any]) -> NDArray[Any]:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
