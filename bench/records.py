"""The frozen records that pass from one room to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

WHOLE = "whole"
"""The region name under which a whole picture is scored."""

REFERENCE = "reference"
"""Reserved as a codec's name: the references are kept beside the reconstructions."""

RATES = ("bpp", "elements_ratio", "stored_bits_ratio")
"""The metrics that say what a picture costs; which way is better is the reader's choice."""

RATIOS = ("elements_ratio", "stored_bits_ratio")
"""Those of RATES that say how many times smaller the picture is."""

Stage = Literal["encode", "decode", "roundtrip"]
"""What of a codec is timed."""

STAGES: tuple[Stage, ...] = get_args(Stage)

Settings = Mapping[str, str | int | float | bool]

Progress = Callable[[str, int, int], None]
"""Told the phase, how much of it is done and the total."""


def silent(phase: str, done: int, total: int) -> None:
    """Show nothing: the Progress of those who want none."""


@dataclass(frozen=True)
class ImageRef:
    """A picture of an evaluation set, as found on disk.

    `image_id` is its path below the set's root, with "/" between folders. Width and height are
    those of the pixels that are scored: after orientation, before any fit to a `--size`.
    `notes` tell what was converted on the way to 8-bit sRGB.
    """

    image_id: str
    image_set: str
    path: str
    sha256: str
    width_px: int
    height_px: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkippedImage:
    """A file of an image set that cannot be used, and why."""

    image_id: str
    image_set: str
    path: str
    reason: str


@dataclass(frozen=True)
class Region:
    """A named part of one picture.

    `box_px` is x0, y0, x1, y1, end-exclusive, in the picture's own pixels. `mask` is None for a
    rectangle; otherwise the box's pixels row by row, 8 to a byte, most significant bit first, the
    last byte of the whole padded with zeros (`numpy.packbits(mask)` of a bool [y1-y0, x1-x0]).
    """

    image_id: str
    name: str
    kind: str
    box_px: tuple[int, int, int, int]
    mask: bytes | None = None


@dataclass(frozen=True)
class CodecInfo:
    """What a codec is, and where it came from.

    An autoencoder fills the latent fields; a classical codec leaves them None. `multiple_px` is
    what width and height must be a multiple of before `encode`. `notes` say what a reader of
    its numbers must know (say, a config that was inferred).
    """

    name: str
    family: str
    source: str
    settings: Settings
    revision: str | None = None
    weights_sha256: str | None = None
    dtype: str | None = None
    device: str | None = None
    latent_channels: int | None = None
    spatial_factor: int | None = None
    scaling_factor: float | None = None
    shift_factor: float | None = None
    params: int | None = None
    multiple_px: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """What a codec would store of a batch of N pictures.

    `latents` is raw (not multiplied by the scaling factor), [N, C, h, w], or None for a
    classical codec, whose bytes are in `payloads`. `nbits` holds the stored bits of each picture:
    those of its payload, or else of its latents, or, where `has_indices`, of an index of a codebook
    for each of their positions. `posterior_mean` and `posterior_std`, [N, C, h, w], are what the
    encoder took for the latents' distribution; None where it gives none.
    """

    nbits: tuple[int, ...]
    latents: Tensor | None = None
    payloads: tuple[bytes, ...] | None = None
    posterior_mean: Tensor | None = None
    posterior_std: Tensor | None = None
    has_indices: bool = False

    @property
    def bits_variant(self) -> str:
        """What `nbits` are bits of: `bpp/measured`, `bpp/indices` or `bpp/stored`."""
        if self.payloads is not None or self.latents is None:
            return "bpp/measured"
        return "bpp/indices" if self.has_indices else "bpp/stored"


@dataclass(frozen=True)
class Score:
    """One number: a metric of one picture's region under one codec.

    `value` is None where the metric could not be computed; the reason is in the run's
    `unavailable` list. It may be +inf (the PSNR of identical pictures).
    """

    image_id: str
    codec: str
    region: str
    kind: str
    metric: str
    variant: str
    value: float | None
    unit: str


