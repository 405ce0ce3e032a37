"""The ladder against losses known by hand, and a demonstration checkpoint step by step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch import Tensor
from vaebench.bench import codecs as codecs_module
from vaebench.bench.cli.listing import list_ladder
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.base import Family
from vaebench.bench.errors import CodecError, ImageError, SuiteError
from vaebench.bench.records import CodecInfo, Encoded, Settings
from vaebench.bench.scoring.ladder.climb import Frame
from vaebench.bench.scoring.ladder.ladder import LADDER_COLUMNS, LadderResult, ladder
from vaebench.bench.scoring.ladder.rungs import to_256_levels
from vaebench.bench.suite import CodecSpec
from vaebench.metrics import MetricError
from vaebench.metrics.psnr import PSNR
from vaebench.reports.plots.ladder import ladder_plot
from vaebench.reports.plots.style import NothingToShowError

RUNGS = ["base", "resize", "sample", "float16", "bfloat16", "8-bit latents", "tiling", "rounding"]
ERROR = 0.02
ADDED = {"sample": 0.01, "float16": 0.005, "bfloat16": 0.04, "tiling": 0.03}


@dataclass(frozen=True)
class Darkening:
    """A codec that darkens every pixel by the sum of what its settings cost."""

    info: CodecInfo
    error: float

    def encode(self, images: Tensor) -> Encoded:
        return Encoded((8,) * len(images), images.clone())

    def decode(self, encoded: Encoded) -> Tensor:
        assert encoded.latents is not None
        return encoded.latents - self.error


def open_darkening(name: str, source: str, given: Settings) -> Darkening:
    usual = {"posterior": "mode", "dtype": "float32", "tiling": False, "broken": ""}
    chosen: Mapping[str, Any] = {**usual, **given}
    if chosen["dtype"] == chosen["broken"]:
        raise CodecError(f"Cannot open {name}: no layer runs in {chosen['broken']} here.")
    words = (chosen["posterior"], chosen["dtype"], "tiling" if chosen["tiling"] else "")
    error = ERROR + sum(ADDED.get(word, 0.0) for word in words)
    if chosen["broken"] == "overflow" and chosen["dtype"] == "float16":
        error = math.inf
    info = CodecInfo(name, "darkening", source, chosen, latent_channels=3, dtype=chosen["dtype"])
    return Darkening(info, error)


@pytest.fixture
def darkening(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Family(lambda source: source == "darkening", open_darkening, "darkening", True)
    monkeypatch.setitem(codecs_module.CODECS, "darkening", family)


@pytest.fixture
def flat(tmp_path: Path) -> list[str]:
    """Two flat pictures: their resized copies and 8-bit latents lose nothing."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for level, (height, width) in ((204, (40, 64)), (229, (56, 48))):
        Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(folder / f"{level}.png")
    return [str(folder)]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("faces")
    Image.fromarray(data.astronaut()[60:124, 200:272]).save(folder / "astronaut.png")
    Image.fromarray(data.chelsea()[80:144, 120:184]).save(folder / "cat.png")
    return [str(folder)]


def differences(result: LadderResult, mode: str, metric: str = "psnr") -> dict[str, float]:
    rows = result.table[(result.table["mode"] == mode) & (result.table["metric"] == metric)]
    return dict(zip(rows["rung"], rows["difference"], strict=True))


def note(result: LadderResult, rung: str, mode: str = "alone", metric: str = "psnr") -> str:
    table = result.table
    rows = table[(table["rung"] == rung) & (table["mode"] == mode) & (table["metric"] == metric)]
    assert len(rows) == 1
    return str(rows["note"].iloc[0])


def decibels(error: float) -> float:
    return -20 * math.log10(error / ERROR)


