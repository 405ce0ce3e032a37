"""Latents come back from their bytes exactly, whatever they are, and damage is refused."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit
from vaebench.bench.codecs.latents.payload import MAX_SYMBOLS
from vaebench.bench.codecs.latents.stream import (
    entropy_bits,
    header_bytes,
    pack_latents,
    pack_symbols,
    quantise,
    unpack_latents,
)
from vaebench.bench.errors import CodecError

Floats = np.ndarray
STEPS = (0.125, 0.25, 0.5, 1.0, 2.0)


def smooth(channels: int, height: int, width: int, seed: int = 0) -> Floats:
    """Latents like real ones: correlated between neighbours, with flat and busy parts."""
    random = np.random.default_rng(seed)
    noise = random.laplace(size=(channels, height + 8, width + 8))
    for axis in (1, 2):
        noise = np.cumsum(noise, axis=axis)
        noise = noise - np.roll(noise, 5, axis=axis)
    busy = np.linspace(0.05, 1.0, width)
    return (noise[:, 8:, 8:] * busy).astype(np.float32)


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
magnitudes = st.sampled_from([1e-45, 1e-38, 1e-30, 1e-3, 1.0, 1e3, 1e30, 1e38])
shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=9)
quantisers = st.one_of(
    st.fixed_dictionaries({"step": st.sampled_from([1 / 256, *STEPS, 64.0])}),
    st.fixed_dictionaries({"bits": st.integers(2, 8)}),
)


@st.composite
def latents_of_any_size(draw: st.DrawFn) -> Floats:
    """Latents whose channels are of different magnitudes; some are constant."""
    shape = draw(shapes)
    values = draw(hnp.arrays(np.float32, shape, elements=st.floats(-3, 3, width=32)))
    for channel in range(shape[0]):
        kind = draw(st.sampled_from(["scaled", "constant", "shifted"]))
        if kind == "scaled":
            values[channel] *= np.float32(draw(magnitudes))
        elif kind == "constant":
            values[channel] = draw(finite)
        else:
            values[channel] += np.float32(draw(magnitudes))
    return values


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(latents_of_any_size(), hnp.arrays(np.float32, shapes, elements=finite)), quantisers
)
@example(np.full((2, 3, 5), 3.4028235e38, np.float32), {"step": 0.5})
@example(np.array([[[-3.4028235e38, 3.4028235e38]]], np.float32), {"bits": 2})
@example(np.array([[[0.0, 1e-45, 4e-45]]], np.float32), {"step": 1 / 256})
@example(np.zeros((3, 0, 4), np.float32), {"bits": 8})
@example(np.zeros((0, 4, 4), np.float32), {"step": 1.0})
def test_any_latents_come_back_as_they_were_quantised(
    latents: Floats, quantiser: dict[str, float]
) -> None:
    expected = quantise(latents, **quantiser).dequantise()
    payload = pack_latents(latents, **quantiser)
    found = unpack_latents(payload)
    assert found.dtype == np.float32
    assert found.shape == latents.shape
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, expected)
    assert 0 < header_bytes(payload) <= len(payload)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, shapes, elements=st.floats(-1e4, 1e4, width=32)),
    st.sampled_from(STEPS),
    st.integers(2, 8),
)
def test_no_value_is_farther_than_half_a_level(latents: Floats, step: float, bits: int) -> None:
    flat = latents.reshape(len(latents), math.prod(latents.shape[1:])).astype(np.float64)
    if not flat.size:
        return
    largest = np.abs(flat).max(axis=1)
    for symbols, width in (
        (quantise(latents, step=step), step * flat.std(axis=1)),
        (quantise(latents, bits=bits), np.ptp(flat, axis=1) / (2**bits - 1)),
    ):
        error = np.abs(symbols.dequantise() - latents).reshape(flat.shape).max(axis=1)
        # Levels and results are rounded to float32.
        assert (error <= width / 2 + 1e-6 * largest + 1e-38).all()
    levels = [len(np.unique(channel)) for channel in quantise(latents, bits=bits).values]
    assert max(levels) <= 2**bits


def test_step_is_in_standard_deviations_and_the_mean_is_a_level() -> None:
    latents = np.array([[[1.0, 3.0], [5.0, 7.0]]], np.float32)
    symbols = quantise(latents, step=0.5)
    deviation = math.sqrt(5)
    assert symbols.zero[0] == 4.0
    assert symbols.width[0] == np.float32(0.5 * deviation)
    np.testing.assert_array_equal(symbols.values, [[[-3, -1], [1, 3]]])


def test_bits_give_levels_from_the_smallest_value_to_the_largest() -> None:
    latents = np.array([[[0.0, 0.9, 2.1, 3.0]]], np.float32)
    found = quantise(latents, bits=2).dequantise()
    np.testing.assert_allclose(found, [[[0, 1, 2, 3]]], atol=1e-6)


def test_constant_channels_cost_next_to_nothing() -> None:
    latents = np.repeat(np.float32([[[1e30]], [[-1e-30]], [[0]], [[7]]]), 96, axis=1)
    latents = np.repeat(latents, 64, axis=2)
    payload = pack_latents(latents, step=0.5)
    np.testing.assert_array_equal(unpack_latents(payload), latents)
    assert len(payload) < 100


@pytest.mark.parametrize(
    ("latents", "quantiser", "reason"),
    [
        (np.full((1, 2, 2), np.nan, np.float32), {"step": 1.0}, "finite values"),
        (np.full((1, 2, 2), np.inf, np.float32), {"bits": 4}, "finite values"),
        (np.zeros((2, 2), np.float32), {"step": 1.0}, r"shape \[2, 2\]"),
        (np.zeros((1, 2, 2), np.float32), {}, "give either step="),
        (np.zeros((1, 2, 2), np.float32), {"step": 1.0, "bits": 4}, "give either step="),
        (np.zeros((1, 2, 2), np.float32), {"step": 0.001}, "step=0.001"),
        (np.zeros((1, 2, 2), np.float32), {"step": math.nan}, "step=nan"),
        (np.zeros((1, 2, 2), np.float32), {"bits": 9}, "2 to 8"),
        (np.zeros((1, 70000, 1), np.float32), {"bits": 8}, "65535 on a side"),
    ],
)
def test_what_cannot_be_packed_is_refused(
    latents: Floats, quantiser: dict[str, float], reason: str
) -> None:
    with pytest.raises(CodecError, match=reason):
        pack_latents(latents, **quantiser)


WRITTEN_BY_VERSION_1 = (
    "01020009000b0003b5fe409602b540d7089c3fd539b7411015171b1c1e1ffffffffff4849cfd5ef1aa13376c33c2"
    "a2ac8ad6e3e714c9634a1c9ea4fbc2a9aa220b9eb74703694f4bbc8610c4a5f0ec417d1d9d8356286d129d66079e"
    "6f543542ba52e89a7d4d74ff2ea9c83ea8782ce643a27ff0ae5ad9c4c52235b561bda26ae6e85a8da5622f91241a"
)


def test_bytes_that_were_written_once_are_read_for_ever() -> None:
    """A change of the format needs a new first byte, for files of the old one to stay readable."""
    slopes = np.add.outer(np.arange(9) ** 2, 3 * np.arange(11)) % 17
    latents = np.add.outer([0, 7], slopes).astype(np.float32)
    latents[1, 4, 5] = -900
    found = unpack_latents(bytes.fromhex(WRITTEN_BY_VERSION_1))
    np.testing.assert_array_equal(found, quantise(latents, step=0.25).dequantise())


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("channels", [4, 16])
def test_the_rate_is_within_two_percent_of_the_entropy(step: float, channels: int) -> None:
    symbols = quantise(smooth(channels, 64, 96), step=step)
    payload = pack_symbols(symbols)
    coded_bits = 8 * (len(payload) - header_bytes(payload))
    assert coded_bits <= 1.02 * entropy_bits(symbols)


def test_the_entropy_is_that_of_the_logistic_distribution() -> None:
    """Of independent logistic symbols it is near their own entropy, and below a histogram's."""
    random = np.random.default_rng(1)
    drawn = np.rint(random.logistic(scale=3.0, size=(1, 128, 128))).astype(np.float32)
    symbols = quantise(drawn, step=1.0)
    unit = symbols.width[0]
    levels = np.arange(-400, 401)
    edges = expit((levels[:, None] + [-0.5, 0.5]) * unit / 3.0)
    shares = np.diff(edges, axis=1)
    shares = shares[shares > 0]
    expected = -(shares * np.log2(shares)).sum()
    assert entropy_bits(symbols) / drawn.size == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("step", STEPS)