@dataclass(frozen=True)
class MetricColumn:
    """A metric as a run asks for it: one variant, so one column; also where it is unavailable.

    `higher_is_better` is None only where that is not known of a metric that is unavailable.
    """

    name: str
    variant: str
    unit: str
    higher_is_better: bool | None


@dataclass(frozen=True)
class Unavailable:
    """Why a metric has no value: for one picture and codec, or for all where these are None."""

    metric: str
    variant: str
    reason: str
    image_id: str | None = None
    codec: str | None = None


@dataclass(frozen=True)
class DeviceState:
    """What NVML tells of a GPU at one moment; None where it does not tell.

    `throttle_reasons` names what holds the clocks down: power cap, hardware slowdown, ….
    """

    sm_clock_mhz: int | None = None
    application_sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    throttle_reasons: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Timing:
    """One cell of a sweep: a codec's stage on one batch of pictures of one size, and its samples.

    `stage` is encode (pixels to latents), decode (latents to pixels) or roundtrip (both in a row).
    `dtype` is None for a classical codec, which is timed from and to 8-bit pictures. `mode` is
    `eager` or what was asked for, say `channels_last+compile`; `settings` holds everything that was
    fixed (cuDNN benchmark, TF32, cache flush, layout). `device` is the GPU's name or `CPU`, `clock`
    is `cuda events` or `perf_counter`. `samples_ms` are that clock's, `wall_ms` the wall clock's of
    the same runs. `status` is `ok`; `overflow` where the output was not finite (the samples are
    valid times all the same); `out of memory` or `failed`, then there are no samples. `settled` is
    False where the warm-up ended before two windows agreed. `flop` counts a run of the whole batch.
    """

    codec: str
    stage: str
    dtype: str | None
    batch: int
    height_px: int
    width_px: int
    mode: str
    settings: Settings
    device: str
    clock: str
    status: str = "ok"
    reason: str | None = None
    threads: int | None = None
    warmup_runs: int = 0
    settled: bool = False
    first_call_ms: float | None = None
    samples_ms: tuple[float, ...] = ()
    wall_ms: tuple[float, ...] = ()
    peak_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    flop: int | None = None
    device_peak_tflops: float | None = None
    throttled: bool | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None

    def percentile_ms(self, percent: float) -> float | None:
        """Return a percentile of the samples, linearly interpolated; None without samples."""
        if not self.samples_ms:
            return None
        ordered = sorted(self.samples_ms)
        place = (len(ordered) - 1) * percent / 100
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    @property
    def images_per_s(self) -> float | None:
        """Return the batch over the median time."""
        median_ms = self.percentile_ms(50)
        return 1000 * self.batch / median_ms if median_ms else None

    @property
    def megapixels_per_s(self) -> float | None:
        """Return millions of pixels of the picture, of any channels, in a second."""
        images = self.images_per_s
        return None if images is None else images * self.height_px * self.width_px / 1e6

    @property
    def tflops(self) -> float | None:
        """Return the 10¹² floating-point operations in a second that were achieved."""
        median_ms = self.percentile_ms(50)
        return self.flop / median_ms / 1e9 if self.flop and median_ms else None

    @property
    def share_of_peak(self) -> float | None:
        """Return the achieved share of what the device's data sheet promises."""
        achieved = self.tflops
        if achieved is None or not self.device_peak_tflops:
            return None
        return achieved / self.device_peak_tflops


@dataclass(frozen=True)
class Environment:
    """Fingerprint of the machine and libraries that made the numbers."""

    device: str
    driver: str | None
    cuda: str | None
    torch: str
    diffusers: str
    vaebench: str
    python: str
    platform: str
    cpu: str
    threads: int
    git: str | None
    libraries: Mapping[str, str] = field(default_factory=dict[str, str])
