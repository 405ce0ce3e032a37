"""Statistics of latents: by hand, against numpy and diffusers, whatever the order and batch."""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vaebench.bench.codecs import CODECS
from vaebench.bench.codecs.base import Family
from vaebench.bench.records import CodecInfo, Encoded
from vaebench.bench.scoring.evaluate import evaluate, resume
from vaebench.bench.scoring.latent_health import (
    LatentHealth,
    from_part,
    measure_latents,
    merge,
    moments_of,
    posterior_kl,
    posterior_noise,
    to_part,
)
from vaebench.bench.store.run import StoredRun, load_run, picture_path
from vaebench.bench.store.tables import LATENT_COLUMNS
from vaebench.bench.suite import Suite


def measured(*pictures: np.ndarray, kl: list[np.ndarray] | None = None) -> LatentHealth:
    own = [moments_of(latents, kl[i] if kl else None) for i, latents in enumerate(pictures)]
    return measure_latents(reduce(merge, own), pictures)


def random_pictures(seed: int, channels: int, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """Correlated channels of unlike means and deviations, with some values far out."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(channels, channels))
    shift = random.normal(scale=30, size=(channels, 1, 1))
    return [
        (np.einsum("ij,jhw->ihw", mixing, random.standard_t(3, (channels, *size))) + shift).astype(
            np.float32
        )
        for size in sizes
    ]


def test_two_channels_by_hand() -> None:
    # Channel 0 is -1 and 1, channel 1 is 3 times that: one direction, eigenvalues 10 and 0.
    latents = np.array([[[-1.0, 1.0]], [[-3.0, 3.0]]])
    health = measured(latents)
    assert (health.pictures, health.count) == (1, 2)
    assert health.mean.tolist() == [0, 0]
    assert health.std == pytest.approx([1, 3], rel=1e-15)
    assert (health.low.tolist(), health.high.tolist()) == ([-1, -3], [1, 3])
    assert health.correlation == pytest.approx(np.ones((2, 2)))
    assert health.eigenvalues == pytest.approx([10, 0], abs=1e-12)
    assert health.effective_channels == pytest.approx(1)
    assert health.all_std == pytest.approx(math.sqrt(5))
    assert health.suggested_scaling_factor == pytest.approx(1 / math.sqrt(5))
    assert (health.max_abs, health.fp16_headroom) == (3, 65504 / 3)
    assert health.kl_nats is None


def test_independent_channels_of_one_variance_are_all_effective() -> None:
    signs = np.array([[1, 1, -1, -1], [1, -1, 1, -1]], float).reshape(2, 2, 2)
    health = measured(signs)
    assert health.effective_channels == pytest.approx(2)
    assert health.correlation == pytest.approx(np.eye(2))


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_against_numpy_over_all_values_at_once(channels: int) -> None:
    pictures = random_pictures(channels, channels, [(8, 12), (12, 8), (1, 1), (30, 20)])
    health = measured(*pictures)
    joined = np.concatenate([each.reshape(channels, -1) for each in pictures], 1).astype(np.float64)
    mean, std = joined.mean(1), joined.std(1)
    covariance = np.atleast_2d(np.cov(joined, bias=True))
    assert health.count == joined.shape[1]
    assert health.mean == pytest.approx(mean, rel=1e-12)
    assert health.std == pytest.approx(std, rel=1e-12)
    assert health.low.tolist() == joined.min(1).tolist()
    assert health.high.tolist() == joined.max(1).tolist()
    outside = (np.abs(joined - mean[:, None]) > 4 * std[:, None]).mean(1)
    assert outside.max() > 0
    assert health.share_outside.tolist() == outside.tolist()
    assert health.correlation == pytest.approx(np.atleast_2d(np.corrcoef(joined)), abs=1e-12)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    assert health.eigenvalues == pytest.approx(eigenvalues, rel=1e-9, abs=1e-9 * eigenvalues[0])
    ratio = np.trace(covariance) ** 2 / (covariance**2).sum()
    assert health.effective_channels == pytest.approx(ratio, rel=1e-9)
    assert health.all_std == pytest.approx(joined.std(), rel=1e-12)
    assert health.all_mean == pytest.approx(joined.mean(), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 5),
    sizes=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=6),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    shift=st.sampled_from([0.0, 1e3]),
)
def test_neither_order_nor_cutting_plays_a_part(
    seed: int, channels: int, sizes: list[tuple[int, int]], scale: float, shift: float
) -> None:
    pictures = [scale * (each + shift) for each in random_pictures(seed, channels, sizes)]
    one = measured(*pictures)
    halves = [half for each in pictures for half in np.array_split(each, 2, axis=1) if half.size]
    for other in (measured(*reversed(pictures)), measured(*halves)):
        tolerance = 1e-9 * scale
        assert np.allclose(one.mean, other.mean, rtol=1e-9, atol=0)
        assert np.allclose(one.std, other.std, rtol=1e-9, atol=tolerance * 1e-3)
        assert np.allclose(one.correlation, other.correlation, rtol=0, atol=1e-9, equal_nan=True)
        assert (one.low == other.low).all()
        assert (one.high == other.high).all()
        assert one.all_std == pytest.approx(other.all_std, rel=1e-9, abs=tolerance * 1e-3)


def test_a_small_spread_far_from_zero_is_kept() -> None:
    random = np.random.default_rng(0)
    pictures = [1e4 + 1e-3 * random.normal(size=(2, 9, 9)) for _ in range(5)]
    joined = np.concatenate([each.reshape(2, -1) for each in pictures], 1)
    assert measured(*pictures).std == pytest.approx((joined - 1e4).std(1), rel=1e-9)


def test_constant_channels_have_no_deviation_and_no_correlation() -> None:
    random = np.random.default_rng(1)
    # 0.1 is no binary fraction: sums of it are rounded.
    pictures = [np.stack([np.full((5, 7), 0.1), random.normal(size=(5, 7))]) for _ in range(3)]
    health = measured(*pictures)
    assert health.std[0] == 0
    assert health.mean[0] == 0.1
    assert health.share_outside[0] == 0
    assert np.isnan(health.correlation[0]).all()
    assert np.isnan(health.correlation[1, 0])
    assert health.correlation[1, 1] == pytest.approx(1)
    assert health.is_dead.tolist() == [True, False]
    assert health.effective_channels == pytest.approx(1)


def test_latents_without_any_spread_have_neither_scale_nor_headroom() -> None:
    health = measured(np.zeros((1, 4, 4)), np.zeros((1, 2, 2)))
    assert health.is_dead.tolist() == [True]
    assert health.suggested_scaling_factor is None
    assert health.effective_channels is None
    assert health.fp16_headroom is None


def test_a_channel_is_dead_below_a_tenth_of_the_median_deviation() -> None:
    signs = np.array([[[-1.0, 1.0]]])
    pictures = np.concatenate([scale * signs for scale in (2.0, 1.0, 1.0, 0.11, 0.09)])
    assert measured(pictures).is_dead.tolist() == [False, False, False, False, True]


def test_kl_is_that_of_torch_and_of_diffusers() -> None:
    """Against torch 2.14's kl_divergence and diffusers 0.42's own, in float64: to 1e-12."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(4, 6, 5, generator=generator, dtype=torch.float64) * 3
    log_variance = torch.randn(4, 6, 5, generator=generator, dtype=torch.float64) * 4
    std = (0.5 * log_variance).exp()
    found = posterior_kl(mean.numpy(), std.numpy())
    assert found is not None
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, std), normal(0.0, 1.0)).sum((1, 2))
    assert found == pytest.approx(expected.numpy(), rel=1e-12)
    theirs = DiagonalGaussianDistribution(torch.cat([mean, log_variance])[None]).kl()
    assert found.sum() == pytest.approx(float(theirs), rel=1e-12)