def test_real_latents_take_less_than_by_zstandard(step: float, real_latents: Floats) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs zstandard")
    symbols = quantise(real_latents, step=step)
    kind = np.int8 if np.abs(symbols.values).max() < 128 else np.int16
    by_zstandard = zstandard.ZstdCompressor(level=19).compress(
        symbols.values.astype(kind).tobytes()
    )
    payload = pack_symbols(symbols)
    assert len(payload) < 0.95 * len(by_zstandard)
    coded_bits = 8 * (len(payload) - header_bytes(payload))
    assert coded_bits <= 1.02 * entropy_bits(symbols)


@pytest.fixture(scope="module")
def real_latents(kodak: Path) -> Floats:
    """The latents of kodim23 by the smaller demonstration checkpoint."""
    import torch
    from vaebench.bench.codecs import open_codec
    from vaebench.bench.images.pixels import read_pixels

    codec = open_codec("demo", "demo-f8c4", {})
    pixels = torch.from_numpy(read_pixels(kodak / "kodim23.png").rgb.copy())
    images = pixels.permute(2, 0, 1)[None].float().div(255)
    latents = codec.encode(images).latents
    assert latents is not None
    return latents[0].numpy()


def mutate(payload: bytes, random: np.random.Generator) -> bytes:
    """Flip bits, cut, insert, or put another part in."""
    data = bytearray(payload)
    at, kind = int(random.integers(len(data))), random.integers(4)
    if kind == 0:
        for place in random.integers(8 * len(data), size=random.integers(1, 5)):
            data[place // 8] ^= 1 << place % 8
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at:at] = random.bytes(int(random.integers(1, 9)))
    else:
        other = int(random.integers(len(data)))
        count = int(random.integers(1, 33))
        data[at : at + count] = data[other : other + count]
    return bytes(data)


