"""How one piece of work is timed: warmed up until it has settled, then sampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor

from ..codecs.base import Codec, PictureCodec
from ..codecs.tensors import to_pil
from ..errors import SuiteError, unknown_name
from ..records import STAGES, Encoded
from .timers import Sample, Timer, Work


@dataclass(frozen=True)
class Sampling:
    """How long to warm up and how often to sample.

    The warm-up ends when the medians of two consecutive windows differ by less than `tolerance`,
    after `max_windows`, or after `max_s`. Sampling ends after `samples` runs, or after `max_s` once
    there are `min_samples`.
    """

    samples: int = 50
    max_s: float = 10.0
    window: int = 5
    tolerance: float = 0.005
    max_windows: int = 20
    min_samples: int = 10


@dataclass(frozen=True)
class WarmUp:
    """How often the work ran before it was sampled, and whether it had settled by then.

    `first_call_ms` is the wall time of the very first run: compilation and the choice of kernels
    are in it.
    """

    runs: int
    settled: bool
    first_call_ms: float


_SAMPLING = Sampling()


def warm_up(work: Work, timer: Timer, sampling: Sampling = _SAMPLING) -> WarmUp:
    """Run the work until the medians of two consecutive windows agree."""
    first_ms = timer.time(work).wall_ms
    spent_ms, runs, before = 0.0, 1, None
    for _ in range(sampling.max_windows):
        window: list[Sample] = []
        for _ in range(sampling.window):
            window.append(timer.time(work))
            spent_ms += window[-1].wall_ms
            runs += 1
            if spent_ms > 1000 * sampling.max_s:
                return WarmUp(runs, False, first_ms)
        now = median(sample.device_ms for sample in window)
        if before is not None and abs(now - before) < sampling.tolerance * before:
            return WarmUp(runs, True, first_ms)
        before = now
    return WarmUp(runs, False, first_ms)


@dataclass(frozen=True)
class Measured:
    """The warm-up, samples and peak of allocated and reserved bytes, where it is known."""

    warmup: WarmUp
    samples: tuple[Sample, ...]
    peak_bytes: tuple[int, int] | None


def measure(work: Work, timer: Timer, sampling: Sampling) -> Measured:
    """Warm the work up and sample it; the peak of memory is that of the samples alone."""
    warmed = warm_up(work, timer, sampling)
    timer.reset_peak()
    samples: list[Sample] = []
    spent_ms = 0.0
    while len(samples) < sampling.samples:
        samples.append(timer.time(work))
        spent_ms += samples[-1].wall_ms
        if spent_ms > 1000 * sampling.max_s and len(samples) >= sampling.min_samples:
            break
    return Measured(warmed, tuple(samples), timer.peak_bytes())


def stage_work(codec: Codec, stage: str, pixels: Tensor) -> Work:
    """Return a stage of a codec on a batch as a function without arguments.

    Args:
        stage: encode, decode (of latents that are made now) or roundtrip.
        pixels: [N, 3, H, W] in [0, 1] on the codec's device, of a size that it takes.
    Returns: what the stage gives: Encoded of encode, else pixels. A classical codec is called as
        its users call it: from and to 8-bit pictures, which are made before anything is timed.
    Raises: SuiteError for another stage; CodecError.
    """
    start, finish = _calls(codec, pixels)

    @torch.inference_mode()
    def encode() -> Encoded:
        return start()

    @torch.inference_mode()
    def roundtrip() -> object:
        return finish(start())

    if stage == "encode":
        return encode
    if stage == "roundtrip":
        return roundtrip
    if stage != "decode":
        raise SuiteError(unknown_name("stage", stage, STAGES))
    # A compiled encoder's graph is not made here, or it would be missing in encode's first call.
    with torch.compiler.set_stance("force_eager"):
        encoded = encode()

    @torch.inference_mode()
    def decode() -> object:
        return finish(encoded)

    return decode


def _calls(
    codec: Codec, pixels: Tensor
) -> tuple[Callable[[], Encoded], Callable[[Encoded], object]]:
    """Return how a codec's users encode these pixels, and decode."""
    if isinstance(codec, PictureCodec):
        pictures = to_pil(pixels)
        return partial(codec.encode_pictures, pictures), codec.decode_pictures
    return partial(codec.encode, pixels), codec.decode
