"""The linear code: the best one of its size over its blocks, fitted alike wherever it is fitted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from vaebench.bench.codecs import Codec, Unfitted, open_codec, open_unfitted
from vaebench.bench.codecs.pca import PcaCodec, gather_moments
from vaebench.bench.errors import CodecError
from vaebench.bench.images.pixels import read_pixels
from vaebench.bench.records import Encoded


def open_pca(name: str = "it", **settings: Any) -> PcaCodec:
    codec = open_codec(name, "pca", settings)
    assert isinstance(codec, PcaCodec)
    return codec


def picture(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Smooth colour waves and some noise, so that directions differ in variance."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (4 + seed) + c) + np.cos(y / (6 + c + seed)) for c in range(3)]
    noisy = 128 + 40 * np.stack(waves, -1) + random.normal(0, 6, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)[None].float().div(255)


def blocks(pixels: np.ndarray, side: int) -> np.ndarray:
    """Blocks in [0, 1], by plain loops: colour, row, column."""
    found = [
        pixels[top : top + side, left : left + side].transpose(2, 0, 1).ravel()
        for top in range(0, pixels.shape[0] - side + 1, side)
        for left in range(0, pixels.shape[1] - side + 1, side)
    ]
    return np.array(found, np.float64) / 255


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures; the sides of the last are no multiples of 4 or 8."""
    path = tmp_path / "train"
    path.mkdir()
    for seed in range(3):
        Image.fromarray(picture(seed)).save(path / f"{seed}.png")
    Image.fromarray(picture(3, 33, 45)).save(path / "odd.png")
    return path


@pytest.fixture
def samples(folder: Path) -> np.ndarray:
    pixels = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    return np.concatenate([blocks(picture, 4) for picture in pixels])


def test_directions_are_those_of_a_singular_value_decomposition(
    folder: Path, samples: np.ndarray
) -> None:
    codec = open_pca(c=6, f=4, fit=str(folder))
    mean = samples.mean(0)
    _, _, rows = np.linalg.svd(samples - mean, full_matrices=False)
    axes = codec.axes.reshape(6, -1).double().numpy()
    assert np.allclose(codec.mean.ravel(), mean, atol=1e-7)
    assert np.allclose(np.abs(axes @ rows[:6].T), np.eye(6), atol=1e-5)
    assert (axes[np.arange(6), np.abs(axes).argmax(1)] > 0).all()


