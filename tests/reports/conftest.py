"""Small stored runs, written by bench.store itself, with real JPEG and WebP reconstructions."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from vaebench.bench.records import (
    CodecInfo,
    DeviceState,
    Environment,
    ImageRef,
    MetricColumn,
    Region,
    Score,
    SkippedImage,
    Timing,
    Unavailable,
)
from vaebench.bench.store.parts import parts_of, write_part
from vaebench.bench.store.record import ErrorMap, RunRecord
from vaebench.bench.store.run import StoredRun, create_run, finish_run, load_run, picture_path
from vaebench.bench.store.tables import TREND_COLUMNS, write_timings, write_trend
from vaebench.bench.suite import Suite

from .comparisons import (  # noqa: F401
    compare_runs,
    make_changed,
    make_comparison,
    make_row,
    make_values,
    other_run,
)
from .measurements import make_rd  # noqa: F401
from .read_pages import read_page  # noqa: F401

PSNR = ("psnr", "psnr/rgb8", "dB")
LPIPS = ("lpips-alex", "lpips/alex-0.1", "")
FLIP = ("flip", "flip/ppd67", "")
REASON = "No AlexNet trunk was found. Pass --weights DIR with lpips/alexnet_features.safetensors."


@dataclass
class Spec:
    """What a made-up run holds; `pixels` are its references, by image_id."""

    pixels: dict[str, np.ndarray]
    codecs: Sequence[str] = ("vae", "jpeg-q30", "webp-q30")
    regions: Sequence[Region] = ()
    name: str = "tiny"
    keep: Callable[[str], bool] = lambda image_id: True
    skipped: Sequence[SkippedImage] = ()
    finished: bool = True
    fixed: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    latent_channels: int = 5
    timings: Sequence[Timing] = ()
    trend: pd.DataFrame | None = None
    scored: bool = True


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2
    return math.inf if error == 0 else float(-10 * np.log10(error))


def through_pillow(pixels: np.ndarray, kind: str) -> np.ndarray:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, kind, quality=30)
    return np.asarray(Image.open(sink).convert("RGB"))


def halved(pixels: np.ndarray) -> np.ndarray:
    """A stand-in for an autoencoder: what small detail does not survive."""
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize((max(1, width // 4), max(1, height // 4)))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def decoded(pixels: np.ndarray, place: int) -> np.ndarray:
    return halved(pixels) if place == 0 else through_pillow(pixels, ["WEBP", "JPEG"][place % 2])


def codec_info(name: str, place: int, channels: int) -> CodecInfo:
    if place:
        return CodecInfo(name, "classical", "jpeg", {"q": 30})
    network = ("ab" * 32, "float32", "cpu", channels, 4, 1.0, 0.0, 9)
    return CodecInfo(name, "taesd", "weights/vae", {}, None, *network)


def record_of(spec: Spec, codecs: Sequence[CodecInfo]) -> RunRecord:
    machine = ("cpu", None, None, "2.6", "0.35", "0.1.0", "3.11", "Linux", "a CPU", 1, "abc")
    images = tuple(
        ImageRef(image_id, "set", f"set/{image_id}", f"{place:064x}", *pixels.shape[1::-1])
        for place, (image_id, pixels) in enumerate(spec.pixels.items())
    )
    record = RunRecord(
        run_id=f"20260101T000000Z-{spec.name}",
        name=spec.name,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        command=f"vaebench run --images set --out '{spec.name}'",
        working_folder=None,
        suite=Suite.create(images=["set"], codecs=["jpeg:q=30"], keep="all"),
        environment=Environment(*machine, {"pillow": "12"}),
        skipped=tuple(spec.skipped),
        codecs=tuple(codecs),
    )
    if not spec.scored:
        # What `vaebench speed` writes: no picture, no metric.
        return record
    metrics = ((*PSNR, True), (*LPIPS, False), (*FLIP, False))
    return replace(
        record,
        images=images,
        regions=tuple(spec.regions),
        metrics=tuple(MetricColumn(*metric) for metric in metrics),
        unavailable=(Unavailable(LPIPS[0], LPIPS[1], REASON),),
        error_map=ErrorMap("flip", FLIP[1], "", 1.0),
    )


def write_run(folder: Path, spec: Spec) -> StoredRun:
    infos = [
        codec_info(name, place, spec.latent_channels) for place, name in enumerate(spec.codecs)
    ]
    record = record_of(spec, infos)
    create_run(folder, record)
    if spec.timings:
        write_timings(folder, spec.timings)
    if spec.trend is not None:
        write_trend(folder, spec.trend)
    for image_id, pixels in spec.pixels.items() if spec.scored else ():
        scores = [
            score
            for place, name in enumerate(spec.codecs)
            for score in _scores(folder, spec, image_id, pixels, place, name)
        ]
        if spec.keep(image_id):
            _save(picture_path(folder, "reconstructions", "reference", image_id), pixels)
        write_part(folder, image_id, scores, [], {})
    if spec.finished:
        finish_run(folder, record, parts_of(folder, record))
    return load_run(folder)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # By its content, as image_ids need not end in .png.
    Image.fromarray(pixels).save(path, "PNG")


def _scores(
    folder: Path, spec: Spec, image_id: str, pixels: np.ndarray, place: int, name: str
) -> list[Score]:
    output = decoded(pixels, place)
    errors = np.abs(output.astype(float) - pixels.astype(float)).mean(-1) / 255
    if spec.keep(image_id):
        _save(picture_path(folder, "reconstructions", name, image_id), output)
        _save(picture_path(folder, "maps", name, image_id), np.uint8(np.round(errors * 255)))
        if place == 0:
            path = picture_path(folder, "latents", name, image_id, ".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            ramp = np.linspace(-2, 3, spec.latent_channels * 48).reshape(-1, 6, 8)
            np.save(path, ramp.astype(np.float16))
    areas = [("whole", "whole", (0, 0, pixels.shape[1], pixels.shape[0]))]
    areas += [(r.name, r.kind, r.box_px) for r in spec.regions if r.image_id == image_id]
    scores: list[Score] = []
    for region, kind, (x0, y0, x1, y1) in areas:
        part = np.s_[y0:y1, x0:x1]
        value = psnr(pixels[part], output[part])
        if region == "whole":
            value = spec.fixed.get((image_id, name), value)
        flip = float(errors[part].mean())
        for metric, number in ((PSNR, value), (LPIPS, None), (FLIP, flip)):
            scores.append(
                Score(image_id, name, region, kind, metric[0], metric[1], number, metric[2])
            )
    rate = ("bpp/measured", 0.5 + place) if place else ("bpp/stored", 10.0)
    whole = (image_id, name, "whole", "whole")
    scores.append(Score(*whole, "bpp", *rate, "bit/px"))
    elements = None if place else 9.6
    scores.append(Score(*whole, "elements_ratio", "elements_ratio", elements, ""))
    scores.append(Score(*whole, "stored_bits_ratio", "stored_bits_ratio", 24 / rate[1], ""))
    return scores


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Three photographs of unlike sizes that ship inside scikit-image."""
    from skimage import data

    cat, astronaut, coffee = data.chelsea(), data.astronaut(), data.coffee()
    return {
        "cat.png": np.ascontiguousarray(cat[50:210, 80:320]),
        "people/astronaut.png": np.ascontiguousarray(astronaut[0:240, 150:310]),
        "coffee.png": np.ascontiguousarray(coffee[100:228, 150:278]),
    }


