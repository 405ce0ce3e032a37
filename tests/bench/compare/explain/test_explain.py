"""Every variant against its own reference, and found by its own figure; made-up figures are not.

References: numpy by hand, scikit-image 0.26, torchmetrics 1.9, pytorch-msssim 1.0, lpips 0.1.4.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_msssim import ms_ssim
from safetensors.torch import load_file
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)
from vaebench.bench.compare.explain import explain as explain_module
from vaebench.bench.compare.explain.explain import Explanation, explain
from vaebench.bench.compare.explain.variants import VARIANTS, variants_of
from vaebench.bench.errors import SuiteError
from vaebench.bench.scoring.evaluate import evaluate
from vaebench.bench.store.run import StoredRun
from vaebench.bench.suite import Suite

SETTINGS: dict[str, Any] = {"metrics": ["psnr", "mse", "ssim", "ssim-luma", "ms-ssim"]}


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of unlike sizes, so that pooling is no mean."""
    folder = tmp_path_factory.mktemp("photographs")
    Image.fromarray(data.chelsea()[40:232, 90:298]).save(folder / "cat.png")
    Image.fromarray(data.astronaut()[20:220, 140:332]).save(folder / "astronaut.png")
    return folder


@pytest.fixture(scope="module")
def rounded(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    suite = Suite.create(images=[str(photographs)], codecs=["jpeg:q=30"], **SETTINGS)
    return evaluate(suite, tmp_path_factory.mktemp("run") / "rounded", "c", quiet)


@pytest.fixture(scope="module")
def unrounded(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A run of floats, whose reconstructions do differ from their 8-bit pictures."""
    suite = Suite.create(
        images=[str(photographs)], codecs=["demo-f8c4"], rounding="float", **SETTINGS
    )
    return evaluate(suite, tmp_path_factory.mktemp("run") / "unrounded", "c", quiet)


@pytest.fixture(scope="module", autouse=True)
def measured_once() -> Iterator[None]:
    """Measure the pictures of one run by one metric once, however many figures are asked."""
    measure = explain_module.measure
    known: dict[Any, Any] = {}

    def remembered(run: StoredRun, codecs: Any, variants: Any, *rest: Any) -> Any:
        key = (run.folder, tuple(codecs), variants[0].name)
        if key not in known:
            known[key] = measure(run, codecs, variants, *rest)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explain_module, "measure", remembered)
        yield


def pairs_of(run: StoredRun) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    codec = run.record.codecs[0].name
    for image in run.record.images:
        paths = (
            run.reference_path(image.image_id),
            run.reconstruction_path(codec, image.image_id),
        )
        x, y = (np.asarray(Image.open(path)) for path in paths)
        yield x, y


Reference = Callable[[np.ndarray, np.ndarray], float]


def cut(px: int, reference: Reference) -> Reference:
    return lambda x, y: reference(x[px:-px, px:-px], y[px:-px, px:-px])


def studio(rgb: np.ndarray) -> np.ndarray:
    return color.rgb2ycbcr(rgb)[..., 0] / 255


def studio_rounded(rgb: np.ndarray) -> np.ndarray:
    return np.rint(color.rgb2ycbcr(rgb)[..., 0]) / 255


def bt601(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.299, 0.587, 0.114]) / 255


def pillow_grey(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L")) / 255


def bt709(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.2126, 0.7152, 0.0722]) / 255


def unit(rgb: np.ndarray) -> np.ndarray:
    return rgb / 255


def signed(rgb: np.ndarray) -> np.ndarray:
    return rgb / 127.5 - 1


def psnr(view: Callable[[np.ndarray], np.ndarray], data_range: float = 1.0) -> Reference:
    return lambda x, y: float(peak_signal_noise_ratio(view(x), view(y), data_range=data_range))


def squared(view: Callable[[np.ndarray], np.ndarray], factor: float = 1.0) -> Reference:
    return lambda x, y: factor * float(((view(x) - view(y)) ** 2).mean())


def scikit(
    view: Callable[[np.ndarray], np.ndarray], data_range: float = 1.0, **options: Any
) -> Reference:
    def reference(x: np.ndarray, y: np.ndarray) -> float:
        a, b = view(x), view(y)
        axis = -1 if a.ndim == 3 else None
        return float(
            structural_similarity(a, b, data_range=data_range, channel_axis=axis, **options)
        )

    return reference


GAUSS: dict[str, Any] = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
}


def tensors(view: Callable[[np.ndarray], np.ndarray], *pictures: np.ndarray) -> list[torch.Tensor]:
    return [
        torch.from_numpy(np.atleast_3d(view(picture)).transpose(2, 0, 1).copy())[None]
        for picture in pictures
    ]


def torchmetrics_ssim(view: Callable[[np.ndarray], np.ndarray]) -> Reference:
    def reference(x: np.ndarray, y: np.ndarray) -> float:
        a, b = tensors(view, x, y)
        return float(structural_similarity_index_measure(b, a, data_range=1.0))

    return reference


def zero_padded_ssim(view: Callable[[np.ndarray], np.ndarray]) -> Reference:
    """SSIM by convolutions that pad with zeros."""
    bell = torch.exp(-((torch.arange(11.0, dtype=torch.float64) - 5) ** 2) / 4.5)
    window = (bell[:, None] * bell / bell.sum() ** 2)[None, None]

    def mean(planes: torch.Tensor) -> torch.Tensor:
        return F.conv2d(planes.transpose(0, 1), window, padding=5)

    def reference(x: np.ndarray, y: np.ndarray) -> float:
        a, b = tensors(view, x, y)
        mx, my = mean(a), mean(b)
        vx, vy, cov = mean(a * a) - mx**2, mean(b * b) - my**2, mean(a * b) - mx * my
        c1, c2 = 0.0001, 0.0009
        ratio = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        return float(ratio.mean())

    return reference


def multi_scale(view: Callable[[np.ndarray], np.ndarray], data_range: float = 1.0) -> Reference:
    def reference(x: np.ndarray, y: np.ndarray) -> float:
        a, b = tensors(view, x, y)
        return float(ms_ssim(a, b, data_range=data_range))

    return reference


def torchmetrics_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    a, b = tensors(unit, x, y)
    return float(
        multiscale_structural_similarity_index_measure(b.float(), a.float(), data_range=1.0)
    )


PLANES = {
    "rgb": unit,
    "luma": bt601,
    "luma-rounded": pillow_grey,
    "studio": studio,
    "studio-rounded": studio_rounded,
    "grey": bt709,
}

MEANS: dict[str, Reference] = {
    **{f"psnr/{name}8": psnr(view) for name, view in PLANES.items()},
    **{
        f"psnr/{name}8-shave{px}": cut(px, psnr(PLANES[name]))
        for name in ("rgb", "luma", "studio", "studio-rounded")
        for px in (4, 8)
    },
    "psnr/rgb8-signed-range1": psnr(signed, 1.0),
    "psnr/rgb8-unit-range2": psnr(unit, 2.0),
    "psnr/rgb8-unit-range255": psnr(unit, 255.0),
    "psnr/rgb8-cap100": psnr(unit),
    **{f"mse/{name}8": squared(view) for name, view in PLANES.items()},
    **{f"mse/{name}8-signed": squared(view, 4) for name, view in PLANES.items()},
    **{f"mse/{name}8-255": squared(view, 65025) for name, view in PLANES.items()},
    **{f"mse/rgb8-shave{px}": cut(px, squared(unit)) for px in (4, 8)},
    **{f"ssim/gauss11-{name}8": scikit(view, **GAUSS) for name, view in PLANES.items()},
    **{f"ssim/uniform7-{name}8": scikit(view) for name, view in PLANES.items()},
    **{
        f"ssim/gauss11-{name}8-shave{px}": cut(px, scikit(PLANES[name], **GAUSS))
        for name in ("rgb", "studio", "studio-rounded")
        for px in (4, 8)
    },
    "ssim/gauss11-rgb8-sample": scikit(unit, gaussian_weights=True, sigma=1.5),
    "ssim/gauss11-rgb8-unit-range255": scikit(unit, 255.0, **GAUSS),
    "ssim/gauss11-rgb8-unit-range2": scikit(unit, 2.0, **GAUSS),
    "ssim/gauss11-rgb8-signed-range1": scikit(signed, 1.0, **GAUSS),
    "ssim/gauss11-rgb8-signed-range2": scikit(signed, 2.0, **GAUSS),
    "ssim/gauss11-rgb8-reflect": torchmetrics_ssim(unit),
    "ssim/gauss11-luma8-reflect": torchmetrics_ssim(bt601),
    "ssim/gauss11-rgb8-zeros": zero_padded_ssim(unit),
    "ssim/gauss11-luma8-zeros": zero_padded_ssim(bt601),
    "ssim/uniform7-rgb8-unit-range255": scikit(unit, 255.0),
    "ssim/uniform7-rgb8-unit-range2": scikit(unit, 2.0),
    "ms-ssim/gauss11-5scale-rgb8": multi_scale(unit),
    "ms-ssim/gauss11-5scale-luma8": multi_scale(bt601),
    "ms-ssim/gauss11-5scale-studio8": multi_scale(studio),
    "ms-ssim/gauss11-5scale-grey8": multi_scale(bt709),
    "ms-ssim/gauss11-5scale-rgb8-unit-range255": multi_scale(unit, 255.0),
    "ms-ssim/gauss11-5scale-rgb8-unit-range2": multi_scale(unit, 2.0),
    "ms-ssim/gauss11-5scale-rgb8-shave4": cut(4, multi_scale(unit)),
    "ms-ssim/gauss11-5scale-rgb8-shave8": cut(8, multi_scale(unit)),
    "ms-ssim/torchmetrics-rgb8": torchmetrics_ms_ssim,
}
"""The table: the mean of what over the pictures each variant is, by other code than ours."""

POOLED = {
    **{f"psnr/{name}8-pooled": (squared(view), 1.0) for name, view in PLANES.items()},
    "psnr/rgb8-signed-range1-pooled": (squared(unit), 4.0),
    "psnr/rgb8-unit-range2-pooled": (squared(unit), 1 / 4),
    "psnr/rgb8-unit-range255-pooled": (squared(unit), 1 / 65025),
    **{f"mse/{name}8-pooled": (squared(view), 1.0) for name, view in PLANES.items()},
    **{f"mse/{name}8-signed-pooled": (squared(view), 4.0) for name, view in PLANES.items()},
    **{f"mse/{name}8-255-pooled": (squared(view), 65025.0) for name, view in PLANES.items()},
    **{f"mse/rgb8-shave{px}-pooled": (cut(px, squared(unit)), 1.0) for px in (4, 8)},
}
"""The errors that are pooled over all pixels, and their scale."""


def expected_figure(name: str, run: StoredRun) -> float:
    pairs = list(pairs_of(run))
    if name in MEANS:
        return float(np.mean([MEANS[name](x, y) for x, y in pairs]))
    error, factor = POOLED[name]
    px = int(name.split("shave")[1][0]) if "shave" in name else 0
    pixels = [(x.shape[0] - 2 * px) * (x.shape[1] - 2 * px) for x, _ in pairs]
    mse = factor * float(np.average([error(x, y) for x, y in pairs], weights=pixels))
    return -10 * math.log10(mse) if name.startswith("psnr") else mse


def text_of(value: float) -> str:
    """Return a figure to seven significant digits, as a careful paper would print it."""
    digits = 6 - math.floor(math.log10(abs(value)))
    return f"{value:.{digits}f}"


def found_names(explanation: Explanation) -> set[str]:
    return {name for found in explanation.matches for name in (found.variant, *found.also)}


@pytest.mark.parametrize("metric", ["psnr", "mse", "ssim", "ms-ssim"])
def test_each_variant_is_found_by_what_other_code_computes(metric: str, rounded: StoredRun) -> None:
    computed = [v.name for v in variants_of(metric) if "-float" not in v.name]
    assert set(computed) == {n for n in (*MEANS, *POOLED) if n.startswith(f"{metric}/")}
    for name in computed:
        # pytorch-msssim's and torchmetrics' float32 window is worth 1e-6.
        figure = expected_figure(name, rounded)
        close = 1e-6 if metric == "ms-ssim" else 1e-8 * max(1.0, abs(figure))
        found = found_names(explain(rounded, metric, figure, tolerance=close))
        assert name in found, f"{name}: {figure} gives {found}"


@pytest.mark.parametrize("metric", ["psnr", "mse", "ssim", "ms-ssim"])
def test_each_variant_is_told_from_the_others(metric: str, rounded: StoredRun) -> None:
    everything = explain(rounded, metric, "0")
    for found in everything.findings:
        again = explain(rounded, metric, text_of(found.value))
        assert [one.variant for one in again.matches] == [found.variant]
        assert again.matches[0].also == found.also
    same = {(found.variant, found.also) for found in everything.findings if found.also}
    # No picture reaches 100 dB here; nothing else may be the same on pictures of unlike sizes.
    assert same == ({("psnr/rgb8", ("psnr/rgb8-cap100",))} if metric == "psnr" else set())


@pytest.mark.parametrize(
    ("metric", "count"), [("psnr", 9), ("mse", 6), ("ssim", 2), ("ms-ssim", 1)]
)
def test_floats_come_from_the_scores_of_the_run(
    metric: str, count: int, unrounded: StoredRun, rounded: StoredRun
) -> None:
    names = [v.name for v in variants_of(metric) if "-float" in v.name]
    assert len(names) == count
    everything = explain(unrounded, metric, "0")
    by_name = {n: f for f in everything.findings for n in (f.variant, *f.also)}
    scores = unrounded.scores
    for name in names:
        again = explain(unrounded, metric, repr(by_name[name].value))
        assert name in found_names(again)
        own = scores[(scores.variant == name) & (scores.region == "whole")]
        if len(own):
            assert by_name[name].value == pytest.approx(own.value.mean(), abs=1e-12)
    lacking = {entry.variant for entry in explain(rounded, metric, "0").not_computable}
    assert lacking == set(names)


@pytest.mark.parametrize(
    ("metric", "figure"), [("psnr", "12.34"), ("mse", "0.31"), ("ssim", "0.12"), ("ms_ssim", "0.2")]
)
def test_a_made_up_figure_is_none(metric: str, figure: str, rounded: StoredRun) -> None:
    explanation = explain(rounded, metric, figure)
    assert explanation.matches == ()
    assert explanation.to_dict()["verdict"] == "none"
    distances = [abs(found.distance) for found in explanation.nearest]
    assert len(distances) == 5
    assert distances == sorted(abs(found.distance) for found in explanation.findings)[:5]
    first = next(explanation.lines())
    assert f"none of {len(explanation.findings)} figures" in first


@pytest.mark.parametrize(
    ("quoted", "tolerance"),
    [("24.5", 0.05), ("24.50", 0.005), (24.5, 0.05), ("24", 0.5), ("0.0031", 5e-5), (1e-05, 5e-6)],
)
def test_a_figure_holds_to_its_own_last_digit(
    quoted: str | float, tolerance: float, rounded: StoredRun
) -> None:
    assert explain(rounded, "mse", quoted).tolerance == pytest.approx(tolerance)


def test_a_tolerance_goes_before_the_digits(rounded: StoredRun) -> None:
    value = explain(rounded, "mse", "0").findings[0].value
    far = f"{value + 0.01:.6f}"
    assert not explain(rounded, "mse", far, tolerance=1e-7).matches
    assert explain(rounded, "mse", far, tolerance=0.0101).matches


def test_the_edge_of_the_last_digit_counts(rounded: StoredRun) -> None:
    """24.45 prints as 24.4 or 24.5, depending on who rounds."""
    value = explain(rounded, "psnr", "0").findings[0].value
    edge = explain(rounded, "psnr", str(value - 0.05), tolerance=0.05)
    assert edge.findings[0].distance == pytest.approx(0.05)
    assert edge.matches


def test_identical_pictures_make_a_mean_infinite_but_not_a_capped_one(
    photographs: Path, tmp_path: Path
) -> None:
    suite = Suite.create(images=[str(photographs)], codecs=["png", "jpeg:q=30"], metrics=["psnr"])
    run = evaluate(suite, tmp_path / "run", "c", quiet)
    explanation = explain(run, "psnr", "100.00", codec="png")
    assert [found.variant for found in explanation.matches] == ["psnr/rgb8-cap100"]
    reasons = {entry.variant: entry.reason for entry in explanation.not_computable}
    assert reasons["psnr/rgb8"] == "infinite: 2 of 2 pictures are as their references"
    assert (
        json.loads(json.dumps(explanation.to_dict(), allow_nan=False))["matches"][0]["value"] == 100
    )


def test_pictures_that_were_not_kept_are_no_ground(photographs: Path, tmp_path: Path) -> None:
    suite = Suite.create(
        images=[str(photographs)], codecs=["jpeg:q=30"], metrics=["mse"], keep="none"
    )
    run = evaluate(suite, tmp_path / "run", "c", quiet)
    explanation = explain(run, "mse", "0.003")
    assert explanation.findings == ()
    assert "0 of 2 pictures were kept (--keep none)" in "\n".join(explanation.lines())


def test_small_pictures_have_no_ms_ssim(photos: Path, tmp_path: Path) -> None:
    suite = Suite.create(images=[str(photos)], codecs=["jpeg:q=30"], metrics=["mse"])
    run = evaluate(suite, tmp_path / "run", "c", quiet)
    explanation = explain(run, "ms-ssim", "0.9")
    assert explanation.findings == ()
    assert any("at least 161" in entry.reason for entry in explanation.not_computable)


@pytest.mark.parametrize(
    ("metric", "quoted", "codec", "told"),
    [
        ("pnsr", "24.5", None, "Did you mean psnr?"),
        ("flip", "24.5", None, "Valid: lpips, ms-ssim, mse, psnr, ssim"),
        ("psnr", "24,5", None, "expected a number"),
        ("psnr", "nan", None, "expected a finite number"),
        ("psnr", "24.5", "jpeg-q3", "Did you mean jpeg-q30?"),
    ],
)
def test_a_wrong_question_is_answered_in_a_sentence(
    metric: str, quoted: str, codec: str | None, told: str, rounded: StoredRun
) -> None:
    with pytest.raises(SuiteError, match=told.replace("?", r"\?")):
        explain(rounded, metric, quoted, codec=codec)


def test_lines_name_the_variant_and_what_could_not_be_had(rounded: StoredRun) -> None:
    value = rounded.scores.query("variant == 'psnr/rgb8' and region == 'whole'").value.mean()
    lines = list(explain(rounded, "psnr", f"{value:.4f}").lines())
    assert "1 of" in lines[0]
    assert "psnr/rgb8" in lines[1]
    assert "RGB, mean of the pictures' PSNRs" in lines[1]
    assert any(line.startswith("not computed: psnr/rgb-float") for line in lines)


@pytest.fixture(scope="module")
def kodak_run(kodak: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """Four Kodak pictures, upright and lying, cut so that LPIPS takes seconds."""
    folder = tmp_path_factory.mktemp("kodak")
    for number, side in ((3, 192), (9, 200), (19, 216), (23, 224)):
        with Image.open(kodak / f"kodim{number:02d}.png") as image:
            image.crop((100, 120, 100 + side, 344)).save(folder / f"kodim{number:02d}.png")
    suite = Suite.create(
        images=[str(folder)],
        codecs=["jpeg:q=30"],
        weights=str(shared / "weights"),
        metrics=["psnr"],
    )
    return evaluate(suite, tmp_path_factory.mktemp("run") / "kodak", "c", quiet)


@pytest.mark.parametrize("metric", list(VARIANTS))
def test_on_kodak_each_variant_finds_itself_alone(metric: str, kodak_run: StoredRun) -> None:
    everything = explain(kodak_run, metric, "0")
    expected = {v.name for v in variants_of(metric)}
    lacking = {entry.variant for entry in everything.not_computable}
    assert all("-float" in name or "vgg" in name for name in lacking)
    names = {name for found in everything.findings for name in (found.variant, *found.also)}
    assert names == expected - lacking
    for found in everything.findings:
        again = explain(kodak_run, metric, text_of(found.value))
        assert [one.variant for one in again.matches] == [found.variant]
    assert not explain(kodak_run, metric, "7.77").matches


def test_lpips_given_wrong_ranges_is_what_the_package_gives_for_them(
    kodak_run: StoredRun, shared: Path
) -> None:
    weights = load_file(shared / "weights" / "lpips" / "squeezenet1_1_features.safetensors")
    model = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    keys = {key: "features." + key.split(".", 1)[1] for key in model.net.state_dict()}
    model.net.load_state_dict({key: weights[name] for key, name in keys.items()})
    model.eval()
    found = {f.variant: f.value for f in explain(kodak_run, "lpips", "0").findings}
    for name, view in (
        ("lpips/squeeze-0.1", signed),
        ("lpips/squeeze-0.1-unit", unit),
        ("lpips/squeeze-0.1-bytes", lambda rgb: rgb.astype(float)),
    ):
        with torch.no_grad():
            values = [
                float(model(*(z.float() for z in tensors(view, x, y))))
                for x, y in pairs_of(kodak_run)
            ]
        assert found[name] == pytest.approx(np.mean(values), abs=2e-6)