def test_the_suggested_scale_is_that_of_samples() -> None:
    """Latent diffusion's is of samples: 1 / std of the mode, of a wide posterior, is far larger."""
    random = np.random.default_rng(4)
    pictures = [0.2 * random.normal(size=(3, 20, 30)) for _ in range(4)]
    stds = [np.abs(random.normal(1, 0.2, size=each.shape)) for each in pictures]
    samples = [
        mode + std * random.normal(size=mode.shape)
        for mode, std in zip(pictures, stds, strict=True)
    ]
    parts = [
        moments_of(mode, noise=posterior_noise(mode, mode, std))
        for mode, std in zip(pictures, stds, strict=True)
    ]
    parts = [from_part(to_part(part)) for part in parts]
    health = measure_latents(reduce(merge, parts), None)
    variance = np.var(np.stack(pictures)) + np.mean(np.stack(stds) ** 2)
    assert health.suggested_scaling_factor == pytest.approx(1 / math.sqrt(variance))
    assert health.suggested_scaling_factor == pytest.approx(1 / np.std(samples), rel=0.02)
    assert health.all_std == pytest.approx(np.std(pictures))
    # Of samples the spread is there already.
    assert posterior_noise(samples[0], pictures[0], stds[0]) is None
    assert posterior_noise(pictures[0], None, None) is None


