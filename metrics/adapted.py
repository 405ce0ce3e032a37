"""What the adapters of other packages' metrics share: names matched loosely, one picture a call."""

from __future__ import annotations

import difflib
import importlib.metadata
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from .base import MetricError, MetricUnavailable, Result
from .info import DescribedMetric, MetricInfo
from .pictures import check_pair, check_pictures


class AdaptedMetric(DescribedMetric):
    """A metric of another package, called for one pair of pictures at a time. No map.

    `score` takes reference and reconstruction, float32 [1, 3, H, W] in [0, 1], and returns a
    tensor or number; whatever it raises becomes MetricUnavailable with the package's reason.
    """

    def __init__(
        self, info: MetricInfo, score: Callable[[Tensor, Tensor], object], device: str
    ) -> None:
        super().__init__(info)
        self._score = score
        self._device = device

    def prepare(self, reference: Tensor) -> Tensor:
        """Return the reference on the metric's device: these packages keep no features."""
        check_pictures(reference)
        return reference.to(self._device, torch.float32)

    def compare(self, prepared: Tensor, reconstruction: Tensor, want_maps: bool) -> Result:
        """Return the score of each picture; there are no maps.

        Raises: ShapeMismatch; MetricUnavailable where no picture of the batch has a score.
        """
        check_pair(prepared.shape, reconstruction)
        pictures = reconstruction.to(self._device, torch.float32)
        values = [math.nan] * len(prepared)
        reasons = [""] * len(prepared)
        for index in range(len(prepared)):
            one = slice(index, index + 1)
            try:
                values[index] = self._value(prepared[one], pictures[one])
            except MetricUnavailable as error:
                if len(prepared) == 1:
                    raise
                reasons[index] = str(error)
        if reasons and all(reasons):
            raise MetricUnavailable("; ".join(dict.fromkeys(reasons)))
        found = torch.tensor(values, dtype=torch.float64, device=reconstruction.device)
        return Result(found, reasons=tuple(reasons) if any(reasons) else ())

    def _value(self, reference: Tensor, reconstruction: Tensor) -> float:
        try:
            with torch.no_grad():
                score = self._score(reference, reconstruction)
        except Exception as error:  # another package's code: its reason is the user's
            raise MetricUnavailable(f"{self.name} refused the pictures: {reason(error)}") from error
        if isinstance(score, int | float) or (isinstance(score, Tensor) and score.numel() == 1):
            value = float(score)
            if math.isnan(value):
                raise MetricUnavailable(
                    f"{self.name} is not a number (NaN) for this pair of pictures: they leave it "
                    "undefined, as a flat or black part of a picture may."
                )
            return value
        raise MetricUnavailable(
            f"{self.name} returned no single number for one pair of pictures: "
            f"got {type(score).__name__}."
        )


def reason(error: Exception) -> str:
    """Return an error's message as the tail of one sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def loosely_named(
    name: str, valid: Iterable[str], package: str, offered: Iterable[str] | None = None
) -> str:
    """Return the valid name equal to `name` but for case, hyphens and underscores.

    Args:
        offered: those of the valid names that are of use here; all where none are given.
    Raises: MetricError with the nearest match and the names that are offered.
    """
    known = list(valid)
    if name in known:
        return name
    names = {_loose(one): one for one in known}
    if _loose(name) in names:
        return names[_loose(name)]
    shown = known if offered is None else list(offered)
    near = difflib.get_close_matches(_loose(name), {_loose(one): one for one in shown}, n=1)
    hint = f" Did you mean {package}:{names[near[0]]}?" if near else ""
    listed = ", ".join(sorted(shown))
    raise MetricError(f"Unknown metric '{package}:{name}'.{hint} Valid after {package}: {listed}.")


def _loose(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def fingerprint_stem(package: str, colour: str = "rgb") -> str:
    """Return `PACKAGE-VERSION-COLOUR`, the stem of an adapted metric's fingerprint."""
    return f"{package}-{importlib.metadata.version(package)}-{colour}"
