"""Timing codecs over sizes, batches, precisions and modes, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ..codecs import Codec, family_of, open_spec
from ..codecs.networks.steady_layers import stock_layers
from ..codecs.tensors import from_levels
from ..errors import CodecError, VaebenchError
from ..images.sample import sample_pixels
from ..records import CodecInfo, Encoded, Progress, Settings, Timing
from ..suite import CodecSpec, Speed
from .device_state import is_throttled, read_device_state
from .flops import count_flop, peak_tflops
from .latency import Sampling, measure, stage_work
from .timers import Work, make_timer

CPU = "CPU"
_NOT_TIMED = ("dtype", "device", "seed", "revision", "subfolder", "config", "local_files_only")
_OVERFLOW = (
    "the output is not finite: float16 overflows, as it does in SDXL's VAE. Take dtype=bfloat16 or "
    "float32, or a checkpoint mended for float16"
)
_NOT_FINITE = (
    "the output is not finite, and float16 is not to blame: check the checkpoint's weights"
)
_OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")


@dataclass(frozen=True)
class Variant:
    """A codec as it is opened once: its spec with the precision and mode of some cells."""

    spec: CodecSpec
    dtype: str | None
    mode: str

    @property
    def settings(self) -> Settings:
        """The spec's own settings with those of the variant."""
        if self.dtype is None:
            return self.spec.settings
        asked = self.mode.split("+")
        modes = {name: True for name in ("channels_last", "compile") if name in asked}
        return {**self.spec.settings, "dtype": self.dtype, **modes}


def plan_variants(
    specs: Sequence[CodecSpec], speed: Speed, default_dtype: str | None = None
) -> list[Variant]:
    """Return each codec in each precision and mode; a classical codec once.

    Args:
        default_dtype: for a codec that names none where the sweep names none; None for float16 on
            CUDA and float32 on a CPU.
    Raises: CodecError for a source that no family claims, and for float16 on a CPU.
    """
    variants: list[Variant] = []
    for spec in specs:
        if not family_of(spec.source).is_network:
            variants.append(Variant(spec, None, "eager"))
            continue
        on_cuda = _is_on_cuda(spec)
        fallback = default_dtype or ("float16" if on_cuda else "float32")
        for dtype in dict.fromkeys(speed.dtypes or [str(spec.settings.get("dtype", fallback))]):
            if dtype == "float16" and not on_cuda:
                raise CodecError(
                    f"Cannot time {spec.name} in float16 on a CPU: no CPU figure would tell of a "
                    "GPU's float16. Pass --dtype float32 or bfloat16, or run where torch sees a "
                    "CUDA device."
                )
            variants += [Variant(spec, dtype, mode) for mode in speed.modes]
    # A spec's own compile makes `eager` and `compile` the same.
    return list({repr((entry.spec, entry.settings)): entry for entry in variants}.values())


def open_variant(variant: Variant) -> Codec:
    """Open a variant's codec. Raises: CodecError."""
    with stock_layers():
        return open_spec(variant.spec, variant.settings)


def _is_on_cuda(spec: CodecSpec) -> bool:
    device = str(spec.settings.get("device", "auto"))
    return torch.cuda.is_available() if device == "auto" else device.startswith("cuda")


def describe_codecs(variants: Sequence[Variant]) -> list[CodecInfo]:
    """Open each codec once and return what it is, in its first variant.

    So what cannot be opened is told before anything is timed. Raises: CodecError.
    """
    infos: dict[str, CodecInfo] = {}
    for variant in variants:
        if variant.spec.name not in infos:
            infos[variant.spec.name] = open_variant(variant).info
            _free_memory()
    return list(infos.values())


def time_codecs(
    variants: Sequence[Variant],
    speed: Speed,
    progress: Progress,
    on_cell: Callable[[list[Timing]], None],
) -> list[Timing]:
    """Return the times of every variant with every size, batch and stage.

    A cell that runs out of memory or fails is marked, and the sweep goes on.

    Args:
        on_cell: told all timings so far after every cell.
    Raises: CodecError where a codec cannot be opened; the cells so far have been told.
    """
    timings: list[Timing] = []
    axes = (speed.sizes, speed.batches, speed.stages)
    cells = list(dict.fromkeys(product(*axes)))
    total = len(variants) * len(cells)
    progress("timing", 0, total)
    with fixed_backends():
        for variant in variants:
            codec = open_variant(variant)
            for size, batch, stage in cells:
                timings.append(_time_stage(codec, stage, size, batch, speed))
                _free_memory()
                on_cell(timings)
                progress("timing", len(timings), total)
            del codec
            _free_memory()
    return timings