def test_what_is_lost_is_the_variance_of_the_directions_left_out(
    folder: Path, samples: np.ndarray
) -> None:
    codec = open_pca(c=5, f=4, fit=str(folder))
    total, count = 0.0, 0
    for path in folder.iterdir():
        pixels = np.asarray(Image.open(path))
        whole = pixels[: pixels.shape[0] // 4 * 4, : pixels.shape[1] // 4 * 4]
        image = as_tensor(whole)
        back = codec.decode(codec.encode(image))
        total += float((back - image).double().square().sum())
        count += whole.shape[0] * whole.shape[1] // 16
    variances = np.linalg.eigvalsh(np.cov(samples.T, bias=True))[::-1]
    assert count == len(samples)
    assert total / count == pytest.approx(variances[5:].sum(), rel=1e-5)


def test_latents_are_projections_in_the_place_of_their_blocks(folder: Path) -> None:
    codec = open_pca(c=3, f=8, fit=str(folder))
    pixels = picture(9, 24, 40)
    encoded = codec.encode(as_tensor(pixels))
    assert encoded.latents is not None
    assert encoded.latents.shape == (1, 3, 3, 5)
    assert encoded.latents.dtype == torch.float32
    assert encoded.nbits == (3 * 3 * 5 * 32,)
    away = blocks(pixels, 8) - codec.mean.double().ravel().numpy()
    by_hand = (away @ codec.axes.reshape(3, -1).double().numpy().T).T.reshape(3, 3, 5)
    assert np.allclose(encoded.latents[0], by_hand, atol=1e-5)


def test_all_coefficients_give_the_picture_back_and_none_beats_more(folder: Path) -> None:
    image = as_tensor(picture(9, 16, 24))
    errors: list[float] = []
    for count in (1, 4, 12, 48):
        codec = open_pca(c=count, f=4, fit=str(folder))
        errors.append(float((codec.decode(codec.encode(image)) - image).square().mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-11


def test_a_flat_training_set_still_gives_a_code(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16, 3), 77, np.uint8)).save(tmp_path / "flat.png")
    codec = open_pca(c=2, f=8, fit=str(tmp_path))
    image = torch.full((1, 3, 8, 8), 77 / 255)
    assert torch.allclose(codec.decode(codec.encode(image)), image, atol=1e-6)


def test_info_tells_what_it_was_fitted_on(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    Image.fromarray(picture(1, 6, 90)).save(folder / "strip.png")
    info = open_pca("floor", c=4, f=8, fit=str(folder)).info
    assert (info.name, info.family, info.source) == ("floor", "pca", "pca")
    assert info.settings == {"c": 4, "f": 8, "fit": str(folder)}
    assert (info.latent_channels, info.spatial_factor, info.multiple_px) == (4, 8, 8)
    assert (info.dtype, info.params, info.scaling_factor) == ("float32", 5 * 192, None)
    expected = f"fitted on 4 pictures of {folder}; left out: 1 smaller than a block, 1 unusable"
    assert info.notes == (expected,)


def test_the_fingerprint_is_that_of_the_pictures_whatever_they_are_called(
    folder: Path, tmp_path: Path
) -> None:
    first = open_pca(c=4, f=8, fit=str(folder))
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "0.png").rename(moved / "zzz.png")
    again = open_pca(c=4, f=8, fit=str(moved))
    assert again.info.weights_sha256 == first.info.weights_sha256
    assert torch.equal(again.axes, first.axes)
    changed = np.asarray(Image.open(moved / "1.png")).copy()
    changed[0, 0, 0] ^= 1
    Image.fromarray(changed).save(moved / "1.png")
    others = [
        open_pca(c=4, f=8, fit=str(moved)),
        open_pca(c=5, f=8, fit=str(folder)),
        open_pca(c=4, f=4, fit=str(folder)),
    ]
    prints = {codec.info.weights_sha256 for codec in [first, *others]}
    assert len(prints) == 4


def test_moments_are_whole_numbers_whatever_the_order() -> None:
    pictures = [picture(seed, 17 + seed, 30) for seed in range(4)]
    one, other = gather_moments(pictures, 4), gather_moments(reversed(pictures), 4)
    assert (one.products == other.products).all()
    assert (one.total == other.total).all()
    whole = np.rint(255 * np.concatenate([blocks(each, 4) for each in pictures])).astype(np.int64)
    assert (one.products == whole.T @ whole).all()
    assert one.blocks == len(whole)


def fitted(source: str, folder: Path, **settings: Any) -> Codec:
    """Open a codec without a folder, then fit it on one as a run does."""
    with pytest.raises(CodecError, match=r"^Cannot open it: .* to fit it on here\. Pass fit=DIR"):
        open_codec("it", source, settings)
    codec = open_unfitted("it", source, settings)
    assert isinstance(codec, Unfitted)
    return codec.fitted(read_pixels(path).rgb for path in sorted(folder.iterdir()))


def test_without_fit_it_is_fitted_on_the_set_and_says_so(folder: Path) -> None:
    codec = fitted("pca", folder, c=4, f=8)
    trained = open_pca(c=4, f=8, fit=str(folder))
    assert isinstance(codec, PcaCodec)
    assert codec.info.notes == ("fitted on the pictures it is scored on (4 pictures)",)
    assert codec.info.weights_sha256 == trained.info.weights_sha256
    assert torch.equal(codec.axes, trained.axes)


def test_no_picture_of_the_set_with_a_whole_block_is_told(tmp_path: Path) -> None:
    Image.fromarray(picture(0, 7, 30)).save(tmp_path / "low.png")
    with pytest.raises(CodecError, match=r"no picture of the set has a whole block of 8×8 px"):
        fitted("pca", tmp_path, c=4, f=8)


def test_it_works_inside_a_quantiser(folder: Path) -> None:
    image = as_tensor(picture(9, 24, 40))
    trained = open_codec("it", f"quantised(pca:c=4,f=8,fit={folder})", {"step": 0.25})
    own = fitted("quantised(pca:c=4,f=8)", folder, step=0.25)
    assert own.info.family == "quantised"
    assert own.info.notes[0] == "fitted on the pictures it is scored on (4 pictures)"
    assert own.info.weights_sha256 == trained.info.weights_sha256
    encoded = trained.encode(image)
    assert encoded.payloads == own.encode(image).payloads
    plain = open_pca(c=4, f=8, fit=str(folder))
    lossless = plain.decode(plain.encode(image))
    assert 0 < (trained.decode(encoded) - lossless).abs().mean() < 0.05
    with pytest.raises(CodecError, match="step or bits is missing"):
        open_unfitted("it", "quantised(pca:c=4,f=8)", {})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"c": 193, "f": 8}, "c=193 is more than the 192 values of a block of 8×8 pixels"),
        ({"f": 8}, "setting c is missing"),
        ({"c": 0, "f": 8}, "greater than or equal to 1"),
        ({"c": 4, "f": 64}, "less than or equal to 32"),
        ({"c": 4, "f": 8, "fitt": "here"}, "Did you mean fit?"),
    ],
)
def test_wrong_settings_are_answered(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(CodecError) as error:
        open_codec("it", "pca", settings)
    assert told in str(error.value)


def test_a_folder_without_a_usable_picture_is_refused(tmp_path: Path) -> None:
    for fit in (tmp_path / "none", tmp_path):
        with pytest.raises(CodecError, match="Pass a folder of training pictures"):
            open_pca(c=4, f=8, fit=str(fit))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    with pytest.raises(CodecError, match=r"no usable picture is in it \(broken.png: "):
        open_pca(c=4, f=8, fit=str(tmp_path))
    (tmp_path / "broken.png").unlink()
    Image.fromarray(picture(0, 7, 30)).save(tmp_path / "low.png")
    with pytest.raises(CodecError, match=r"has a whole block of 8×8 px\. Pass a smaller f"):
        open_pca(c=4, f=8, fit=str(tmp_path))


def test_what_it_cannot_code_is_refused(folder: Path) -> None:
    codec = open_pca(c=4, f=8, fit=str(folder))
    for height, width in ((7, 8), (8, 12), (0, 8)):
        with pytest.raises(CodecError, match=f"Cannot encode {width}×{height} px with it"):
            codec.encode(torch.zeros(1, 3, height, width))
    with pytest.raises(CodecError, match="latents are expected"):
        codec.decode(Encoded(nbits=(8,), payloads=(b"a",)))


def test_kodak_after_fitting_on_the_training_pictures(shared: Path, kodak: Path) -> None:
    """The known floors are 23.59, 28.35 and 32.30 dB, the last two as from some thousand blocks.

    From all 1,037,877 blocks come 23.60, 28.41 and 32.83 dB, unrounded and not clamped.
    """
    codec = open_pca(c=32, f=8, fit=str(shared / "images" / "train"))
    pictures = [as_tensor(read_pixels(path).rgb) for path in sorted(kodak.glob("*.png"))]
    found: list[float] = []
    for count in (4, 16, 32):
        leading = replace(codec, axes=codec.axes[:count])
        errors = [
            float((leading.decode(leading.encode(image)) - image).double().square().mean())
            for image in pictures
        ]
        found.append(float(np.mean(-10 * np.log10(errors))))
    assert found[0] == pytest.approx(23.59, abs=0.02)
    assert found[1] == pytest.approx(28.41, abs=0.02)
    assert found[2] == pytest.approx(32.83, abs=0.02)
    assert found[1] > 28.35
    assert found[2] > 32.30
