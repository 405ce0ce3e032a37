"""Climbing the loss ladder: every protocol on every picture, scored against the original."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...codecs import family_of, open_spec
from ...codecs.base import Codec
from ...codecs.tensors import from_levels, rounded
from ...errors import CodecError
from ...images.pixels import Fit, fit_pixels, placement, read_pixels
from ...records import CodecInfo, ImageRef, Progress
from ...suite import CodecSpec
from ..measure import prepare_references, score_batch
from ..reconstruct import Failure, reconstruct
from .rungs import BASE, EightBitLatents, Protocol, base_settings

if TYPE_CHECKING:
    from torch import Tensor

    from ....metrics import Metric

Values = dict[str, dict[str, float]]
"""By metric and picture."""


@dataclass
class Outcome:
    """What one protocol gave: its values, and by metric the reasons where it gave none, counted."""

    values: Values = field(default_factory=Values)
    reasons: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])

    @property
    def is_available(self) -> bool:
        """Whether there is a value of any picture."""
        return any(self.values.values())

    def refuse(self, metrics: Iterable[str], reason: str, times: int = 1) -> None:
        """Count a reason for which metrics have no value."""
        for name in metrics:
            self.reasons.setdefault(name, Counter())[reason] += times

    def reason(self, metric: str) -> str:
        """Return the commonest reason for which a metric has no value, "" where it has all."""
        return next((text for text, _ in self.reasons.get(metric, Counter()).most_common(1)), "")


@dataclass(frozen=True)
class Frame:
    """One picture of the set: what is compared, and what a resized protocol gives the codec.

    `area` is uint8 [H, W, 3]: of `crop` the square in the middle, otherwise all of it.
    """

    image_id: str
    area: NDArray[np.uint8]
    size: int | None
    fit: Fit

    @classmethod
    def of(cls, image_id: str, rgb: NDArray[np.uint8], size: int | None, fit: Fit | None) -> Frame:
        """Cut out what `fit` would keep; the square is then squashed without distortion."""
        if size is None or fit != "crop":
            return cls(image_id, rgb, size, fit or "squash")
        height, width = rgb.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return cls(image_id, rgb[top : top + side, left : left + side], size, "squash")

    def given(self, is_resized: bool) -> Tensor:
        """Return what the codec is given, float32 [1, 3, h, w] in [0, 1]."""
        return from_levels(
            [fit_pixels(self.area, self.size, self.fit) if is_resized else self.area]
        )

    def returned(self, pixels: Tensor, is_resized: bool) -> Tensor:
        """Return [1, 3, h, w] as large as the area, clamped to [0, 1] (Lanczos, in float)."""
        if not is_resized or self.size is None:
            return pixels
        height, width = self.area.shape[:2]
        place = placement(width, height, self.size, self.fit)
        inside = pixels[
            0,
            :,
            place.top_px : place.top_px + place.height_px,
            place.left_px : place.left_px + place.width_px,
        ]
        planes = [
            np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))
            for plane in inside.cpu().numpy()
        ]
        return torch.from_numpy(np.stack(planes))[None].clamp(0, 1).to(pixels.device)


def reconstructions(
    codec: Codec, frame: Frame, protocols: Sequence[Protocol], device: torch.device
) -> Iterator[tuple[Protocol, Tensor | Failure]]:
    """Yield each protocol's reconstruction, float32 [1, 3, H, W], or why there is none.

    All protocols are of one opened codec; those that differ in round trips alone share them.
    """
    chains: dict[Protocol, list[Protocol]] = {}
    for protocol in protocols:
        chains.setdefault(replace(protocol, round_trips=1), []).append(protocol)
    for chain, members in chains.items():
        used = EightBitLatents(codec) if chain.has_8bit_latents else codec
        state: Tensor | Failure = frame.given(chain.is_resized).to(device)
        for trip in range(1, max(member.round_trips for member in members) + 1):
            if not isinstance(state, Failure):
                state = _round_trip(used, state, chain.is_rounded)
            for member in members:
                if member.round_trips == trip:
                    yield member, _finished(frame, state, chain)


def _round_trip(codec: Codec, pixels: Tensor, is_rounded: bool) -> Tensor | Failure:
    answer = reconstruct(codec, pixels)[0]
    if isinstance(answer, Failure):
        return answer
    pixels = answer.pixels.float()[None].clamp(0, 1)
    return rounded(pixels) if is_rounded else pixels


def _finished(frame: Frame, state: Tensor | Failure, chain: Protocol) -> Tensor | Failure:
    if isinstance(state, Failure):
        return state
    pixels = frame.returned(state, chain.is_resized)
    return rounded(pixels) if chain.is_rounded else pixels


@dataclass
class Climb:
    """One codec's protocols on one set of pictures, and what they gave so far.

    A codec is opened once for each combination of its settings and dropped again, so that one
    network at a time is in memory; the pictures are read anew for each.
    """

    spec: CodecSpec
    images: Sequence[ImageRef]
    size: int | None
    fit: Fit | None
    metrics: Mapping[str, Metric]
    device: torch.device
    progress: Progress
    outcomes: dict[Protocol, Outcome] = field(default_factory=dict[Protocol, Outcome])

    def measure(self, protocols: Sequence[Protocol], phase: str) -> None:
        """Add the outcomes of protocols; those that are there already are not measured again.

        A codec that cannot be opened so is the reason of its protocols.
        """
        groups: dict[tuple[tuple[str, str | bool], ...], list[Protocol]] = {}
        for protocol in dict.fromkeys(protocols):
            if protocol not in self.outcomes:
                self.outcomes[protocol] = Outcome()
                groups.setdefault(protocol.codec_settings, []).append(protocol)
        total = len(groups) * len(self.images)
        for place, (settings, members) in enumerate(groups.items()):
            try:
                codec = self._open(dict(settings))
            except CodecError as error:
                for protocol in members:
                    self.outcomes[protocol].refuse(self.metrics, str(error), len(self.images))
                continue
            for index, image in enumerate(self.images):
                self.progress(phase, place * len(self.images) + index, total)
                self._score(codec, image, members)
        self.progress(phase, total, total)

    def start(self) -> CodecInfo:
        """Measure the base and return what its codec is.

        Raises: CodecError where it cannot be opened, or gives no value of any picture.
        """
        info = self._open({}).info
        self.measure([BASE], "base")
        outcome = self.outcomes[BASE]
        if self.metrics and not outcome.is_available:
            reason = outcome.reason(next(iter(self.metrics)))
            raise CodecError(f"Cannot make a ladder of {self.spec.name}: {reason}")
        return info

    def _open(self, changed: dict[str, str | bool]) -> Codec:
        spec = self.spec
        usual = base_settings(spec, family_of(spec.source).is_network)
        return open_spec(spec, {**usual, **changed})

    def _score(self, codec: Codec, image: ImageRef, protocols: Sequence[Protocol]) -> None:
        rgb, _ = read_pixels(image)
        frame = Frame.of(image.image_id, rgb, self.size, self.fit)
        metrics = tuple(self.metrics.values())
        with torch.inference_mode():
            original = frame.given(is_resized=False).to(self.device)
            references = prepare_references(metrics, [image.image_id], [()], original)
            for protocol, answer in reconstructions(codec, frame, protocols, self.device):
                outcome = self.outcomes[protocol]
                if isinstance(answer, Failure):
                    outcome.refuse(self.metrics, answer.reason)
                    continue
                (found,) = score_batch(metrics, references, "", answer, protocol.is_rounded)
                reasons = {entry.variant: entry.reason for entry in found.unavailable}
                for name, score in zip(self.metrics, found.scores, strict=True):
                    if score.value is None:
                        outcome.refuse([name], reasons[score.variant])
                    else:
                        outcome.values.setdefault(name, {})[image.image_id] = score.value