@pytest.mark.usefixtures("darkening")
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_known_losses_alone_and_together(fit: str, flat: list[str]) -> None:
    spec = CodecSpec.parse("darkening")
    result = ladder(spec, flat, size=32, fit=fit, metrics=["psnr"], generations=(4, 1))
    assert list(result.table.columns) == list(LADDER_COLUMNS)
    assert list(dict.fromkeys(result.table["rung"])) == [*RUNGS, "1 round trip", "4 round trips"]
    base = result.table.iloc[0]
    assert base["variant"] == "psnr/rgb-float"
    assert base["value"] == pytest.approx(-20 * math.log10(ERROR), abs=1e-4)
    alone = differences(result, "alone")
    # 0.02 is 5.1 levels: rounded, 5.
    expected = {
        "base": 0.0,
        "resize": 0.0,
        **{name: decibels(ERROR + added) for name, added in ADDED.items()},
        "8-bit latents": 0.0,
        "rounding": decibels(5 / 255),
        "1 round trip": 0.0,
        "4 round trips": decibels(4 * ERROR),
    }
    assert alone == pytest.approx(expected, abs=2e-4)
    together = differences(result, "cumulative")
    error = ERROR + ADDED["sample"]
    assert together["sample"] == pytest.approx(decibels(error), abs=2e-4)
    error += ADDED["float16"]
    assert together["float16"] == pytest.approx(decibels(error), abs=2e-4)
    assert together["8-bit latents"] == pytest.approx(decibels(error), abs=2e-4)
    error += ADDED["tiling"]
    assert together["tiling"] == pytest.approx(decibels(error), abs=2e-4)
    # 0.065 is 16.575 levels: rounded to 17 in every round trip.
    assert together["rounding"] == pytest.approx(decibels(17 / 255), abs=2e-4)
    assert together["1 round trip"] == together["rounding"]
    assert together["4 round trips"] == pytest.approx(decibels(4 * 17 / 255), abs=2e-4)
    assert math.isnan(together["bfloat16"])
    assert note(result, "bfloat16", "cumulative") == "one precision at a time: another is on"
    rounded = result.table["variant"] == "psnr/rgb8"
    names = {"rounding", "1 round trip", "4 round trips"}
    assert set(result.table[rounded & (result.table["mode"] == "cumulative")]["rung"]) == names


@pytest.mark.usefixtures("darkening")
def test_the_protocol_asked_for_chooses_the_precision(flat: list[str]) -> None:
    spec = CodecSpec.parse("darkening:dtype=bfloat16,posterior=sample,tiling=true")
    result = ladder(spec, flat, metrics=["psnr"], generations=())
    # The settings that are rungs are off in the base.
    assert result.table.iloc[0]["value"] == pytest.approx(-20 * math.log10(ERROR), abs=1e-4)
    together = differences(result, "cumulative")
    assert together["bfloat16"] == pytest.approx(decibels(0.07), abs=2e-4)
    assert math.isnan(together["float16"])
    assert note(result, "resize") == "no size was given: pass --size and --fit"


@pytest.mark.usefixtures("darkening")
@pytest.mark.parametrize(
    ("broken", "reason"),
    [("float16", "no layer runs in float16 here"), ("overflow", "gave NaN or infinite values")],
)
def test_a_precision_that_fails_is_left_out(broken: str, reason: str, flat: list[str]) -> None:
    spec = CodecSpec.parse(f"darkening:broken={broken}")
    result = ladder(spec, flat, metrics=["psnr"], generations=(1,))
    assert reason in note(result, "float16")
    assert reason in note(result, "float16", "cumulative")
    assert math.isnan(differences(result, "alone")["float16"])
    together = differences(result, "cumulative")
    error = ERROR + ADDED["sample"] + ADDED["bfloat16"]
    assert together["bfloat16"] == pytest.approx(decibels(error), abs=2e-4)
    assert together["tiling"] == pytest.approx(decibels(error + ADDED["tiling"]), abs=2e-4)


