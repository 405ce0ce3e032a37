"""Which cells a sweep has, what becomes of a cell that fails, and that compiled graphs ran."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn
from vaebench.bench.codecs import family_of, open_codec
from vaebench.bench.errors import CodecError
from vaebench.bench.records import CodecInfo, Encoded, Timing
from vaebench.bench.suite import CodecSpec, Speed
from vaebench.bench.timing import sweep
from vaebench.bench.timing.sweep import (
    Variant,
    compiled_anew,
    describe_codecs,
    fixed_backends,
    plan_variants,
    time_codecs,
)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEMO = CodecSpec(source="demo-f8c4", settings={"device": "cpu"})
JPEG = CodecSpec(source="jpeg", settings={"q": 75})
Cell = tuple[str, str | None, str]
TINY = Speed(sizes=[64], samples=10, max_s=0.05)


def silent(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def ignore(timings: list[Timing]) -> None:
    """Keep nothing."""


def tiny(**fields: Any) -> Speed:
    return Speed(**{**TINY.model_dump(), **fields})


def planned(
    specs: Sequence[CodecSpec], speed: Speed, default_dtype: str | None = None
) -> list[Cell]:
    return [
        (variant.spec.name, variant.dtype, variant.mode)
        for variant in plan_variants(specs, speed, default_dtype)
    ]


def have_cuda(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has)


def test_float16_on_a_cpu_is_refused_with_a_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    have_cuda(monkeypatch, False)
    auto = CodecSpec(source="demo-f8c4")
    with pytest.raises(CodecError, match=r"demo-f8c4 in float16 on a CPU.*Pass --dtype float32"):
        plan_variants([auto], tiny(dtypes=["float32", "float16"]))
    own = CodecSpec(source="demo-f8c4", settings={"dtype": "float16"})
    with pytest.raises(CodecError, match="--dtype"):
        plan_variants([own], TINY)
    have_cuda(monkeypatch, True)
    with pytest.raises(CodecError, match="--dtype"):
        plan_variants([DEMO], tiny(dtypes=["float16"]))


@pytest.mark.parametrize(
    ("settings", "has_cuda", "default", "dtype"),
    [
        ({}, False, None, "float32"),
        ({}, True, None, "float16"),
        ({"device": "cpu"}, True, None, "float32"),
        ({"device": "cuda:1"}, True, None, "float16"),
        ({"dtype": "bfloat16"}, True, None, "bfloat16"),
        ({"dtype": "bfloat16"}, False, "float32", "bfloat16"),
        ({}, True, "float32", "float32"),
    ],
)
def test_a_network_is_timed_in_its_own_precision_else_the_devices(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    has_cuda: bool,
    default: str | None,
    dtype: str,
) -> None:
    have_cuda(monkeypatch, has_cuda)
    spec = CodecSpec(source="demo-f8c4", settings=settings, name="demo")
    assert planned([spec], TINY, default) == [("demo", dtype, "eager")]


def test_the_sweeps_precisions_go_before_a_codecs_own() -> None:
    spec = CodecSpec(
        source="demo-f8c4", settings={"dtype": "bfloat16", "device": "cpu"}, name="demo"
    )
    speed = tiny(dtypes=["float32"], modes=["eager", "compile"])
    assert planned([spec], speed) == [("demo", "float32", "eager"), ("demo", "float32", "compile")]


def test_duplicates_and_classical_codecs_come_once() -> None:
    speed = tiny(
        dtypes=["bfloat16", "float32", "bfloat16"], modes=["eager", "channels_last", "eager"]
    )
    assert planned([JPEG, DEMO], speed) == [
        ("jpeg-q75", None, "eager"),
        ("demo-f8c4-cpu", "bfloat16", "eager"),
        ("demo-f8c4-cpu", "bfloat16", "channels_last"),
        ("demo-f8c4-cpu", "float32", "eager"),
        ("demo-f8c4-cpu", "float32", "channels_last"),
    ]


def test_a_source_that_no_family_claims() -> None:
    with pytest.raises(CodecError, match="Did you mean demo-f8c4"):
        plan_variants([CodecSpec(source="demo-f8c5")], TINY)


def test_codecs_are_described_once_each_in_their_first_variant() -> None:
    variants = plan_variants([JPEG, DEMO], tiny(dtypes=["bfloat16", "float32"]))
    described = describe_codecs(variants)
    assert [(info.name, info.dtype) for info in described] == [
        ("jpeg-q75", None),
        ("demo-f8c4-cpu", "bfloat16"),
    ]


def test_a_variants_settings_are_the_specs_with_precision_and_mode() -> None:
    assert Variant(JPEG, None, "eager").settings == {"q": 75}
    assert Variant(DEMO, "float32", "eager").settings == {"device": "cpu", "dtype": "float32"}
    assert Variant(DEMO, "bfloat16", "channels_last+compile").settings == {
        "device": "cpu",
        "dtype": "bfloat16",
        "channels_last": True,
        "compile": True,
    }


def test_timed_are_the_layers_that_others_run() -> None:
    timed = sweep.open_variant(Variant(DEMO, "float32", "eager"))
    assert {type(layer).__module__ for layer in layers_of(timed)} >= {nn.SiLU.__module__}
    assert not any("vaebench" in type(layer).__module__ for layer in layers_of(timed))
    scored = open_codec("it", DEMO.source, DEMO.settings)
    assert any("vaebench" in type(layer).__module__ for layer in layers_of(scored))


def layers_of(codec: Any) -> list[nn.Module]:
    return list(codec.vae.modules())


@pytest.fixture
def uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations are not counted, which takes longer than these small cells themselves."""
    monkeypatch.setattr(sweep, "count_flop", lambda region: None)


