"""Warm-up and sampling by a fake timer, the percentiles and rates of a cell, the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vaebench.bench.codecs import classical, open_codec
from vaebench.bench.codecs.tensors import from_levels, from_pil
from vaebench.bench.errors import SuiteError
from vaebench.bench.records import CodecInfo, Encoded, Timing
from vaebench.bench.timing.latency import Sampling, measure, stage_work, warm_up
from vaebench.bench.timing.timers import Sample


class Timer:
    """Gives times from a list, in ms by both clocks, and records what it was asked in order."""

    name = "fake"

    def __init__(self, times_ms: Iterable[float], peak: tuple[int, int] | None = None) -> None:
        self._times: Iterator[float] = iter(times_ms)
        self._peak = peak
        self.calls: list[str] = []

    def time(self, region: Callable[[], object]) -> Sample:
        self.calls.append("time")
        region()
        now = next(self._times)
        return Sample(now, now)

    def reset_peak(self) -> None:
        self.calls.append("reset")

    def peak_bytes(self) -> tuple[int, int] | None:
        self.calls.append("peak")
        return self._peak


def nothing() -> None:
    """A region."""


def halving() -> Iterator[float]:
    """Times of which no two windows agree."""
    return (1000 / 2**run for run in range(10**6))


def test_the_warm_up_ends_with_two_windows_that_agree() -> None:
    # The first call, a slow window, then two like each other.
    timer = Timer(chain([900.0], [20.0] * 5, [10.0] * 5, [10.04] * 5, repeat(10.0)))
    warmed = warm_up(nothing, timer)
    assert warmed.settled
    assert warmed.runs == 1 + 3 * 5
    assert warmed.first_call_ms == 900.0


def test_one_outlier_does_not_keep_a_window_from_agreeing() -> None:
    timer = Timer(chain([10.0], [10, 10, 55, 10, 10], [10, 10, 10, 99, 10], repeat(10.0)))
    assert warm_up(nothing, timer).runs == 11


def test_windows_that_differ_by_the_tolerance_do_not_agree() -> None:
    sampling = Sampling(tolerance=0.25, window=1, max_windows=2)
    assert not warm_up(nothing, Timer([1.0, 8.0, 10.0]), sampling).settled
    assert warm_up(nothing, Timer([1.0, 8.0, 9.9]), sampling).settled


def test_a_region_that_never_settles_is_told_so() -> None:
    sampling = Sampling(max_windows=4, window=3)
    warmed = warm_up(nothing, Timer(halving()), sampling)
    assert not warmed.settled
    assert warmed.runs == 1 + 4 * 3


def test_the_warm_up_is_bounded_in_time_without_the_first_call() -> None:
    # The first call takes a minute and counts for nothing; the fourth run after it passes 1 s.
    timer = Timer(chain([60_000.0], repeat(300.0)))
    warmed = warm_up(nothing, timer, Sampling(max_s=1.0))
    assert not warmed.settled
    assert warmed.runs == 1 + 4
    assert warmed.first_call_ms == 60_000.0


def test_the_first_call_is_in_no_window() -> None:
    timer = Timer(chain([10.0], repeat(10.0)))
    warmed = warm_up(nothing, timer, Sampling(window=2))
    assert warmed.runs == 1 + 2 + 2


def test_the_region_runs_as_often_as_is_told() -> None:
    runs: list[None] = []
    measured = measure(lambda: runs.append(None), Timer(repeat(5.0)), Sampling(samples=13))
    assert len(measured.samples) == 13
    assert len(runs) == measured.warmup.runs + 13


def test_samples_are_those_after_the_warm_up() -> None:
    times = chain([10.0] * 11, (float(run) for run in range(1, 100)))
    measured = measure(nothing, Timer(times), Sampling(samples=4, min_samples=1))
    assert measured.samples == tuple(Sample(run, run) for run in (1.0, 2.0, 3.0, 4.0))


def test_sampling_ends_after_max_s_but_not_before_min_samples() -> None:
    # 11 runs of warm-up at 10 ms stay under the bound.
    slow = chain([10.0] * 11, repeat(400.0))
    bounded = measure(nothing, Timer(slow), Sampling(samples=50, max_s=1.0, min_samples=2))
    assert len(bounded.samples) == 3
    slow = chain([10.0] * 11, repeat(400.0))
    at_least = measure(nothing, Timer(slow), Sampling(samples=50, max_s=1.0, min_samples=10))
    assert len(at_least.samples) == 10


def test_the_peak_is_reset_between_warm_up_and_samples_and_read_last() -> None:
    timer = Timer(repeat(10.0), peak=(300, 400))
    measured = measure(nothing, timer, Sampling(samples=12))
    assert timer.calls == ["time"] * 11 + ["reset"] + ["time"] * 12 + ["peak"]
    assert measured.peak_bytes == (300, 400)


def timing(samples_ms: tuple[float, ...], batch: int = 1, flop: int | None = None) -> Timing:
    return Timing(
        codec="c",
        stage="decode",
        dtype="float16",
        batch=batch,
        height_px=500,
        width_px=1000,
        mode="eager",
        settings={},
        device="NVIDIA H200",
        clock="cuda events",
        samples_ms=samples_ms,
        flop=flop,
        device_peak_tflops=200.0,
    )


@given(
    samples=st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=60),
    percent=st.one_of(st.sampled_from([0, 50, 90, 99, 100]), st.floats(0, 100)),
)
def test_percentiles_are_numpys(samples: list[float], percent: float) -> None:
    expected = float(np.percentile(samples, percent))
    assert timing(tuple(samples)).percentile_ms(percent) == pytest.approx(expected, rel=1e-9)


def test_rates_by_hand() -> None:
    # A median of 20 ms for 4 pictures: 200 in a second, of half a million pixels each.
    cell = timing((10.0, 20.0, 90.0), batch=4, flop=2 * 10**12)
    assert cell.images_per_s == pytest.approx(200)
    assert cell.megapixels_per_s == pytest.approx(100)
    # 2 TFLOP in 20 ms are 100 TFLOP/s, half of the 200 that are promised.
    assert cell.tflops == pytest.approx(100)
    assert cell.share_of_peak == pytest.approx(0.5)


def test_what_is_not_known_is_none() -> None:
    without_samples = timing((), flop=10)
    assert without_samples.percentile_ms(50) is None
    assert without_samples.images_per_s is None
    assert without_samples.megapixels_per_s is None
    assert without_samples.tflops is None
    assert without_samples.share_of_peak is None
    assert timing((10.0,)).tflops is None
    assert timing((10.0,)).share_of_peak is None


def test_a_batch_has_channels_first_in_0_to_1() -> None:
    pixels = np.zeros((1, 2, 3, 3), np.uint8)
    pixels[0, 1, 2] = (255, 51, 0)
    batch = from_levels(pixels, torch.device("cpu"))
    assert batch.dtype == torch.float32
    assert batch.shape == (1, 3, 2, 3)
    assert batch.is_contiguous()
    assert batch[0, :, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])


class Codec:
    """Writes down what is asked of it."""

    info = CodecInfo("test", "test", "test", {})

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.inference: list[bool] = []

    def encode(self, images: torch.Tensor) -> Encoded:
        self.calls.append("encode")
        self.inference.append(torch.is_inference_mode_enabled())
        return Encoded((8,), latents=images + 1)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        self.calls.append("decode")
        self.inference.append(torch.is_inference_mode_enabled())
        assert encoded.latents is not None
        return encoded.latents * 2


@pytest.mark.parametrize(
    ("stage", "calls"),
    [
        ("encode", ["encode", "encode"]),
        # The latents are made once, before anything is timed.
        ("decode", ["encode", "decode", "decode"]),
        ("roundtrip", ["encode", "decode", "encode", "decode"]),
    ],
)
def test_a_stage_is_what_its_name_says(stage: str, calls: list[str]) -> None:
    codec = Codec()
    region = stage_work(codec, stage, torch.ones(1, 3, 8, 8))
    region()
    output = region()
    assert codec.calls == calls
    assert all(codec.inference)
    if stage == "encode":
        assert isinstance(output, Encoded)
    else:
        assert isinstance(output, torch.Tensor)
        assert output.unique().tolist() == [4.0]


@pytest.mark.parametrize("source", ["jpeg", "png", "resize"])
@pytest.mark.parametrize("stage", ["encode", "decode", "roundtrip"])
def test_a_classical_codec_is_timed_from_and_to_8_bit_pictures(
    source: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"factor": 4} if source == "resize" else {}
    codec = open_codec(source, source, settings)
    pixels = torch.rand(2, 3, 16, 24)
    # Tensors are turned into pictures before the work, and never back.
    work = stage_work(codec, stage, pixels)
    for name in ("to_pil", "from_pil"):
        monkeypatch.setattr(classical, name, lambda *_: pytest.fail("a conversion is timed"))
    output: Any = work()
    monkeypatch.undo()
    if stage == "encode":
        assert output == codec.encode(pixels)
    else:
        assert [picture.mode for picture in output] == ["RGB"] * 2
        assert torch.equal(from_pil(output), codec.decode(codec.encode(pixels)))


def test_the_latents_for_decode_are_made_without_the_compiled_encoder() -> None:
    """Its graph would be compiled there, and its time be missing in encode's first call."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    codec = Codec()
    torch.compiler.reset()
    plus_one = torch.compile(lambda images: Encoded((8,), latents=images + 1), backend=backend)
    codec.encode = plus_one
    pixels = torch.ones(1, 3, 8, 8)
    stage_work(codec, "decode", pixels)()
    assert graphs == []
    stage_work(codec, "encode", pixels)()
    assert len(graphs) == 1


def test_an_unknown_stage_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(SuiteError, match=r"Did you mean decode\? Valid: decode, encode, round"):
        stage_work(Codec(), "decoder", torch.ones(1, 3, 8, 8))
