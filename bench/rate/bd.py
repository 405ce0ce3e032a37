"""Bjøntegaard deltas between two rate-distortion curves, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

FEWEST_POINTS = 4
"""Bjøntegaard's own four: of fewer points the interpolation decides the number."""

SMALLEST_OVERLAP = 0.5
"""The curves must share at least this much of the shorter one's range."""

MOST_DROPPED = 0.5
"""A curve that loses more of its points than this is no curve."""

MOST_TURNED_BACK = 0.02
"""How far an interpolated curve may run backwards, as a share of the way it goes."""

_SAMPLES = 400


@dataclass(frozen=True)
class Curve:
    """Rate and quality of one codec at each of its settings, in any order.

    `bpp` is float64 [S], positive; `value` is float64 [S], the metric. Points that are not finite
    are left out.
    """

    name: str
    bpp: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Delta:
    """A Bjøntegaard delta: `value` is None where it is refused, `note` then says why.

    Else `note` tells what it is an average over, and the points that were left out.
    """

    value: float | None
    note: str


def bd_rate(anchor: Curve, codec: Curve, higher_is_better: bool, unit: str = "") -> Delta:
    """Return how much more rate a codec needs for the anchor's quality, in per cent.

    −30 means 30 % fewer bits at equal quality, averaged over the qualities that both curves reach.
    (1 + ab/100)·(1 + ba/100) = 1 for a pair compared both ways.

    Args:
        higher_is_better: of the metric; one that is not enters with its sign turned.
        unit: of the metric, for the note.
    Source: Bjøntegaard, VCEG-M33 (2001), with Akima's interpolation as Herglotz et al., "Beyond
        Bjøntegaard" (ICIP 2022) recommend.
    """
    return _delta(anchor, codec, _Axis("quality", higher_is_better, unit))


def bd_quality(anchor: Curve, codec: Curve, higher_is_better: bool) -> Delta:
    """Return how much larger a codec's metric is than the anchor's at equal rate.

    In the metric's unit, averaged over the logarithm of the rates that both curves reach; for a
    metric that is better lower, less is better. Antisymmetric in codec and anchor.

    Source: as for `bd_rate`; BD-PSNR where the metric is PSNR.
    """
    return _delta(anchor, codec, _Axis("rate", higher_is_better, "bit/px"))


@dataclass(frozen=True)
class _Axis:
    """What the curves must share: `quality` for BD-rate, `rate` for BD-quality."""

    shared: str
    higher_is_better: bool
    unit: str

    def base(self, curve: Curve) -> NDArray[np.float64]:
        """Return what the curve is a function of, rising with the rate."""
        return self._quality(curve) if self.shared == "quality" else np.log10(curve.bpp)

    def height(self, curve: Curve) -> NDArray[np.float64]:
        """Return what is averaged."""
        return np.log10(curve.bpp) if self.shared == "quality" else self._quality(curve)

    def in_unit(self, more: float) -> float:
        """Return the mean difference of the heights as a delta: in per cent, or of the metric."""
        if self.shared == "quality":
            return (10**more - 1) * 100
        return more if self.higher_is_better else -more

    def _quality(self, curve: Curve) -> NDArray[np.float64]:
        return curve.value if self.higher_is_better else -curve.value

    def shown(self, base: float) -> float:
        """Return a place on the axis as a reader knows it."""
        if self.shared == "rate":
            return float(10**base)
        return base if self.higher_is_better else -base


def _delta(anchor: Curve, codec: Curve, axis: _Axis) -> Delta:
    notes: list[str] = []
    kept: list[Curve] = []
    for curve in (anchor, codec):
        efficient, note = _efficient(curve, axis.higher_is_better)
        if len(efficient.bpp) < FEWEST_POINTS:
            told = f"{curve.name} has {_count(len(efficient.bpp), 'usable point')}"
            return Delta(None, f"{told}, {FEWEST_POINTS} are needed{f' ({note})' if note else ''}")
        if len(efficient.bpp) < (1 - MOST_DROPPED) * len(curve.bpp):
            return Delta(None, f"{curve.name} is no curve: {note}")
        kept.append(efficient)
        notes += [note] if note else []
    low, high, share = _overlap(*(axis.base(curve) for curve in kept))
    span = f"{axis.shown(low):.4g} to {axis.shown(high):.4g}{f' {axis.unit}' if axis.unit else ''}"
    if high <= low:
        return Delta(None, f"the curves share no {axis.shared}{_gap(kept, axis)}")
    if share < SMALLEST_OVERLAP:
        told = f"the curves share only {span}, {100 * share:.0f} % of the shorter one's range"
        return Delta(None, f"{told}; {100 * SMALLEST_OVERLAP:.0f} % are needed")
    fitted = [Akima1DInterpolator(axis.base(curve), axis.height(curve)) for curve in kept]
    for curve, function in zip(kept, fitted, strict=True):
        if _runs_backwards(function, low, high):
            told = f"the interpolated curve of {curve.name} runs backwards between its points"
            return Delta(None, f"{told}, a flat stretch: no {axis.shared} has one answer there")
    notes.insert(0, f"over {span}, {100 * share:.0f} % of the shorter curve's range")
    of_anchor, of_codec = (float(function.integrate(low, high)) for function in fitted)
    return Delta(axis.in_unit((of_codec - of_anchor) / (high - low)), "; ".join(notes))


def _efficient(curve: Curve, higher_is_better: bool) -> tuple[Curve, str]:
    """Return the points, cheapest first, that are better than every cheaper one; what was left out.

    A setting that costs more and gives less is one that nobody would choose, and no interpolation
    has an answer for a curve that turns back.
    """
    finite = np.isfinite(curve.bpp) & np.isfinite(curve.value) & (curve.bpp > 0)
    bpp, value = curve.bpp[finite], curve.value[finite]
    quality = value if higher_is_better else -value
    order = np.lexsort((-quality, bpp))
    best = np.maximum.accumulate(np.concatenate(([-np.inf], quality[order])))[:-1]
    kept = order[quality[order] > best]
    notes: list[str] = []
    lost, infinite = len(bpp) - len(kept), len(curve.bpp) - len(bpp)
    if infinite:
        notes.append(f"{_count(infinite, 'point')} of {curve.name} not finite, left out")
    if lost:
        worse = "no better than a cheaper one, left out"
        notes.append(f"{lost} of {_count(len(bpp), 'point')} of {curve.name} {worse}")
    return Curve(curve.name, bpp[kept], value[kept]), "; ".join(notes)


def _overlap(anchor: NDArray[np.float64], codec: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the ends of what two ranges share, and its share of the shorter one."""
    low = float(max(anchor.min(), codec.min()))
    high = float(min(anchor.max(), codec.max()))
    shorter = float(min(np.ptp(anchor), np.ptp(codec)))
    return low, high, max(high - low, 0.0) / shorter


def _gap(curves: list[Curve], axis: _Axis) -> str:
    """Return where two curves lie that share nothing."""
    ends: list[str] = []
    for curve in curves:
        base = axis.base(curve)
        bounds = sorted((axis.shown(float(base.min())), axis.shown(float(base.max()))))
        ends.append(f"{curve.name} has {bounds[0]:.4g} to {bounds[1]:.4g}")
    return f": {', '.join(ends)}{f' {axis.unit}' if axis.unit else ''}"


def _runs_backwards(function: Akima1DInterpolator, low: float, high: float) -> bool:
    """Return whether a curve that rises from point to point falls between them."""
    steps = np.diff(function(np.linspace(low, high, _SAMPLES)))
    return bool(-steps[steps < 0].sum() > MOST_TURNED_BACK * np.abs(steps).sum())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