@pytest.mark.usefixtures("uncounted")
def test_a_sweep_of_real_codecs_has_every_cell_in_order() -> None:
    speed = tiny(batches=[1, 2, 1], stages=["decode", "encode"])
    told: list[tuple[str, int, int]] = []
    lengths: list[int] = []
    timings = time_codecs(
        plan_variants([DEMO, JPEG], speed),
        speed,
        lambda *step: told.append(step),
        lambda sofar: lengths.append(len(sofar)),
    )
    assert [(cell.codec, cell.batch, cell.stage) for cell in timings] == [
        (codec, batch, stage)
        for codec in ("demo-f8c4-cpu", "jpeg-q75")
        for batch in (1, 2)
        for stage in ("decode", "encode")
    ]
    assert lengths == list(range(1, 9))
    assert told == [("timing", done, 8) for done in range(9)]


def test_a_cell_on_a_cpu_says_all_that_was_fixed() -> None:
    speed = tiny(stages=["decode"], modes=["channels_last"])
    network, jpeg = time_codecs(plan_variants([DEMO, JPEG], speed), speed, silent, ignore)
    for cell in (network, jpeg):
        assert (cell.status, cell.reason) == ("ok", None)
        assert cell.device == "CPU"
        assert cell.clock == "perf_counter"
        assert cell.threads == torch.get_num_threads()
        assert (cell.height_px, cell.width_px) == (64, 64)
        assert len(cell.samples_ms) == 10
        assert cell.samples_ms == cell.wall_ms
        assert cell.first_call_ms is not None
        assert cell.warmup_runs >= 2
        assert (cell.peak_bytes, cell.peak_reserved_bytes) == (None, None)
        assert (cell.before, cell.after, cell.throttled) == (None, None, None)
        assert cell.device_peak_tflops is None
    assert (network.dtype, network.mode) == ("float32", "channels_last")
    assert network.settings["channels_last"] is True
    assert network.settings["cache_flush"] is False
    assert not {"dtype", "device", "cudnn_benchmark"} & network.settings.keys()
    assert (jpeg.dtype, jpeg.mode) == (None, "eager")
    assert jpeg.settings["q"] == 75
    assert (network.flop or 0) > 1e6
    assert jpeg.flop is None


