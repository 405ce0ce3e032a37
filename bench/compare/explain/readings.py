"""What one pair of pictures measures, under each of the ways in which people measure it.

A reading is a value of one pair, computed once however many variants are made of it. Pixels are
8-bit; [0, 1] and [-1, 1] are what became of them before a metric saw them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

if TYPE_CHECKING:
    from torch import Tensor

    from ....metrics import Metric

Planes = NDArray[np.float64]
"""Float64 [C, H, W]; 8-bit levels are 0 to 1."""


@dataclass(frozen=True)
class Colour:
    """One plane made of RGB in [0, 1]: weights and offset, rounded to 8 bits or not."""

    told: str
    weights: tuple[float, float, float]
    offset: float = 0.0
    is_rounded: bool = False


_BT601: Final = (0.299, 0.587, 0.114)
# Pillow computes in whole numbers, which turn a level here and there.
_PILLOW: Final = (19595 / 65536, 38470 / 65536, 7471 / 65536)
_STUDIO: Final = (65.481 / 255, 128.553 / 255, 24.966 / 255)

COLOURS: Final[dict[str, Colour | None]] = {
    "rgb": None,
    "luma": Colour("luma (BT.601, full range)", _BT601),
    "luma-rounded": Colour(
        "grey as Pillow's L (BT.601, full range, rounded to 8 bits)", _PILLOW, is_rounded=True
    ),
    "studio": Colour("luma (BT.601, studio range 16 to 235)", _STUDIO, 16 / 255),
    "studio-rounded": Colour(
        "luma as MATLAB's rgb2ycbcr of 8 bits (BT.601, studio range, rounded)",
        _STUDIO,
        16 / 255,
        is_rounded=True,
    ),
    "grey": Colour("luma (BT.709), scikit-image's grey", (0.2126, 0.7152, 0.0722)),
}
"""RGB as it is, and the planes that stand for brightness.

Source: ITU-R BT.601 and BT.709; MATLAB's rgb2ycbcr for the studio range.
"""


@dataclass(frozen=True)
class Pair:
    """The 8-bit reference and reconstruction of one picture, uint8 [H, W, 3] of one size.

    What readings share is kept, but of each kind only the latest: memory does not grow with the
    number of readings.
    """

    reference: NDArray[np.uint8]
    reconstruction: NDArray[np.uint8]
    instruments: Instruments

    @cached_property
    def _kept(self) -> dict[str, tuple[Hashable, Any]]:
        return {}

    def once(self, kind: str, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` gives, made again only where the key differs from the last one."""
        if kind not in self._kept or self._kept[kind][0] != key:
            self._kept[kind] = (key, make())
        return self._kept[kind][1]

    def planes(self, colour: str) -> tuple[Planes, Planes]:
        """Return reference and reconstruction in a colour of COLOURS."""
        return self.once(
            "planes",
            colour,
            lambda: (
                in_colour(self.reference, colour),
                in_colour(self.reconstruction, colour),
            ),
        )


def in_colour(rgb: NDArray[np.uint8], colour: str) -> Planes:
    """Return uint8 [H, W, 3] in a colour of COLOURS, as planes [C, H, W] in [0, 1]."""
    planes = rgb.transpose(2, 0, 1).astype(np.float64) / 255
    mix = COLOURS[colour]
    if mix is None:
        return planes
    plane = np.tensordot(np.asarray(mix.weights), planes, axes=1)[None] + mix.offset
    return np.rint(plane * 255) / 255 if mix.is_rounded else plane


class Instruments:
    """The metrics of this project that readings use, each opened once.

    `weights` is the folder of LPIPS's networks.
    """

    def __init__(self, weights: str | None) -> None:
        self._weights = None if weights is None else Path(weights)
        self._opened: dict[str, Metric | Exception] = {}

    def metric(self, name: str) -> Metric:
        """Return a metric by its name. Raises: MetricUnavailable, the same one each time."""
        from ....metrics import MetricUnavailable, open_metric
        from ...codecs.tensors import default_device

        if name not in self._opened:
            try:
                self._opened[name] = open_metric(name, self._weights, str(default_device()))
            except MetricUnavailable as error:
                # A look for missing weights may try the network: not once more for each picture.
                self._opened[name] = error
        opened = self._opened[name]
        if isinstance(opened, Exception):
            raise opened
        return opened


class Reading(Protocol):
    """A way to measure one pair; equal readings are computed once."""

    @property
    def shave_px(self) -> int:
        """How much of each border is left out."""
        ...

    def of(self, pair: Pair) -> float:
        """Return the value of one pair. Raises: MetricError where it cannot be had."""
        ...


@dataclass(frozen=True)
class SquaredError:
    """Mean squared error of pictures in [0, 1], over all planes of a colour."""

    colour: str
    shave_px: int = 0

    def of(self, pair: Pair) -> float:
        """Return the mean over planes and pixels. Raises: MetricUnavailable."""
        x, y = (shaved(planes, self.shave_px) for planes in pair.planes(self.colour))
        return float(np.mean((y - x) ** 2))