def test_kl_of_the_unit_gaussian_is_zero_and_of_no_spread_is_none() -> None:
    zeros, ones = np.zeros((2, 3, 3)), np.ones((2, 3, 3))
    assert (posterior_kl(zeros, ones) == 0).all()
    assert posterior_kl(zeros, zeros) is None
    assert posterior_kl(np.full((1, 1, 1), np.inf), np.ones((1, 1, 1))) is None


def test_kl_is_a_mean_over_all_pictures_or_none() -> None:
    pictures = [np.ones((2, 2, 2)), np.ones((2, 2, 4))]
    health = measured(*pictures, kl=[np.array([4.0, 8.0]), np.array([20.0, 4.0])])
    assert health.kl_nats is not None
    assert health.kl_nats.tolist() == [2, 1]
    known, unknown = moments_of(pictures[0], np.zeros(2)), moments_of(pictures[1])
    assert measure_latents(merge(known, unknown), pictures).kl_nats is None


def test_moments_survive_a_part_to_the_last_bit() -> None:
    for kl_nats in (None, np.array([0.1, 0.2, 0.3])):
        own = moments_of(random_pictures(5, 3, [(4, 6)])[0], kl_nats)
        back = from_part(to_part(own))
        for name in ("mean", "scatter", "low", "high", "kl_nats"):
            assert np.array_equal(getattr(back, name), getattr(own, name)), name
        assert (back.count, back.pictures) == (own.count, own.pictures)


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def suite(photos: Path, **fields: Any) -> Suite:
    given = {"codecs": ["floor=pca:c=5,f=8", "jpeg:q=50", "flat=pca:c=1,f=16"]}
    return Suite.create(**{"images": [str(photos)], "metrics": ["psnr"], **given, **fields})


def same_latents(one: StoredRun, other: StoredRun) -> bool:
    return one.latents.equals(other.latents) and one.record.latents == other.record.latents


def test_a_run_tells_what_its_kept_latents_tell(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos), tmp_path / "run", "command", quiet)
    assert tuple(run.latents.columns) == LATENT_COLUMNS
    assert run.latents["codec"].tolist() == ["floor"] * 5 + ["flat"]
    assert run.latents["kl_nats"].isna().all()
    kept = [run.latents_path("floor", image_id) for image_id in run.images["image_id"]]
    joined = np.concatenate([np.load(path).reshape(5, -1) for path in kept if path], 1)
    floor = run.latents[run.latents["codec"] == "floor"]
    assert (floor["count"] == joined.shape[1]).all()
    assert np.allclose(floor["std"], joined.astype(np.float64).std(1), rtol=1e-9)
    assert np.allclose(np.stack(floor["correlation"].tolist()), np.corrcoef(joined), atol=1e-6)
    whole = {entry.codec: entry for entry in run.record.latents}
    assert list(whole) == ["floor", "flat"]
    assert whole["floor"].pictures == 5
    assert whole["floor"].kl_nats_per_picture is None
    assert whole["floor"].max_abs == float(np.abs(joined).max())
    assert not (run.folder / "parts").exists()
    note = "fitted on the pictures it is scored on (5 pictures)"
    assert run.record.codecs[0].notes == (note,)
    assert "NaN" not in (run.folder / "run.json").read_text()


def test_the_batch_size_changes_nothing(photos: Path, tmp_path: Path) -> None:
    one = evaluate(suite(photos), tmp_path / "one", "command", quiet)
    many = evaluate(suite(photos, batch_size=4), tmp_path / "many", "command", quiet)
    for name in ("mean", "std", "min", "max"):
        # A convolution's own last digit depends on the batch; the statistics add nothing to it.
        assert np.allclose(one.latents[name], many.latents[name], rtol=1e-6, atol=1e-7)


def test_a_stopped_run_goes_on_to_the_same_latents(photos: Path, tmp_path: Path) -> None:
    whole = evaluate(suite(photos, keep="none"), tmp_path / "whole", "command", quiet)

    def stop(phase: str, done: int, total: int) -> None:
        if phase == "scoring" and done == 3:
            raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        evaluate(suite(photos, keep="none"), folder, "command", stop)
    assert len(load_run(folder).latents) == 0
    assert same_latents(resume(folder, quiet), whole)


