"""The fixture `vae_benchmark`: pytest-benchmark for codecs, on a GPU too.

Registered by an entry point, so it is loaded with every pytest: nothing heavy is imported before
a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..codecs import Codec

VaeBenchmark = Callable[..., Any]


@pytest.fixture
def vae_benchmark(request: pytest.FixtureRequest) -> VaeBenchmark:
    """Time one stage of a codec: `vae_benchmark("./vae:dtype=float16", stage="decode", size=512)`.

    The codec is a spec as on the command line, or an opened codec; `stage` is encode, decode or
    roundtrip; `batch` pictures of `size`×`size` px lie on the codec's device before the clock
    starts. Each round ends when the device has finished. Device, precision, peak memory and
    images a second are in the benchmark's `extra_info`. Returns the stage's output.

    Raises: VaebenchError where the codec cannot be opened.
    """
    if not request.config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError(
            "The fixture vae_benchmark needs pytest-benchmark: pip install pytest-benchmark."
        )
    benchmark: Any = request.getfixturevalue("benchmark")

    def run(codec: str | Codec, stage: str = "decode", size: int = 512, batch: int = 1) -> Any:
        return _run(benchmark, _opened(codec), stage, size, batch)

    return run


def _opened(codec: str | Codec) -> Codec:
    from ..codecs import open_spec
    from ..codecs.networks.steady_layers import stock_layers
    from ..suite import CodecSpec

    if not isinstance(codec, str):
        return codec
    spec = CodecSpec.parse(codec)
    with stock_layers():
        return open_spec(spec)


def _run(benchmark: Any, codec: Codec, stage: str, size: int, batch: int) -> Any:
    import torch

    from ..codecs.tensors import from_levels
    from ..images.sample import sample_pixels
    from .latency import stage_work, warm_up
    from .timers import make_timer

    device = torch.device(codec.info.device or "cpu")
    timer = make_timer(device)
    work = stage_work(codec, stage, from_levels(sample_pixels(size, batch), device))

    def finished() -> object:
        output = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return output

    if benchmark.enabled:
        warm_up(work, timer)
    timer.reset_peak()
    output = benchmark(finished)
    benchmark.extra_info.update(_extra_info(codec, device, stage, size, batch))
    peak = timer.peak_bytes()
    if peak is not None:
        benchmark.extra_info["peak_bytes"] = peak[0]
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_s"] = batch / benchmark.stats.stats.median
    return output


def _extra_info(codec: Codec, device: Any, stage: str, size: int, batch: int) -> dict[str, Any]:
    import torch

    from .sweep import device_name

    return {
        "codec": codec.info.name,
        "stage": stage,
        "size_px": size,
        "batch": batch,
        "dtype": codec.info.dtype,
        "device": device_name(device),
        "threads": None if device.type == "cuda" else torch.get_num_threads(),
    }