@pytest.mark.usefixtures("darkening")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MetricError("Too dark for a PSNR."), "Too dark for a PSNR."),
        (torch.OutOfMemoryError("no room"), "the device's memory ran out: no room"),
    ],
)
def test_a_metric_that_refuses_a_reconstruction_is_a_reason_in_its_rung(
    error: Exception, reason: str, flat: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = PSNR.compare

    def refusing(self: PSNR, prepared: Any, reconstruction: Tensor, want_maps: bool) -> Any:
        if float((prepared - reconstruction).mean()) > ERROR + ADDED["tiling"] - 0.001:
            raise error
        return compare(self, prepared, reconstruction, want_maps)

    monkeypatch.setattr(PSNR, "compare", refusing)
    spec = CodecSpec.parse("darkening")
    result = ladder(spec, flat, metrics=["psnr", "mse"], generations=(1,))
    alone = differences(result, "alone")
    assert math.isnan(alone["tiling"])
    assert note(result, "tiling") == reason
    assert alone["sample"] == pytest.approx(decibels(ERROR + ADDED["sample"]), abs=2e-4)
    assert differences(result, "alone", "mse")["tiling"] > 0


@pytest.mark.usefixtures("darkening")
def test_a_base_that_fails_is_an_error(flat: list[str]) -> None:
    with pytest.raises(CodecError, match="no layer runs in float32"):
        ladder(CodecSpec.parse("darkening:broken=float32"), flat, metrics=["psnr"])


def test_a_file_codec_has_no_latents(faces: list[str]) -> None:
    result = ladder(CodecSpec.parse("jpeg:q=30"), faces, metrics=["psnr"], generations=(1, 2))
    lacking = {
        "sample": "no posterior to sample from",
        "float16": "no precision to choose",
        "bfloat16": "no precision to choose",
        "8-bit latents": "no latents: they store a file",
        "tiling": "no tiling",
    }
    for mode in ("alone", "cumulative"):
        for rung, what in lacking.items():
            assert note(result, rung, mode) == f"jpeg codecs have {what}"
            assert math.isnan(differences(result, mode)[rung])
    # A file holds 8 bits anyway.
    assert note(result, "rounding") == "no difference to the base on any picture"
    assert differences(result, "alone")["rounding"] == 0


def test_a_lossless_codec_has_an_infinite_base(faces: list[str]) -> None:
    result = ladder(
        CodecSpec.parse("png"),
        faces,
        size=32,
        fit="squash",
        metrics=["psnr", "mse"],
        generations=(2,),
    )
    base = result.table.iloc[0]
    assert math.isinf(base["value"])
    assert differences(result, "alone")["2 round trips"] == 0
    assert math.isnan(differences(result, "alone")["resize"])
    assert note(result, "resize").startswith("2 of 2 pictures, identical on one side")
    assert differences(result, "alone", "mse")["resize"] > 0
    json.dumps(result.to_dict(), allow_nan=False)


def test_resizing_is_lanczos_down_in_8_bits_and_up_in_float(faces: list[str]) -> None:
    result = ladder(
        CodecSpec.parse("png"), faces, size=32, fit="squash", metrics=["mse"], generations=()
    )
    expected: list[float] = []
    for path in sorted(Path(faces[0]).iterdir()):
        image = Image.open(path)
        small = np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS))
        planes = [
            np.asarray(
                Image.fromarray(small[..., c].astype(np.float32)).resize(
                    image.size, Image.Resampling.LANCZOS
                )
            )
            for c in range(3)
        ]
        back = np.clip(np.stack(planes, -1), 0, 255)
        expected.append(float(((back - np.asarray(image)) ** 2).mean()) / 65025)
    assert differences(result, "alone", "mse")["resize"] == pytest.approx(
        np.mean(expected), rel=1e-5
    )


def mean_psnr(
    settings: Settings, paths: Sequence[Path], trips: int = 1, rounded: bool = False
) -> float:
    """The demonstration checkpoint, step by step, on pictures whose sides are multiples of 8."""
    codec = open_codec("demo", "demo-f8c4", settings)
    values: list[float] = []
    for path in paths:
        original = torch.from_numpy(np.asarray(Image.open(path)).copy())
        original = original.permute(2, 0, 1)[None].float() / 255
        pixels = original
        for _ in range(trips):
            pixels = codec.decode(codec.encode(pixels)).clamp(0, 1)
            if rounded:
                pixels = (pixels * 255).round() / 255
        mse = float(((pixels.double() - original.double()) ** 2).mean())
        values.append(-10 * math.log10(mse))
    return float(np.mean(values))


def test_the_demonstration_checkpoint_step_by_step(faces: list[str]) -> None:
    paths = sorted(Path(faces[0]).iterdir())[1:]
    # float16 is slow on a CPU: one picture, 64 px.
    result = ladder(
        CodecSpec.parse("demo-f8c4"), [str(paths[0])], metrics=["psnr"], generations=(1, 2)
    )
    base = mean_psnr({}, paths)
    assert result.table.iloc[0]["value"] == pytest.approx(base, abs=1e-5)
    alone, together = differences(result, "alone"), differences(result, "cumulative")
    for rung, changed, more in (
        ("sample", {"posterior": "sample"}, {}),
        ("bfloat16", {"dtype": "bfloat16"}, {}),
        ("tiling", {"tiling": True}, {}),
        ("rounding", {}, {"rounded": True}),
        ("2 round trips", {}, {"trips": 2}),
    ):
        expected = mean_psnr(changed, paths, **more) - base
        assert alone[rung] == pytest.approx(expected, abs=1e-5), rung
    assert -0.2 < alone["8-bit latents"] < 0.2
    assert alone["8-bit latents"] != 0
    assert alone["1 round trip"] == 0
    # Pictures of one tile: nothing to blend.
    assert note(result, "tiling") == "no difference to the base on any picture"
    available = [rung for rung, value in together.items() if not math.isnan(value)]
    chosen = "float16" if not math.isnan(alone["float16"]) else "bfloat16"
    assert available == [
        "base", "sample", chosen, "8-bit latents", "tiling", "rounding",
        "1 round trip", "2 round trips",
    ]  # fmt: skip
    rows = result.rows()
    assert ["base", f"{base:.3f}", f"{base:.3f}"] in rows
    assert f"{alone['sample']:+.3f}" in next(row for row in rows if row[0] == "sample")[1]
    lines = list_ladder(result)
    assert lines[0].startswith("Loss ladder of demo-f8c4 over 1 picture:")
    assert any(line.startswith("8-bit latents") for line in lines)