class Codec:
    """A network whose decode is a function of its latents."""

    def __init__(self, decode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.info = CodecInfo("fake", "fake", "fake", {}, dtype="float16", device="cpu")
        self._decode = decode

    def encode(self, images: torch.Tensor) -> Encoded:
        return Encoded((8,) * len(images), latents=images[:, :, ::8, ::8])

    def decode(self, encoded: Encoded) -> torch.Tensor:
        assert encoded.latents is not None
        return self._decode(encoded.latents)


def time_fake(
    monkeypatch: pytest.MonkeyPatch,
    decode: Callable[[torch.Tensor], torch.Tensor],
    speed: Speed = TINY,
) -> list[Timing]:
    monkeypatch.setattr(sweep, "open_spec", lambda spec, settings: Codec(decode))
    return time_codecs([Variant(DEMO, "float16", "eager")], speed, silent, ignore)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_overflow_keeps_its_samples_and_says_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    encode, decode, roundtrip = time_fake(
        monkeypatch, lambda latents: torch.full_like(latents, value)
    )
    assert (encode.status, encode.reason) == ("ok", None)
    for cell in (decode, roundtrip):
        assert cell.status == "overflow"
        assert len(cell.samples_ms) == 10
        assert "float16 overflows" in str(cell.reason)
        assert "Take dtype=bfloat16 or float32" in str(cell.reason)


def test_what_is_not_finite_in_float32_is_not_blamed_on_float16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codec = Codec(lambda latents: latents * torch.nan)
    codec.info = replace(codec.info, dtype="float32")
    monkeypatch.setattr(sweep, "open_spec", lambda spec, settings: codec)
    speed = tiny(stages=["decode"])
    (cell,) = time_codecs([Variant(DEMO, "float32", "eager")], speed, silent, ignore)
    assert cell.status == "overflow"
    assert "check the checkpoint's weights" in str(cell.reason)
    assert "dtype=" not in str(cell.reason)


def test_latents_that_overflow_are_an_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec(lambda latents: latents)
    monkeypatch.setattr(
        codec, "encode", lambda images: Encoded((8,), latents=torch.full((1, 4, 8, 8), torch.inf))
    )
    monkeypatch.setattr(sweep, "open_spec", lambda spec, settings: codec)
    speed = tiny(stages=["encode"])
    (cell,) = time_codecs([Variant(DEMO, "float16", "eager")], speed, silent, ignore)
    assert cell.status == "overflow"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 40.00 GiB.\nMore."),
        MemoryError("CUDA out of memory. Tried to allocate 40.00 GiB."),
        # As torch's allocator for the CPU says it.
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("CUDA error: out of memory; could not allocate"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when allocating a handle"),
        RuntimeError("backend='inductor' raised:\nOutOfMemoryError: CUDA out of memory, allocate"),
    ],
)
def test_a_cell_without_enough_memory_is_marked_and_the_sweep_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def decode(latents: torch.Tensor) -> torch.Tensor:
        if len(latents) == 4:
            raise error
        return latents

    timings = time_fake(monkeypatch, decode, tiny(batches=[4, 1]))
    assert [(cell.batch, cell.stage, cell.status) for cell in timings] == [
        (4, "encode", "ok"),
        (4, "decode", "out of memory"),
        (4, "roundtrip", "out of memory"),
        (1, "encode", "ok"),
        (1, "decode", "ok"),
        (1, "roundtrip", "ok"),
    ]
    marked = timings[1]
    assert marked.samples_ms == ()
    assert marked.images_per_s is None
    assert "allocat" in str(marked.reason)
    assert "\n" not in str(marked.reason)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("mat1 and mat2 differ\nsecond line"), "mat1 and mat2 differ"),
        (CodecError("demo cannot decode 3 channels."), "demo cannot decode 3 channels."),
        (ValueError(), "ValueError"),
        (
            RuntimeError("backend='inductor' raised:\nInvalidCxxCompiler: none found\n\nSet …"),
            "backend='inductor' raised: InvalidCxxCompiler: none found",
        ),
    ],
)
def test_a_cell_that_fails_is_marked_with_its_first_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def decode(latents: torch.Tensor) -> torch.Tensor:
        raise error

    encode, decoded, roundtrip = time_fake(monkeypatch, decode)
    assert encode.status == "ok"
    for cell in (decoded, roundtrip):
        assert (cell.status, cell.reason, cell.samples_ms) == ("failed", reason, ())
        assert (cell.device, cell.dtype) == ("CPU", "float16")


