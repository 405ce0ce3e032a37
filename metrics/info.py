"""What is known of a metric before it is built: name, unit, direction, fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MetricInfo:
    """The facts of a metric that a table can print even where the metric is unavailable.

    `name` goes to the metric column. `rounded` and `unrounded` are the fingerprints of scores of
    8-bit and of float reconstructions. `higher_is_better` is None only where the package that
    knows is not installed.

    A fingerprint is the name, a slash, and what would change the number, joined by hyphens: the
    window, viewing condition, backbone or package, then the colour. The colour ends in 8 where
    the reconstruction was rounded to 8 bits (`psnr/rgb8`, `ssim/gauss11-luma8`) and in -float
    where it was not (`psnr/rgb-float`). LPIPS takes RGB alone, so it names no colour:
    `lpips/alex-0.1` and `lpips/alex-0.1-float`.
    """

    name: str
    unit: str
    higher_is_better: bool | None
    rounded: str
    unrounded: str

    def variant(self, rounded: bool) -> str:
        """Return the fingerprint of scores of rounded or unrounded reconstructions."""
        return self.rounded if rounded else self.unrounded


def colour_info(name: str, unit: str, higher_is_better: bool | None, stem: str) -> MetricInfo:
    """Return the info of a metric whose fingerprint ends in a colour: `NAME/STEM8`, `-float`."""
    rounded, unrounded = f"{name}/{stem}8", f"{name}/{stem}-float"
    return MetricInfo(name, unit, higher_is_better, rounded, unrounded)


@dataclass(frozen=True)
class MetricContext:
    """What a metric may need to be built: the weights folder, and the device of its networks."""

    weights: Path | None = None
    device: str = "cpu"


class DescribedMetric:
    """The part of a metric that its info answers; its regional values are plain means."""

    def __init__(self, info: MetricInfo) -> None:
        self.info = info

    @property
    def name(self) -> str:
        """The name in the `metric` column."""
        return self.info.name

    @property
    def unit(self) -> str:
        """The unit of the value, "" where it has none."""
        return self.info.unit

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is a better reconstruction."""
        return bool(self.info.higher_is_better)

    def variant(self, rounded: bool) -> str:
        """Return the fingerprint of scores of rounded or unrounded reconstructions."""
        return self.info.variant(rounded)

    def pool(self, mean: float) -> float:
        """Return the mean of a map unchanged: it is the regional value already."""
        return mean
