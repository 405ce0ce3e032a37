"""Codebook indices come back from their bytes, at no more than their entropy and a histogram."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from vaebench.bench.codecs.latents.indices import pack_indices, unpack_indices
from vaebench.bench.errors import CodecError

FRAME = 10 + 4
"""Header and checksum, in bytes."""


@st.composite
def codes(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    size = draw(st.sampled_from([2, 3, 16, 1000, 20000]))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12))
    used = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5))
    elements = st.sampled_from(used) | st.integers(0, size - 1)
    return draw(hnp.arrays(np.int64, shape, elements=elements)), size


@settings(deadline=None, max_examples=60)
@given(codes())
@example((np.array([[0, (1 << 20) - 1]]), 1 << 20))
@example((np.zeros((40, 50), np.int64), 1 << 18))
def test_indices_come_back(given_: tuple[np.ndarray, int]) -> None:
    indices, size = given_
    found = unpack_indices(pack_indices(indices, size))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, indices)


@pytest.mark.parametrize(
    ("size", "exponent"), [(256, 0.0), (1024, 1.2), (16384, 1.2), (16384, 0.0), (512, 2.0)]
)
def test_the_rate_is_that_of_the_better_model(size: int, exponent: float) -> None:
    random = np.random.default_rng(6)
    shares = 1.0 / np.arange(1, size + 1) ** exponent
    indices = random.choice(size, size=(96, 64), p=shares / shares.sum())
    payload = pack_indices(indices, size)
    counts = np.bincount(indices.ravel(), minlength=size)
    used = counts[counts > 0]
    flat = indices.size * np.log2(size) / 8
    entropy = -(used * np.log2(used / indices.size)).sum() / 8
    # A histogram costs at most a byte an entry in use, and a bit and a half for one that is not.
    histogram = len(used) + 1.5 * (size - len(used)) / 8
    assert len(payload) <= min(1.001 * flat, 1.02 * entropy + histogram) + FRAME + 16


WRITTEN_BY_VERSION_1 = (
    "020f00140010000000014e001d5e2d1eeec173773b55f7041e68015c94821d71cba6877b27c02095fd39efccc570"
    "5beba2fdfdcbf54b85fbf1014ca350b98e8f9134263b9b4128c26254603de564b09c7aae372277b3cbb995697fb7"
    "8d54d11591e313ef39d27975cdbcac170b3435163f8db89125"
)


def test_bytes_that_were_written_once_are_read_for_ever() -> None:
    squares = (np.arange(300).reshape(15, 20) ** 2 % 97) // 20
    found = unpack_indices(bytes.fromhex(WRITTEN_BY_VERSION_1))
    np.testing.assert_array_equal(found, squares * squares % 13)


@pytest.mark.parametrize(
    ("indices", "size", "reason"),
    [
        (np.zeros((2, 2)), 16, "whole numbers"),
        (np.zeros(4, np.int64), 16, r"shape \[4\]"),
        (np.full((2, 2), 16), 16, "from 16 to 16"),
        (np.full((2, 2), -1), 16, "from -1 to -1"),
        (np.zeros((2, 2), np.int64), 1, "codebook of 1"),
        (np.zeros((2, 2), np.int64), 1 << 21, "codebook of 2097152"),
        (np.zeros((70000, 1), np.int64), 4, "65535 on a side"),
    ],
)
def test_what_cannot_be_packed_is_refused(indices: np.ndarray, size: int, reason: str) -> None:
    with pytest.raises(CodecError, match=reason):
        pack_indices(indices, size)


def test_damage_is_refused_or_decodes_to_indices_below_the_size() -> None:
    random = np.random.default_rng(7)
    bodies = [
        pack_indices(random.integers(0, 50, (9, 9)), 50)[:-4],
        pack_indices(np.minimum(random.geometric(0.5, (20, 20)), 15), 16)[:-4],
    ]
    assert [body[9] for body in bodies] == [0, 1]
    refused = 0
    for index in range(1000):
        body = bytearray(bodies[index % 2])
        for place in random.integers(8 * len(body), size=random.integers(1, 4)):
            body[place // 8] ^= 1 << place % 8
        if index % 5 == 0:
            del body[int(random.integers(len(body))) :]
        with pytest.raises(CodecError):
            unpack_indices(bytes(body))
        try:
            found = unpack_indices(bytes(body) + zlib.crc32(body).to_bytes(4, "little"))
        except CodecError:
            refused += 1
        else:
            assert found.size == 0 or found.min() >= 0
            assert found.size <= 8800 * len(body)
    assert refused > 200