@pytest.fixture(scope="session")
def eyes() -> tuple[Region, ...]:
    return (
        Region("cat.png", "left-eye", "eye", (57, 35, 126, 98)),
        Region("people/astronaut.png", "face", "face", (30, 82, 121, 180)),
        Region("cat.png", "nose", "nose", (130, 100, 200, 155)),
    )


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[[Spec], StoredRun]:
    """Write a run into a fresh folder and load it."""
    return lambda spec: write_run(tmp_path / "run", spec)


@pytest.fixture
def photo_spec(photographs: dict[str, np.ndarray], eyes: tuple[Region, ...]) -> Spec:
    return Spec(photographs, regions=eyes)


@pytest.fixture
def golden_spec() -> Spec:
    """Two codecs, four flat pictures, PSNRs by hand: 30, 20, inf, 40 and twice as bad."""
    flat = np.full((16, 24, 3), 128, np.uint8)
    values = {
        ("a.png", "one"): 30.0,
        ("b_1.png", "one"): 20.0,
        ("c.png", "one"): math.inf,
        ("d.png", "one"): 40.0,
        ("a.png", "two"): 25.0,
        ("b_1.png", "two"): 15.0,
        ("c.png", "two"): 35.0,
        ("d.png", "two"): 45.0,
    }
    pixels = {"a.png": flat, "b_1.png": flat, "c.png": flat, "d.png": np.tile(flat, (2, 1, 1))}
    return Spec(pixels, codecs=("one", "two"), fixed=values)