@pytest.mark.usefixtures("uncounted")
def test_a_size_that_is_no_multiple_of_the_networks_fails_alone() -> None:
    speed = tiny(sizes=[60, 64], stages=["roundtrip"])
    odd, good = time_codecs(plan_variants([DEMO], speed), speed, silent, ignore)
    assert (good.height_px, good.status) == (64, "ok")
    assert (odd.height_px, odd.status, odd.samples_ms) == (60, "failed", ())
    assert "multiple of 8" in str(odd.reason)


def test_a_codec_that_cannot_be_opened_ends_the_sweep_after_the_cells_before_it() -> None:
    gone = Variant(
        CodecSpec(source="demo-f8c4", settings={"nonsense": 1}, name="gone"), "float32", "eager"
    )
    speed = tiny(stages=["decode"])
    told: list[int] = []
    with pytest.raises(CodecError, match="nonsense"):
        time_codecs(
            [*plan_variants([JPEG], speed), gone],
            speed,
            silent,
            lambda sofar: told.append(len(sofar)),
        )
    assert told == [1]


def flags() -> tuple[bool, bool, bool]:
    cudnn: Any = torch.backends.cudnn
    return cudnn.benchmark, cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def set_flags(benchmark: bool, tf32_convolutions: bool, tf32_matmul: bool) -> None:
    cudnn: Any = torch.backends.cudnn
    cudnn.benchmark, cudnn.allow_tf32 = benchmark, tf32_convolutions
    torch.backends.cuda.matmul.allow_tf32 = tf32_matmul


@pytest.fixture
def other_flags() -> Iterator[tuple[bool, bool, bool]]:
    """Flags that are none of those that a sweep sets."""
    before = flags()
    set_flags(False, False, True)
    yield (False, False, True)
    set_flags(*before)


def test_backends_are_fixed_within_and_restored_after(other_flags: tuple[bool, bool, bool]) -> None:
    with fixed_backends():
        assert flags() == (True, True, False)
    assert flags() == other_flags
    with pytest.raises(KeyboardInterrupt), fixed_backends():
        raise KeyboardInterrupt
    assert flags() == other_flags


def test_a_sweep_that_is_interrupted_restores_the_backends(
    monkeypatch: pytest.MonkeyPatch, other_flags: tuple[bool, bool, bool]
) -> None:
    within: list[tuple[bool, bool, bool]] = []

    def decode(latents: torch.Tensor) -> torch.Tensor:
        within.append(flags())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        time_fake(monkeypatch, decode)
    assert within == [(True, True, False)]
    assert flags() == other_flags


class Counting:
    """A backend of torch.compile that runs the graph as it is and counts how often."""

    def __init__(self) -> None:
        self.graphs = 0
        self.symbols = 0
        self.runs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        self.graphs += 1
        self.symbols += sum(isinstance(value, torch.SymInt) for value in inputs)

        def run(*arguments: Any) -> Any:
            self.runs += 1
            return graph.forward(*arguments)

        return run


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """Whatever compiles does so with a backend that counts."""
    backend = Counting()
    compile_with = nn.Module.compile

    def compile_counted(module: nn.Module, *arguments: Any, **options: Any) -> None:
        compile_with(module, *arguments, **{**options, "backend": backend})

    monkeypatch.setattr(nn.Module, "compile", compile_counted)
    torch.compiler.reset()
    yield backend
    torch.compiler.reset()