def test_the_share_far_out_takes_the_latents_that_were_measured(
    photos: Path, tmp_path: Path
) -> None:
    """Where some were not kept, or were changed, it is not known; all else is."""
    whole = evaluate(suite(photos), tmp_path / "whole", "command", quiet)
    assert whole.latents["share_outside_4std"].notna().all()
    others = [name for name in LATENT_COLUMNS if name not in ("share_outside_4std", "correlation")]
    none = evaluate(suite(photos, keep="none"), tmp_path / "none", "command", quiet)
    assert none.latents["share_outside_4std"].isna().all()
    assert none.latents[others].equals(whole.latents[others])
    folder = tmp_path / "changed"

    def change(phase: str, done: int, total: int) -> None:
        if phase == "scoring" and done == total:
            path = picture_path(folder, "latents", "floor", "a.png", ".npy")
            np.save(path, np.load(path) + np.float32(1))
            picture_path(folder, "latents", "flat", "b.png", ".npy").write_bytes(b"nothing")

    changed = evaluate(suite(photos), folder, "command", change)
    assert changed.latents["share_outside_4std"].isna().all()
    assert changed.latents[others].equals(whole.latents[others])


def test_runs_without_latents_have_none(photos: Path, tmp_path: Path) -> None:
    run = evaluate(suite(photos, codecs=["jpeg:q=50"]), tmp_path / "run", "command", quiet)
    assert run.record.latents == ()
    assert not (run.folder / "latents.parquet").exists()
    assert tuple(run.latents.columns) == LATENT_COLUMNS
    assert len(run.latents) == 0


class Typed:
    """Gives two latents of a precision, and a posterior."""

    def __init__(self, latents: torch.Tensor) -> None:
        self.info = CodecInfo("typed", "typed", "typed", {})
        self.latents = latents

    def encode(self, images: torch.Tensor) -> Encoded:
        self.images = images
        spread = torch.full_like(self.latents, 0.5)
        return Encoded((16,), self.latents, None, self.latents * 0, spread)

    def decode(self, encoded: Encoded) -> torch.Tensor:
        return self.images


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_latents_are_measured_in_full_precision(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    largest = 60000.0 if dtype is torch.float16 else 3e38
    latents = torch.tensor([[[[0.1, -largest]]]], dtype=dtype)
    family = Family(lambda source: source == "typed", lambda *_: Typed(latents), "typed")
    monkeypatch.setitem(CODECS, "typed", family)
    run = evaluate(suite(photos / "a.png", codecs=["typed"]), tmp_path / "run", "command", quiet)
    exact = latents[0].double().numpy()
    assert run.latents["mean"].tolist() == [exact.mean()]
    assert run.record.latents[0].max_abs == np.abs(exact).max()
    # Of two values: 0.25 less 1 less ln 0.25, halved, twice.
    assert run.record.latents[0].kl_nats_per_picture == pytest.approx(0.25 - 1 - math.log(0.25))
    kept = np.load(picture_path(run.folder, "latents", "typed", "a.png", ".npy"))
    assert kept.dtype == (np.float32 if dtype is torch.float32 else np.float16)
    # float16 does not hold what bfloat16 does, so what was kept is not what was measured.
    is_known = run.latents["share_outside_4std"].notna().all()
    assert is_known == (dtype is not torch.bfloat16)


def test_the_network_s_posterior_reaches_the_run(photos: Path, tmp_path: Path) -> None:
    from vaebench.bench.codecs import open_codec
    from vaebench.bench.codecs.autoencoder.network import encode_images
    from vaebench.bench.codecs.tensors import reflect_pad
    from vaebench.bench.images.pixels import read_pixels

    codecs = ["mode=demo-f8c4:device=cpu", "sample=demo-f8c4:device=cpu,posterior=sample"]
    run = evaluate(suite(photos, codecs=codecs), tmp_path / "run", "command", quiet)
    vae: Any = getattr(open_codec("it", "demo-f8c4", {"device": "cpu"}), "vae")  # noqa: B009
    total, elements = 0.0, 0
    for path in run.images["path"]:
        pixels = torch.tensor(read_pixels(path).rgb).permute(2, 0, 1)[None].float().div(255)
        posterior = encode_images(vae, reflect_pad(pixels, 8))
        normal = torch.distributions.Normal
        assert posterior.std is not None
        distribution = normal(posterior.mode.double(), posterior.std.double())
        kl = torch.distributions.kl_divergence(distribution, normal(0.0, 1.0))
        total, elements = total + float(kl.sum()), elements + kl.numel()
    for entry in run.record.latents:
        # The sample's latents are others; the posterior that it was drawn from is the same.
        assert entry.kl_nats_per_picture == pytest.approx(total / 5, rel=1e-5)
        assert entry.kl_nats_per_element == pytest.approx(total / elements, rel=1e-5)
