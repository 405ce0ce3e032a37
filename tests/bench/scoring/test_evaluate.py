"""The straight line on real files: every number checked against the pictures it left."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from vaebench.bench.codecs import open_codec
from vaebench.bench.codecs.base import Family
from vaebench.bench.errors import CodecError, ImageError, RegionError, RunFolderError
from vaebench.bench.images import find as images_module
from vaebench.bench.records import CodecInfo, Encoded
from vaebench.bench.scoring import decoded as decoded_module
from vaebench.bench.scoring import plan as plan_module
from vaebench.bench.scoring.evaluate import evaluate, resume
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def suite(photos: Path, **fields: Any) -> Suite:
    return Suite.create(
        **{
            "images": [str(photos)],
            "regions": [str(photos / "regions.json")],
            "codecs": ["jpeg:q=40", "resize:4"],
            "metrics": ["psnr", "ssim"],
            **fields,
        }
    )


def values(run: StoredRun, variant: str, region: str = "whole") -> dict[tuple[str, str], float]:
    rows = run.scores[(run.scores.variant == variant) & (run.scores.region == region)]
    return {(row.image_id, row.codec): row.value for row in rows.itertuples()}


def pixels(path: Path | None) -> np.ndarray:
    assert path is not None
    return np.asarray(Image.open(path)).astype(np.float64) / 255


def psnr(reference: np.ndarray, reconstruction: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((reference - reconstruction) ** 2)))


class Interrupted(BaseException):
    """Stands for a kill: nothing may catch it."""


class Moody:
    """Returns its input, except on the pictures that are to go wrong."""

    def __init__(self, moods: dict[int, str]):
        self.info = CodecInfo("moody", "moody", "moody", {})
        self.moods = moods
        self.calls = 0

    def encode(self, images: torch.Tensor) -> Encoded:
        mood = self.moods.get(self.calls)
        self.calls += 1
        if mood == "kill":
            raise Interrupted
        if mood == "fail":
            raise CodecError("Cannot encode: not today.")
        if mood == "nan":
            images = images * math.nan
        self.images = images
        return Encoded((800,) * len(images), payloads=(b"x" * 100,) * len(images))

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return self.images


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Moody:
    """A codec called `moody`, and the table entry that opens it."""
    codec = Moody({})
    from vaebench.bench.codecs import CODECS

    family = Family(lambda source: source == "moody", lambda *_: codec, "moody")
    monkeypatch.setitem(CODECS, "moody", family)
    return codec


def test_every_number_is_that_of_the_pictures_it_left(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos), tmp_path / "run", "command", quiet)
    ids = ["a.png", "b.png", "c.png", "more/d.png", "wide.png"]
    assert run.images["image_id"].tolist() == ids
    for (image_id, codec), value in values(run, "psnr/rgb8").items():
        reference = pixels(run.reference_path(image_id))
        assert np.array_equal(reference, pixels(photos / image_id))
        assert value == pytest.approx(
            psnr(reference, pixels(run.reconstruction_path(codec, image_id))), abs=1e-5
        )
    for image_id, name, box in (
        ("a.png", "left-eye", np.s_[6:22, 4:20]),
        ("wide.png", "sign", np.s_[10:40, 40:80]),
    ):
        for codec in ("jpeg-q40", "resize-4"):
            expected = psnr(
                pixels(run.reference_path(image_id))[box],
                pixels(run.reconstruction_path(codec, image_id))[box],
            )
            measured = values(run, "psnr/rgb8", name)[image_id, codec]
            assert measured == pytest.approx(expected, abs=1e-4)
    assert run.record.unused_regions == ("gone.png/eye",)
    (skipped,) = run.record.skipped
    assert skipped.image_id == "broken.png"
    assert run.record.finished


def test_rates_count_what_would_be_stored(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos), tmp_path / "run", "command", quiet)
    # resize:4 stores 24 bits for each of its pixels: 14 x 16 of the 56 x 64.
    assert values(run, "bpp/measured")["a.png", "resize-4"] == pytest.approx(24 / 16)
    ratio = values(run, "stored_bits_ratio/rgb8")
    for key, bpp in values(run, "bpp/measured").items():
        assert ratio[key] == pytest.approx(24 / bpp)
    picture = torch.from_numpy(pixels(photos / "a.png")).permute(2, 0, 1)[None].float()
    (payload,) = open_codec("jpeg", "jpeg", {"q": 40}).encode(picture).payloads or ()
    measured = values(run, "bpp/measured")["a.png", "jpeg-q40"]
    assert measured == pytest.approx(8 * len(payload) / (56 * 64))


@pytest.mark.parametrize("batch_size", [2, 4])
def test_the_batch_size_changes_no_number(photos: Path, tmp_path: Path, batch_size: int) -> None:
    one = evaluate(suite(photos), tmp_path / "one", "command", quiet)
    many = evaluate(suite(photos, batch_size=batch_size), tmp_path / "many", "command", quiet)
    keys = ["image_id", "codec", "region", "variant"]
    both = one.scores.merge(many.scores, on=keys, suffixes=("_one", "_many"))
    assert len(both) == len(one.scores) == len(many.scores)
    assert np.allclose(both.value_one, both.value_many, rtol=0, atol=1e-6)


def test_each_file_is_read_once_and_each_reference_prepared_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    read, opened = decoded_module.read_pixels, plan_module.open_metric

    def counted_read(ref: Any, background: str) -> Any:
        path = Path(getattr(ref, "path", ref))
        counts[f"read {path.relative_to(photos).as_posix()}"] += 1
        return read(ref, background)

    def counted_metric(*arguments: Any) -> Any:
        metric = opened(*arguments)
        prepare = metric.prepare

        def counted_prepare(reference: torch.Tensor) -> Any:
            counts[f"prepare {metric.name}"] += len(reference)
            return prepare(reference)

        monkeypatch.setattr(type(metric), "prepare", lambda _, ref: counted_prepare(ref))
        return metric

    for module in (decoded_module, images_module):
        monkeypatch.setattr(module, "read_pixels", counted_read)
    monkeypatch.setattr(plan_module, "open_metric", counted_metric)
    codecs = ["jpeg:q=40", "jpeg:q=60", "webp:q=40", "resize:4"]
    evaluate(suite(photos, codecs=codecs, metrics=["ssim"]), tmp_path / "run", "command", quiet)
    ids = ["a.png", "b.png", "broken.png", "c.png", "more/d.png", "wide.png"]
    assert counts == {"prepare ssim": 5, **{f"read {image_id}": 1 for image_id in ids}}
    # Of a set that takes more memory than is kept, the first are decoded once, the others twice.
    counts.clear()
    monkeypatch.setattr(decoded_module, "MOST_BYTES", 2 * 64 * 56 * 3)
    fields = {"codecs": ["jpeg:q=40"], "metrics": ["ssim"]}
    bounded = evaluate(suite(photos, **fields), tmp_path / "bounded", "command", quiet)
    twice = {"read c.png", "read more/d.png", "read wide.png"}
    assert {key for key, count in counts.items() if count == 2} == twice
    monkeypatch.undo()
    usual = evaluate(suite(photos, **fields), tmp_path / "usual", "command", quiet)
    assert usual.scores.equals(bounded.scores)


def test_a_stopped_run_goes_on_to_the_same_bytes(
    photos: Path, tmp_path: Path, moody: Moody
) -> None:
    chosen = suite(photos, codecs=["jpeg:q=40", "moody"])
    undisturbed = evaluate(chosen, tmp_path / "undisturbed", "command", quiet)
    assert moody.calls == 5
    moody.calls, moody.moods = 0, {3: "kill"}
    with pytest.raises(Interrupted):
        evaluate(chosen, tmp_path / "stopped", "command", quiet)
    moody.calls, moody.moods = 0, {}
    resumed = resume(tmp_path / "stopped", quiet)
    assert moody.calls == 2
    assert resumed.record.unavailable == undisturbed.record.unavailable
    for name in ("scores.parquet", "reconstructions/jpeg-q40/more/d.png.png"):
        assert (tmp_path / "stopped" / name).read_bytes() == (
            tmp_path / "undisturbed" / name
        ).read_bytes()
    moody.calls = 0
    resume(tmp_path / "stopped", quiet)
    assert moody.calls == 0


def test_a_run_whose_pictures_changed_is_not_gone_on_with(
    photos: Path, tmp_path: Path, moody: Moody
) -> None:
    moody.moods = {2: "kill"}
    with pytest.raises(Interrupted):
        evaluate(suite(photos, codecs=["moody"]), tmp_path / "run", "command", quiet)
    Image.open(photos / "a.png").rotate(90).save(photos / "c.png")
    with pytest.raises(RunFolderError, match=r"c\.png was changed, added or removed"):
        resume(tmp_path / "run", quiet)


@pytest.mark.parametrize("mood", ["fail", "nan"])
def test_a_codec_that_fails_on_one_picture_loses_that_one(
    photos: Path, tmp_path: Path, moody: Moody, mood: str
) -> None:
    moody.moods = {1: mood}
    run = evaluate(suite(photos, codecs=["moody", "jpeg:q=40"]), tmp_path / "run", "c", quiet)
    whole = values(run, "psnr/rgb8")
    assert math.isnan(whole["b.png", "moody"])
    assert math.isinf(whole["a.png", "moody"])
    assert math.isfinite(whole["b.png", "jpeg-q40"])
    reasons = run.unavailable
    assert set(reasons.image_id) == {"b.png"}
    assert set(reasons.codec) == {"moody"}
    assert set(reasons.variant) == {"psnr/rgb8", "ssim/gauss11-rgb8"}
    expected = "moody failed: Cannot encode" if mood == "fail" else "NaN or infinite"
    assert all(expected in reason for reason in reasons.reason)


def test_pictures_are_kept_as_asked(photos: Path, tmp_path: Path) -> None:
    fields = {"codecs": ["jpeg:q=40"], "metrics": ["psnr"]}
    nothing = evaluate(suite(photos, keep="none", **fields), tmp_path / "none", "c", quiet)
    assert nothing.reconstruction_path("jpeg-q40", "a.png") is None
    assert not (tmp_path / "none" / "reconstructions").exists()
    worst = evaluate(suite(photos, keep="worst", **fields), tmp_path / "worst", "c", quiet)
    psnrs = {key[0]: value for key, value in values(worst, "psnr/rgb8").items()}
    best = max(psnrs, key=lambda image_id: psnrs[image_id])
    for image_id in psnrs:
        kept = worst.reconstruction_path("jpeg-q40", image_id) is not None
        assert kept == (worst.reference_path(image_id) is not None) == (image_id != best)


def test_unrounded_scores_stand_under_another_variant(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos, rounding="float"), tmp_path / "run", "c", quiet)
    assert set(run.scores[run.scores.metric == "psnr"].variant) == {"psnr/rgb-float"}


def test_a_size_is_fitted_and_said(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos, size=32, fit="crop"), tmp_path / "run", "c", quiet)
    assert set(run.images.width_px) == set(run.images.height_px) == {32}
    assert Image.open(run.reference_path("wide.png") or "").size == (32, 32)
    assert "made 32x32 by crop" in run.images.notes[0][-1]


def test_no_picture_at_all_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.png").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"No usable picture.*x\.png"):
        evaluate(suite(tmp_path / "empty", regions=[]), tmp_path / "run", "c", quiet)
    assert not (tmp_path / "run").exists()


def test_a_bad_codec_is_told_before_the_pictures_are_read(photos: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(CodecError):
        asked = Suite.create(images=[str(photos)], codecs=[str(tmp_path / "none")])
        evaluate(asked, tmp_path / "run", "command", lambda phase, *_: told.append(phase))
    assert set(told) == {"opening codecs"}


def test_two_sources_may_not_name_one_region_twice(photos: Path, tmp_path: Path) -> None:
    sources = [str(photos / "regions.json")] * 2
    with pytest.raises(RegionError, match=r"a\.png has two regions called 'left-eye'"):
        evaluate(suite(photos, regions=sources), tmp_path / "run", "c", quiet)


def test_taef2_on_kodim23_gives_the_known_answers(shared: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "images": [str(shared / "images/kodak/kodim23.png")],
        "regions": [str(shared / "images/kodak/regions.json")],
        "codecs": [f"taef2={shared / 'weights/taef2'}"],
        "metrics": ["psnr"],
        "keep": "none",
    }
    run = evaluate(Suite.create(**fields), tmp_path / "run", "c", quiet)
    key = ("kodim23.png", "taef2")
    assert values(run, "psnr/rgb8")[key] == pytest.approx(33.342, abs=0.005)
    assert values(run, "psnr/rgb8", "left-eye")[key] == pytest.approx(23.8, abs=0.1)
    assert values(run, "psnr/rgb8", "right-eye")[key] == pytest.approx(26.5, abs=0.1)
    run = evaluate(Suite.create(**fields, rounding="float"), tmp_path / "float", "c", quiet)
    assert values(run, "psnr/rgb-float")[key] == pytest.approx(33.354, abs=0.005)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance_db"), [("float32", 0.01), ("float16", 0.05)])
def test_cuda_gives_the_numbers_of_the_cpu(
    photos: Path, tmp_path: Path, dtype: str, tolerance_db: float
) -> None:
    codecs = ["cpu=demo-f8c4:device=cpu", f"cuda=demo-f8c4:device=cuda,dtype={dtype}"]
    run = evaluate(suite(photos, codecs=codecs), tmp_path / "run", "c", quiet)
    whole = values(run, "psnr/rgb8")
    assert len(whole) == 10
    for image_id, codec in whole:
        if codec == "cuda":
            expected = whole[image_id, "cpu"]
            assert whole[image_id, codec] == pytest.approx(expected, abs=tolerance_db)