@dataclass(frozen=True)
class Window:
    """The weights of an SSIM window along one side."""

    taps: tuple[float, ...]

    @property
    def radius_px(self) -> int:
        """How far the window reaches from its centre."""
        return len(self.taps) // 2

    def mean(self, planes: Planes) -> Planes:
        """Return the weighted mean of [C, H, W] wherever the window fits: [C, H-2r, W-2r]."""
        radius = self.radius_px
        for axis, part in ((1, np.s_[:, radius:-radius]), (2, np.s_[:, :, radius:-radius])):
            planes = correlate1d(planes, self.taps, axis=axis, mode="constant")[part]
        return planes


_BELL: Final = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
WINDOWS: Final = {
    "gauss11": Window(tuple(_BELL / _BELL.sum())),
    "uniform7": Window((1 / 7,) * 7),
}
"""The window of Wang et al. 2004 (11 px, σ 1.5), and scikit-image's default."""


@dataclass(frozen=True)
class Similarity:
    """SSIM of the planes of a colour, averaged over planes and windows.

    `border` is valid (windows inside the picture alone), reflect or zeros (a window for each
    pixel, the picture continued so). `is_sample` divides (co)variances by n - 1. The pixels are
    taken as gain·x + offset with x in [0, 1], and a data range of 1: gain 1/2 is [0, 1] with a
    data range of 2, gain 2 with offset -1 is [-1, 1] with a data range of 1.
    Source: Wang et al. 2004, eq. 13; K1 = 0.01, K2 = 0.03.
    """

    colour: str
    window: str = "gauss11"
    border: str = "valid"
    is_sample: bool = False
    gain: float = 1.0
    offset: float = 0.0
    shave_px: int = 0

    def of(self, pair: Pair) -> float:
        """Return the mean. Raises: MetricUnavailable where the window does not fit."""
        mean_x, mean_y, variance_x, variance_y, covariance = (
            shaved(part, self.shave_px)
            for part in pair.once(
                "moments", (self.colour, self.window, self.border), lambda: self._moments(pair)
            )
        )
        mean_x, mean_y = (self.gain * mean + self.offset for mean in (mean_x, mean_y))
        count = len(WINDOWS[self.window].taps) ** 2
        scale = self.gain**2 * (count / (count - 1) if self.is_sample else 1.0)
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
        structure = (2 * scale * covariance + c2) / (scale * (variance_x + variance_y) + c2)
        return float(np.mean(luminance * structure))

    def _moments(self, pair: Pair) -> tuple[Planes, ...]:
        window = WINDOWS[self.window]
        x, y = pair.planes(self.colour)
        _check_side("SSIM", x, len(window.taps))
        if self.border != "valid":
            mode: Any = {"reflect": "reflect", "zeros": "constant"}[self.border]
            radius = window.radius_px
            x, y = (np.pad(z, ((0, 0), (radius, radius), (radius, radius)), mode) for z in (x, y))
        mean_x, mean_y = window.mean(x), window.mean(y)
        return (
            mean_x,
            mean_y,
            window.mean(x * x) - mean_x**2,
            window.mean(y * y) - mean_y**2,
            window.mean(x * y) - mean_x * mean_y,
        )


@dataclass(frozen=True)
class ByMetric:
    """A metric of this project, or of a package it adapts, on pixels gain·x + offset."""

    metric: str
    colour: str = "rgb"
    gain: float = 1.0
    offset: float = 0.0
    shave_px: int = 0

    def of(self, pair: Pair) -> float:
        """Return the metric's value. Raises: MetricError where it cannot be computed."""
        metric = pair.instruments.metric(self.metric)
        x, y = (self._pixels(planes) for planes in pair.planes(self.colour))
        return float(metric.compare(metric.prepare(x), y, want_maps=False).values[0])

    def _pixels(self, planes: Planes) -> Tensor:
        import torch

        pixels = shaved(planes, self.shave_px) * self.gain + self.offset
        rgb = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
        return torch.from_numpy(np.ascontiguousarray(rgb, dtype=np.float32))[None]


def shaved(planes: Planes, shave_px: int) -> Planes:
    """Return [C, H, W] without `shave_px` at each border.

    Raises: MetricUnavailable where nothing would be left.
    """
    _check_side(f"A border of {shave_px} px", planes, 2 * shave_px + 1)
    return planes[:, shave_px : planes.shape[1] - shave_px, shave_px : planes.shape[2] - shave_px]


def _check_side(what: str, planes: Planes, smallest_px: int) -> None:
    height_px, width_px = planes.shape[1:]
    if min(height_px, width_px) < smallest_px:
        from ....metrics import MetricUnavailable

        raise MetricUnavailable(
            f"{what} needs pictures of at least {smallest_px}×{smallest_px} px: "
            f"got {width_px}×{height_px} px."
        )