def test_lpips_has_its_own_column(faces: list[str], shared: Path) -> None:
    result = ladder(
        CodecSpec.parse("resize:2"), faces, weights=str(shared / "weights"), generations=(2,)
    )
    assert list(result.metrics) == ["psnr", "lpips-alex"]
    rows = result.table[result.table["metric"] == "lpips-alex"]
    variants = rows.groupby("rung", sort=False)["variant"].agg(set).to_dict()
    assert variants["base"] == {"lpips/alex-0.1-float"}
    assert variants["rounding"] == {"lpips/alex-0.1"}
    assert 0 < rows["value"].iloc[0] < 1
    assert differences(result, "alone", "lpips-alex")["2 round trips"] > 0


def test_a_metric_that_cannot_be_had_leaves_the_others(faces: list[str]) -> None:
    result = ladder(
        CodecSpec.parse("jpeg:q=30"), faces, metrics=["psnr", "ms-ssim"], generations=(1,)
    )
    assert "at least 161" in note(result, "base", metric="ms-ssim")
    assert "at least 161" in note(result, "rounding", "cumulative", metric="ms-ssim")
    assert note(result, "base") == ""
    assert differences(result, "cumulative")["rounding"] == 0
    with pytest.raises(NothingToShowError):
        ladder_plot(result.table, {"ms-ssim": ""})


def test_a_picture_that_cannot_be_read_is_told(faces: list[str], tmp_path: Path) -> None:
    good = sorted(Path(faces[0]).iterdir())[0]
    (tmp_path / "broken.png").write_bytes(good.read_bytes()[:300])
    result = ladder(
        CodecSpec.parse("jpeg"), [str(good), str(tmp_path / "broken.png")], metrics=["psnr"]
    )
    assert result.n_images == 1
    assert [name for name, _ in result.skipped] == ["broken.png"]
    assert any(line.startswith("skipped broken.png: ") for line in result.notes())
    with pytest.raises(ImageError, match="No usable picture"):
        ladder(CodecSpec.parse("jpeg"), [str(tmp_path / "broken.png")], metrics=["psnr"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"generations": (0, 2)}, "Cannot make 0 round trips"),
        ({"size": 64}, "size and fit go together"),
        ({"size": 64, "fit": "cropp"}, "Did you mean crop"),
        ({"metrics": ["pnsr"]}, "Did you mean psnr"),
    ],
)
def test_a_wrong_question_is_answered_in_a_sentence(
    given: dict[str, Any], told: str, faces: list[str]
) -> None:
    with pytest.raises(SuiteError, match=told):
        ladder(CodecSpec.parse("jpeg"), faces, **{"metrics": ["psnr"], **given})


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-100, 100),
    side=st.integers(1, 24),
)
@settings(max_examples=60, deadline=None)
def test_256_levels_are_even_and_near(seed: int, scale: float, shift: float, side: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(2, 3, side, side + 1, generator=generator) * scale + shift
    stored = to_256_levels(latents)
    spans = latents.amax((-2, -1)) - latents.amin((-2, -1))
    errors = (stored - latents).abs().amax((-2, -1))
    precision = 1e-5 * latents.abs().amax((-2, -1))
    assert bool((errors <= spans / 510 + precision).all())
    for plane, span in zip(stored.flatten(0, 1), spans.flatten(), strict=True):
        assert len(plane.unique()) <= 256
        levels = (plane - plane.min()) / (span / 255 if span > 0 else 1.0)
        slack = 1e-3 + float(precision.max()) * 510 / max(float(span), 1e-12)
        assert float((levels - levels.round()).abs().max()) <= slack


def test_a_flat_channel_stays_as_it_is() -> None:
    latents = torch.tensor([0.1, -3.7]).reshape(1, 2, 1, 1).expand(1, 2, 4, 5)
    assert torch.equal(to_256_levels(latents), latents)


@pytest.mark.parametrize(
    ("fit", "area"), [("crop", (40, 40)), ("squash", (40, 64)), ("pad", (40, 64))]
)
def test_what_comes_back_is_as_large_as_what_is_compared(fit: Any, area: tuple[int, int]) -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    frame = Frame.of("a.png", rgb, 32, fit)
    given_pixels = frame.given(is_resized=True)
    assert given_pixels.shape == (1, 3, 32, 32)
    assert frame.returned(given_pixels, is_resized=True).shape == (1, 3, *area)
    assert frame.given(is_resized=False).shape == (1, 3, *area)
    if fit == "crop":
        assert np.array_equal(frame.area, rgb[:, 12:52])