GPU = "NVIDIA H100 80GB HBM3"


def cell(codec: str = "vae", stage: str = "decode", **fields: Any) -> Timing:
    """Return a cell on a GPU: 512 px, batch 1, samples 10, 11, … 20 ms, unless told otherwise."""
    state = DeviceState(1980, 1980, 2619, 61, 402.5, ())
    given = {
        "dtype": "float16",
        "batch": 1,
        "height_px": 512,
        "width_px": 512,
        "mode": "eager",
        "settings": {"cache_flush": False, "cudnn_benchmark": True},
        "device": GPU,
        "clock": "cuda events",
        "warmup_runs": 26,
        "settled": True,
        "first_call_ms": 843.0,
        "samples_ms": tuple(float(ms) for ms in range(10, 21)),
        "peak_bytes": 3 * 2**30 // 2,
        "peak_reserved_bytes": 2 * 2**30,
        "flop": 2_515_000_000_000,
        "device_peak_tflops": 989.5,
        "throttled": False,
        "before": state,
        "after": state,
    }
    return Timing(codec, stage, **{**given, "wall_ms": given["samples_ms"], **fields})


def cpu_cell(codec: str = "vae", stage: str = "decode", **fields: Any) -> Timing:
    """Return a cell as a CPU gives it: no memory, no peak, no state."""
    unknown = ("peak_bytes", "peak_reserved_bytes", "device_peak_tflops")
    given: dict[str, Any] = dict.fromkeys((*unknown, "throttled", "before", "after"))
    given |= {"device": "CPU", "clock": "perf_counter", "threads": 2, "dtype": "float32"}
    return cell(codec, stage, **{**given, "settings": {"cache_flush": False}, **fields})


def failed_cell(status: str, reason: str, **fields: Any) -> Timing:
    """Return a cell without samples."""
    nothing: dict[str, Any] = {"samples_ms": (), "wall_ms": (), "settled": False}
    unknown = ("first_call_ms", "peak_bytes", "peak_reserved_bytes", "flop", "throttled")
    nothing |= {**dict.fromkeys(unknown), "warmup_runs": 0}
    return cell(status=status, reason=reason, **{**nothing, **fields})


def sweep_of(codecs: Sequence[str], make: Callable[..., Timing] = cell) -> list[Timing]:
    """Return cells of two sizes, two batches and all stages, slower with work and with place."""
    timings: list[Timing] = []
    for place, codec in enumerate(codecs, start=1):
        for size in (256, 512):
            for batch in (1, 4):
                for stage, factor in (("encode", 1.0), ("decode", 2.0), ("roundtrip", 3.1)):
                    scale = place * factor * batch**0.9 * (size / 256) ** 2
                    samples = tuple(scale * (1 + 0.01 * step) for step in range(11))
                    fields = {"batch": batch, "height_px": size, "width_px": size}
                    timings.append(make(codec, stage, samples_ms=samples, **fields))
    return timings


def trend_of(values: dict[tuple[str, str], Sequence[float]], steps: set[int] | None = None) -> Any:
    """Return a trend of values by (cell, fingerprint), a day apart; steps at these places."""
    rows = [
        (name, "p50_ms", "ms", f"2026-01-{day:02d}T08:00:00+00:00", "abc1234def", fingerprint, v, s)
        for (name, fingerprint), series in values.items()
        for day, v in enumerate(series, start=1)
        for s in [day - 1 in (steps or set())]
    ]
    return pd.DataFrame(rows, columns=pd.Index(TREND_COLUMNS))


@dataclass(frozen=True)
class MadeUp:
    """Makers of timings, for tests that write their own."""

    cell: Callable[..., Timing] = cell
    cpu_cell: Callable[..., Timing] = cpu_cell
    failed_cell: Callable[..., Timing] = failed_cell
    sweep_of: Callable[..., list[Timing]] = sweep_of
    trend_of: Callable[..., pd.DataFrame] = trend_of


@pytest.fixture(scope="session")
def made_up() -> MadeUp:
    return MadeUp()


@pytest.fixture
def speed_spec() -> Spec:
    """What `vaebench speed` leaves: two codecs on a GPU, two sizes, two batches, no picture."""
    return Spec({}, codecs=("vae", "tiny"), scored=False, timings=sweep_of(("vae", "tiny")))


@pytest.fixture
def spec_type() -> type[Spec]:
    """The type of a run's description, for tests that make their own."""
    return Spec