@pytest.mark.parametrize("stage", ["encode", "decode"])
def test_in_mode_compile_every_timed_run_is_of_the_compiled_graph(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    timed: list[int] = []
    measure = sweep.measure

    def count_timed(*arguments: Any) -> Any:
        before = counting.runs
        measured = measure(*arguments)
        timed.append(counting.runs - before)
        return measured

    monkeypatch.setattr(sweep, "measure", count_timed)
    speed = tiny(stages=[stage], modes=["compile"])
    (cell,) = time_codecs(plan_variants([DEMO], speed), speed, silent, ignore)
    assert (cell.status, cell.mode) == ("ok", "compile")
    assert cell.settings["compile"] is True
    assert timed[0] > 0
    assert timed[0] % (cell.warmup_runs + len(cell.samples_ms)) == 0
    # Operations are counted outside of the graph, which would hide them.
    assert (cell.flop or 0) > 1e6


@pytest.mark.usefixtures("uncounted")
def test_each_shape_has_a_graph_of_its_own(counting: Counting) -> None:
    speed = tiny(sizes=[64, 72], stages=["decode"], modes=["compile"])
    small, large = time_codecs(plan_variants([DEMO], speed), speed, silent, ignore)
    assert (small.status, large.status) == ("ok", "ok")
    assert counting.graphs > 0
    # A graph that served both sizes would have them as symbols.
    assert counting.graphs % 2 == 0
    assert counting.symbols == 0


@pytest.mark.usefixtures("uncounted")
def test_a_first_call_compiles_all_that_its_stage_runs(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ran before it, so that every first call's time is that of compilation."""
    graphs: dict[str, int] = {}
    blank_of = sweep._blank

    def count_graphs(codec: Any, device: Any, stage: str, size: int, batch: int) -> Timing:
        counting.graphs = 0
        return blank_of(codec, device, stage, size, batch)

    monkeypatch.setattr(sweep, "_blank", count_graphs)
    speed = tiny(stages=["decode", "encode", "roundtrip"], modes=["compile"])
    time_codecs(
        plan_variants([DEMO], speed),
        speed,
        silent,
        lambda sofar: graphs.update({sofar[-1].stage: counting.graphs}),
    )
    assert graphs["encode"] > 0
    assert graphs["decode"] > 0
    assert graphs["roundtrip"] == graphs["encode"] + graphs["decode"]


def test_a_cell_compiles_in_a_cache_of_its_own_that_is_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "before")
    info = CodecInfo("fake", "fake", "fake", {"compile": True})
    caches: list[Path] = []
    for error in (None, RuntimeError("no compiler")):
        with suppress(RuntimeError), compiled_anew(info):
            caches.append(Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]))
            assert caches[-1].is_dir()
            if error:
                raise error
    assert len(set(caches)) == 2
    assert not any(cache.exists() for cache in caches)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "before"


@pytest.mark.usefixtures("uncounted")
def test_in_mode_eager_nothing_is_compiled(counting: Counting) -> None:
    speed = tiny(stages=["decode"])
    time_codecs(plan_variants([DEMO], speed), speed, silent, ignore)
    assert counting.runs == 0


def test_to_compile_a_whole_model_would_leave_its_decode_eager(counting: Counting) -> None:
    """Why `place` compiles encoder and decoder, each for itself."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 32),
    ).eval()
    latents = torch.zeros(1, 4, 8, 8)
    with torch.inference_mode():
        vae.compile()
        vae.decode(latents)
        assert counting.runs == 0
        vae.decoder.compile()
        vae.decode(latents)
        assert counting.runs > 0


def test_the_codecs_here_are_what_the_tests_take_them_for() -> None:
    assert family_of(DEMO.source).is_network
    assert not family_of(JPEG.source).is_network


@pytest.mark.cuda
@needs_cuda
def test_a_float16_sweep_on_a_gpu() -> None:
    on_gpu = CodecSpec(source="demo-f8c4", settings={"device": "cuda"})
    speed = Speed(sizes=[64], samples=10, max_s=0.5)
    timings = time_codecs(plan_variants([on_gpu], speed), speed, silent, ignore)
    assert [cell.stage for cell in timings] == ["encode", "decode", "roundtrip"]
    for cell in timings:
        assert (cell.status, cell.dtype) == ("ok", "float16")
        assert cell.device == torch.cuda.get_device_name()
        assert (cell.clock, cell.threads) == ("cuda events", None)
        assert cell.settings["cudnn_benchmark"] is True
        assert (cell.peak_bytes or 0) > 0
        assert (cell.peak_reserved_bytes or 0) >= (cell.peak_bytes or 0)
        assert len(cell.samples_ms) == len(cell.wall_ms) >= 10
        pairs = zip(cell.samples_ms, cell.wall_ms, strict=True)
        assert all(0 < device <= 1.05 * wall for device, wall in pairs)
