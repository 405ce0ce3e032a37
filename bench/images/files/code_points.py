"""What colours mean where numbers tell it: primaries, transfer functions, the matrix to sRGB.

Source: ITU-T H.273 (2024), tables 2 and 3, and SMPTE RP 177 for the matrix; Bradford adaptation,
as ICC.1:2022 annex E; ISO 22028-2 for ROMM RGB; Adobe RGB (1998), 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Stored levels, 0 to 1, to linear light."""
Point = tuple[float, float]
"""Chromaticity x, y."""

D65: Point = (0.3127, 0.3290)
D50: Point = (0.3457, 0.3585)
_C: Point = (0.310, 0.316)
_E: Point = (1 / 3, 1 / 3)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True)
class Primaries:
    """The colours of red, green and blue, and the white of all three."""

    name: str
    red: Point
    green: Point
    blue: Point
    white: Point = D65

    def to_xyz(self) -> NDArray[np.float64]:
        """Return the matrix from linear RGB to XYZ, white having Y 1.

        Raises: ValueError for points that span no colours.
        """
        points = np.array([self.red, self.green, self.blue, self.white], np.float64)
        if not np.isfinite(points).all() or (np.abs(points) > 10).any() or points[3, 1] <= 0:
            raise ValueError("they are no chromaticities")
        xyz = np.stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)], axis=-1)
        columns = xyz[:3].T
        if abs(np.linalg.det(columns)) < 1e-6:
            raise ValueError("they lie on a line")
        return columns * np.linalg.solve(columns, xyz[3] / xyz[3, 1])


@dataclass(frozen=True)
class Transfer:
    """A transfer function: one curve for all channels, or three, or none with a way to sRGB."""

    name: str
    curves: tuple[Curve, ...] = ()


def power(exponent: float) -> Curve:
    """Return level ** exponent."""
    return lambda level: level**exponent


def bent(gamma: float, a: float, b: float, c: float, d: float) -> Curve:
    """Return (a·level + b) ** gamma from d on, c·level below."""
    return lambda level: np.where(level >= d, np.maximum(a * level + b, 0) ** gamma, c * level)


def table(points: NDArray[np.float64]) -> Curve:
    """Return the curve through points that lie evenly over the levels."""
    return lambda level: np.interp(level, np.linspace(0, 1, len(points)), points)


def srgb_curve(linear: NDArray[Any]) -> NDArray[Any]:
    """Return the sRGB levels, 0 to 1, of linear light (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _from_camera(alpha: float, beta: float) -> Curve:
    """Return the inverse of alpha·light ** 0.45 - (alpha - 1) from beta on, 4.5·light below."""
    return bent(1 / 0.45, 1 / alpha, (alpha - 1) / alpha, 1 / 4.5, 4.5 * beta)


SRGB = Primaries("sRGB", (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = Primaries("Adobe RGB", (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
WIDE_GAMUT = Primaries("Wide Gamut RGB", (0.7347, 0.2653), (0.1152, 0.8264), (0.1566, 0.0177), D50)
ROMM = Primaries("ROMM RGB", (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), D50)
_SMPTE_C = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))

PRIMARIES = {
    1: SRGB,
    2: SRGB,
    4: Primaries("BT.470 M", (0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: Primaries("BT.470 B, G", (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: Primaries("BT.601", *_SMPTE_C),
    7: Primaries("SMPTE ST 240", *_SMPTE_C),
    8: Primaries("film", (0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: Primaries("BT.2020", (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: Primaries("XYZ", (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: Primaries("DCI-P3", (0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: Primaries("Display P3", (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Primaries("EBU 3213", (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""ColourPrimaries; 2, unspecified, is what sRGB has."""

SRGB_TRANSFER = Transfer("sRGB curve", (bent(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),))
ADOBE_TRANSFER = Transfer("gamma 2.19922", (power(563 / 256),))
ROMM_TRANSFER = Transfer("ROMM curve", (bent(1.8, 1, 0, 1 / 16, 1 / 32),))
_BT709 = _from_camera(1.099296826809442, 0.018053968510807)

TRANSFERS = {
    1: Transfer("BT.709 curve", (_BT709,)),
    2: SRGB_TRANSFER,
    4: Transfer("gamma 2.2", (power(2.2),)),
    5: Transfer("gamma 2.8", (power(2.8),)),
    6: Transfer("BT.601 curve", (_BT709,)),
    7: Transfer("SMPTE ST 240 curve", (bent(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 0.25, 0.0912),)),
    8: Transfer("linear light", (power(1),)),
    9: Transfer("logarithmic (100:1)"),
    10: Transfer("logarithmic (316:1)"),
    11: Transfer("IEC 61966-2-4 (xvYCC)"),
    12: Transfer("BT.1361 (extended gamut)"),
    13: SRGB_TRANSFER,
    14: Transfer("BT.2020 curve", (_BT709,)),
    15: Transfer("BT.2020 curve", (_BT709,)),
    16: Transfer("PQ (SMPTE ST 2084)"),
    17: Transfer("SMPTE ST 428"),
    18: Transfer("HLG (ARIB STD-B67)"),
}
"""TransferCharacteristics; 2, unspecified, is sRGB's. Those of brightness, not of a share of white,
have no curve here: a picture of 10,000 candelas has no exact form in sRGB."""


def matrix_to_srgb(primaries: Primaries) -> NDArray[np.float64]:
    """Return the matrix from linear RGB of these primaries to linear sRGB, white to white.

    Raises: ValueError for points that span no colours.
    """
    adapted = _adaptation(primaries.white, SRGB.white) @ primaries.to_xyz()
    return np.linalg.inv(SRGB.to_xyz()) @ adapted


def _adaptation(white: Point, to: Point) -> NDArray[np.float64]:
    if math.dist(white, to) < 1e-4:
        return np.eye(3)
    cones, cones_to = (_BRADFORD @ np.array([x / y, 1, (1 - x - y) / y]) for x, y in (white, to))
    return np.linalg.inv(_BRADFORD) @ np.diag(cones_to / cones) @ _BRADFORD
