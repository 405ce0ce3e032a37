"""The variants of a metric that figures in papers are made with, knowingly or not.

A variant is a reading of each pair and a total of the readings. Names continue the fingerprints of
the metrics: `psnr/rgb8` is what a run scores, `psnr/rgb8-pooled` deviates from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...errors import SuiteError, unknown_name
from .readings import COLOURS, ByMetric, Reading, Similarity, SquaredError

Values = NDArray[np.float64]
Total = Callable[[Values, Values], float]
"""Makes one figure of the readings [N] and the pixels [N] that each stands for."""

SHAVED_PX: Final = (4, 8)


@dataclass(frozen=True)
class Stored:
    """A score that the run itself holds, by its fingerprint: of unrounded reconstructions.

    `is_psnr` reads the mean squared error that a PSNR stands for.
    """

    fingerprint: str
    is_psnr: bool = False


@dataclass(frozen=True)
class Variant:
    """One way to come to a figure: its name, what it does, and how."""

    name: str
    told: str
    reading: Reading | Stored
    total: Total


def mean(values: Values, pixels: Values) -> float:
    """Return the mean, every picture counting the same."""
    return float(values.mean())


def pooled(values: Values, pixels: Values) -> float:
    """Return the mean over all pixels of the set."""
    return float(np.average(values, weights=pixels))


def scaled(total: Total, factor: float) -> Total:
    """Return a total multiplied: of errors on another scale of pixels."""
    return lambda values, pixels: factor * total(values, pixels)


def mean_psnr(factor: float = 1.0, most_db: float = math.inf) -> Total:
    """Return the mean of the PSNRs, in dB, of squared errors times `factor`, at most `most_db`."""

    def total(values: Values, pixels: Values) -> float:
        return float(np.mean([min(_decibels(factor * mse), most_db) for mse in values]))

    return total


def pooled_psnr(factor: float = 1.0) -> Total:
    """Return the PSNR, in dB, of the squared error times `factor` pooled over all pixels."""
    return lambda values, pixels: _decibels(factor * pooled(values, pixels))


def _decibels(mse: float) -> float:
    return -10 * math.log10(mse) if mse > 0 else math.inf


def _told(colour: str) -> str:
    mix = COLOURS[colour]
    return "RGB" if mix is None else mix.told


@dataclass(frozen=True)
class Range:
    """A data range: what pixels x in [0, 1] became, as gain·x + offset where MAX is 1."""

    name: str
    told: str
    gain: float
    offset: float = 0.0


_SIGNED_1 = Range("signed-range1", "[-1, 1] with a data range of 1", 2.0, -1.0)
_SIGNED_2 = Range("signed-range2", "[-1, 1] with a data range of 2", 1.0, -0.5)
_UNIT_2 = Range("unit-range2", "[0, 1] with a data range of 2", 1 / 2)
_UNIT_255 = Range("unit-range255", "[0, 1] with a data range of 255", 1 / 255)


def _psnr() -> Iterator[Variant]:
    each, of_all = "mean of the pictures' PSNRs", "PSNR of the error pooled over all pixels"
    for colour in COLOURS:
        error = SquaredError(colour)
        yield Variant(f"psnr/{colour}8", f"{_told(colour)}, {each}", error, mean_psnr())
        yield Variant(f"psnr/{colour}8-pooled", f"{_told(colour)}, {of_all}", error, pooled_psnr())
    for colour in ("rgb", "luma", "studio", "studio-rounded"):
        for px in SHAVED_PX:
            told = f"{_told(colour)}, {each}, {px} px of each border shaved"
            error = SquaredError(colour, px)
            yield Variant(f"psnr/{colour}8-shave{px}", told, error, mean_psnr())
    # [-1, 1] with a range of 2 is no mistake and no other figure: only SSIM tells it apart.
    floats = Stored("psnr/rgb-float", is_psnr=True)
    for stem, reading, colour in (
        ("rgb8", SquaredError("rgb"), "RGB"),
        ("rgb-float", floats, "RGB, not rounded to 8 bits"),
    ):
        if reading is floats:
            yield Variant(f"psnr/{stem}", f"{colour}, {each}", reading, mean_psnr())
            yield Variant(f"psnr/{stem}-pooled", f"{colour}, {of_all}", reading, pooled_psnr())
        for wrong in (_SIGNED_1, _UNIT_2, _UNIT_255):
            name, told = f"psnr/{stem}-{wrong.name}", f"{colour}, {{}}, {wrong.told}"
            factor = wrong.gain**2
            yield Variant(name, told.format(each), reading, mean_psnr(factor))
            yield Variant(f"{name}-pooled", told.format(of_all), reading, pooled_psnr(factor))
        capped = f"{colour}, {each}, each at most 100 dB"
        yield Variant(f"psnr/{stem}-cap100", capped, reading, mean_psnr(most_db=100.0))


def _mse() -> Iterator[Variant]:
    scales = (("", "[0, 1]", 1.0), ("-signed", "[-1, 1]", 4.0), ("-255", "[0, 255]", 255.0**2))
    for colour in COLOURS:
        for suffix, scale, factor in scales:
            yield from _mse_pair(
                f"{colour}8{suffix}", f"{_told(colour)} in {scale}", SquaredError(colour), factor
            )
    for px in SHAVED_PX:
        told = f"RGB in [0, 1], {px} px of each border shaved"
        yield from _mse_pair(f"rgb8-shave{px}", told, SquaredError("rgb", px), 1.0)
    for suffix, scale, factor in scales:
        told = f"RGB in {scale}, not rounded to 8 bits"
        yield from _mse_pair(f"rgb-float{suffix}", told, Stored("mse/rgb-float"), factor)


def _mse_pair(
    name: str, told: str, reading: Reading | Stored, factor: float
) -> tuple[Variant, Variant]:
    each, of_all = "mean of the pictures' errors", "error pooled over all pixels"
    return (
        Variant(f"mse/{name}", f"{told}, {each}", reading, scaled(mean, factor)),
        Variant(f"mse/{name}-pooled", f"{told}, {of_all}", reading, scaled(pooled, factor)),
    )


_BORDERS: Final = (
    ("reflect", "the border reflected as torchmetrics does"),
    ("zeros", "the border continued by zeros as the pytorch-ssim code does"),
)


def _ssim() -> Iterator[Variant]:
    gauss, uniform = "Gaussian 11×11 window", "uniform 7×7 window, sample covariance"
    # Neighbours share their windows' moments, so the order is colour, window, border.
    for colour in COLOURS:
        stem, told = f"ssim/gauss11-{colour}8", f"{gauss}, {_told(colour)}"
        yield Variant(stem, told, Similarity(colour), mean)
        for px in SHAVED_PX if colour in ("rgb", "studio", "studio-rounded") else ():
            shaved = Similarity(colour, shave_px=px)
            more = f"{told}, {px} px of each border shaved"
            yield Variant(f"{stem}-shave{px}", more, shaved, mean)
        if colour == "rgb":
            yield Variant(
                f"{stem}-sample",
                f"{told}, sample covariance (scikit-image's gaussian_weights alone)",
                Similarity(colour, is_sample=True),
                mean,
            )
        for wrong in (_UNIT_255, _UNIT_2, _SIGNED_1, _SIGNED_2) if colour == "rgb" else ():
            reading = Similarity(colour, gain=wrong.gain, offset=wrong.offset)
            yield Variant(f"{stem}-{wrong.name}", f"{told}, {wrong.told}", reading, mean)
        for border, how in _BORDERS if colour in ("rgb", "luma") else ():
            more = f"{told}, a window for each pixel, {how}"
            yield Variant(f"{stem}-{border}", more, Similarity(colour, border=border), mean)
        stem, told = f"ssim/uniform7-{colour}8", f"{uniform}, {_told(colour)}"
        yield Variant(stem, told, Similarity(colour, "uniform7", is_sample=True), mean)
        for wrong in (_UNIT_255, _UNIT_2) if colour == "rgb" else ():
            reading = Similarity(colour, "uniform7", is_sample=True, gain=wrong.gain)
            yield Variant(f"{stem}-{wrong.name}", f"{told}, {wrong.told}", reading, mean)
    for colour in ("rgb", "luma"):
        told = f"{gauss}, {_told(colour)}, not rounded to 8 bits"
        name = f"ssim/gauss11-{colour}-float"
        yield Variant(name, told, Stored(name), mean)


def _ms_ssim() -> Iterator[Variant]:
    stem, told = "ms-ssim/gauss11-5scale", "five scales, Gaussian 11×11 window"
    for colour in ("rgb", "luma", "studio", "grey"):
        reading = ByMetric("ms-ssim", colour)
        yield Variant(f"{stem}-{colour}8", f"{told}, {_told(colour)}", reading, mean)
    for wrong in (_UNIT_255, _UNIT_2):
        reading = ByMetric("ms-ssim", gain=wrong.gain, offset=wrong.offset)
        yield Variant(f"{stem}-rgb8-{wrong.name}", f"{told}, RGB, {wrong.told}", reading, mean)
    for px in SHAVED_PX:
        reading = ByMetric("ms-ssim", shave_px=px)
        shaved = f"{told}, RGB, {px} px of each border shaved"
        yield Variant(f"{stem}-rgb8-shave{px}", shaved, reading, mean)
    other = ByMetric("torchmetrics:MultiScaleStructuralSimilarityIndexMeasure")
    yield Variant("ms-ssim/torchmetrics-rgb8", "as torchmetrics computes it, RGB", other, mean)
    name = f"{stem}-rgb-float"
    yield Variant(name, f"{told}, RGB, not rounded to 8 bits", Stored(name), mean)


def _lpips() -> Iterator[Variant]:
    for trunk in ("alex", "vgg", "squeeze"):
        metric, stem = f"lpips-{trunk}", f"lpips/{trunk}-0.1"
        yield Variant(stem, f"{trunk}, pixels in [-1, 1] as it expects", ByMetric(metric), mean)
        # LPIPS takes x in [0, 1] to 2x - 1 itself: what it shall see is halved and moved first.
        for name, told, gain in (
            ("unit", "pixels given in [0, 1] instead of [-1, 1]", 0.5),
            ("bytes", "pixels given in [0, 255] instead of [-1, 1]", 127.5),
        ):
            reading = ByMetric(metric, gain=gain, offset=0.5)
            yield Variant(f"{stem}-{name}", f"{trunk}, {told}", reading, mean)
        for px in SHAVED_PX:
            told = f"{trunk}, {px} px of each border shaved"
            yield Variant(f"{stem}-shave{px}", told, ByMetric(metric, shave_px=px), mean)
        floats = Stored(f"{stem}-float")
        yield Variant(f"{stem}-float", f"{trunk}, not rounded to 8 bits", floats, mean)


VARIANTS: Final[dict[str, Callable[[], Iterator[Variant]]]] = {
    "psnr": _psnr,
    "mse": _mse,
    "ssim": _ssim,
    "ms-ssim": _ms_ssim,
    "lpips": _lpips,
}
_ROOTS: Final = {"ssim-luma": "ssim", **{f"lpips-{t}": "lpips" for t in ("alex", "vgg", "squeeze")}}


def variants_of(metric: str) -> tuple[Variant, ...]:
    """Return the variants of psnr, mse, ssim, ms-ssim or lpips; ssim-luma and lpips-vgg will do.

    Raises: SuiteError for a metric without variants.
    """
    name = metric.lower().replace("_", "-")
    root = _ROOTS.get(name, name)
    if root not in VARIANTS:
        raise SuiteError(unknown_name("metric to explain", metric, VARIANTS))
    return tuple(VARIANTS[root]())