def test_damaged_payloads_are_refused() -> None:
    random = np.random.default_rng(2)
    payload = pack_latents(smooth(4, 12, 16), step=0.5)
    for _ in range(2000):
        damaged = mutate(payload, random)
        if damaged != payload:
            with pytest.raises(CodecError, match=r"^Cannot decode: the payload is damaged"):
                unpack_latents(damaged)


def test_damage_under_a_right_checksum_is_refused_or_decodes_to_something_finite() -> None:
    """The checksum aside, no bytes may crash the coder or make it take much memory."""
    random = np.random.default_rng(3)
    bodies = [
        pack_latents(smooth(3, 9, 11), step=0.5)[:-4],
        pack_latents(np.zeros((2, 5, 5), np.float32), bits=4)[:-4],
    ]
    refused = 0
    for index in range(800):
        body = mutate(bodies[index % 2], random)
        try:
            found = unpack_latents(body + zlib.crc32(body).to_bytes(4, "little"))
        except CodecError:
            refused += 1
        else:
            assert np.isfinite(found).all()
            assert found.size <= min(MAX_SYMBOLS, 8800 * len(body))
    assert refused > 300


@given(st.binary(max_size=80))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    for payload in (data, b"\x01" + data, data + zlib.crc32(data).to_bytes(4, "little")):
        try:
            found = unpack_latents(payload)
        except CodecError:
            continue
        # Header and checksum fit by chance: latents without pixels or channels.
        assert found.size == 0