def _time_stage(codec: Codec, stage: str, size: int, batch: int, speed: Speed) -> Timing:
    """Return a timed cell, or one that is marked with what kept it from being timed."""
    device = _device(codec)
    blank = _blank(codec, device, stage, size, batch)
    try:
        require_multiple(codec.info, size)
        pixels = from_levels(sample_pixels(size, batch), device)
        with compiled_anew(codec.info):
            return _time_cell(stage_work(codec, stage, pixels), device, blank, speed)
    except (VaebenchError, RuntimeError, MemoryError, ValueError, OSError) as error:
        is_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
            words in str(error) for words in _OUT_OF_MEMORY
        )
        status = "out of memory" if is_memory else "failed"
        return replace(blank, status=status, reason=_first_line(error))


@contextmanager
def compiled_anew(info: CodecInfo) -> Generator[None]:
    """Have a codec's graphs compiled within, from nothing and for the one shape that it meets.

    No graph of an earlier cell and none in torch's cache on disk is used: the first call's time
    is that of compilation, whatever ran before on this machine.
    """
    if not info.settings.get("compile"):
        yield
        return
    from torch._inductor.utils import fresh_inductor_cache

    torch.compiler.reset()
    # A folder of our own: torch leaves its own behind where a cell fails.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with fresh_inductor_cache(dir=folder):
            yield
        torch.compiler.reset()


def require_multiple(info: CodecInfo, size: int) -> None:
    """Raise CodecError where a codec would be given pictures that it takes only padded."""
    multiple = info.multiple_px
    if size % multiple:
        raise CodecError(
            f"Cannot time {info.name} at {size} px: it is no multiple of {multiple}. "
            f"Pass --size {-(-size // multiple) * multiple}."
        )


def _time_cell(work: Work, device: torch.device, blank: Timing, speed: Speed) -> Timing:
    before = read_device_state(device)
    measured = measure(work, make_timer(device), Sampling(speed.samples, speed.max_s))
    after = read_device_state(device)
    overflows = not _is_finite(work())
    peak = measured.peak_bytes
    return replace(
        blank,
        status="overflow" if overflows else "ok",
        reason=(_OVERFLOW if blank.dtype == "float16" else _NOT_FINITE) if overflows else None,
        warmup_runs=measured.warmup.runs,
        settled=measured.warmup.settled,
        first_call_ms=measured.warmup.first_call_ms,
        samples_ms=tuple(sample.device_ms for sample in measured.samples),
        wall_ms=tuple(sample.wall_ms for sample in measured.samples),
        peak_bytes=None if peak is None else peak[0],
        peak_reserved_bytes=None if peak is None else peak[1],
        flop=count_flop(work),
        throttled=is_throttled(before, after),
        before=before,
        after=after,
    )


def _blank(codec: Codec, device: torch.device, stage: str, size: int, batch: int) -> Timing:
    """Return a cell that has not been timed: what it is, and everything that was fixed."""
    info = codec.info
    name = device_name(device)
    own = {key: value for key, value in info.settings.items() if key not in _NOT_TIMED}
    fixed: dict[str, Any] = {"cache_flush": False, "warm_up_tolerance": Sampling.tolerance}
    if device.type == "cuda":
        fixed |= {"cudnn_benchmark": True, "tf32_convolutions": True, "tf32_matmul": False}
    return Timing(
        codec=info.name,
        stage=stage,
        dtype=info.dtype,
        batch=batch,
        height_px=size,
        width_px=size,
        mode=mode_of(info),
        settings={**own, **fixed},
        device=name,
        clock="cuda events" if device.type == "cuda" else "perf_counter",
        threads=None if device.type == "cuda" else torch.get_num_threads(),
        device_peak_tflops=peak_tflops(name, info.dtype),
    )


def device_name(device: torch.device) -> str:
    """Return a GPU's name, or the word CPU, which no reader takes for a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else CPU


def mode_of(info: CodecInfo) -> str:
    """Return `eager`, or what a network's settings ask for, joined by +."""
    on = [mode for mode in ("channels_last", "compile") if info.settings.get(mode)]
    return "+".join(on) or "eager"


def _device(codec: Codec) -> torch.device:
    return torch.device(codec.info.device or "cpu")


def _is_finite(output: object) -> bool:
    values = output.latents if isinstance(output, Encoded) else output
    return not isinstance(values, torch.Tensor) or bool(values.isfinite().all())


def _free_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def fixed_backends() -> Generator[None]:
    """Fix what decides a GPU's kernels: cuDNN chooses by trial, TF32 as in a quality run."""
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    before = (cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = True, True, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32 = before


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # torch.compile names its backend in the first line and the error in the second.
    return " ".join(lines[: 2 if lines[0].endswith("raised:") else 1])
