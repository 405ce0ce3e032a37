"""The coder's tables are the logistic distribution, and what they leave out is coded too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import logistic
from vaebench.bench.codecs.latents.tables import (
    PARTS,
    SCALES,
    ResidualDecoder,
    ResidualEncoder,
    logistic_table,
    table_bits,
)
from vaebench.bench.errors import CodecError


@pytest.mark.parametrize("scale", [0, 1, 7, 16, 29, 40, SCALES - 1])
@pytest.mark.parametrize("part", [0, 3, 7])
def test_a_table_is_the_discretised_logistic_distribution(scale: int, part: int) -> None:
    table = logistic_table(scale, part)
    shares = 2.0**-table.bits
    assert shares.sum() == pytest.approx(1, abs=1e-9)
    width = 2 ** (scale / 4) / 16
    distances = np.arange(-table.reach, table.reach + 1) - part / PARTS
    expected = logistic.cdf((distances + 0.5) / width) - logistic.cdf((distances - 0.5) / width)
    # Every symbol has a share of 2^-22 at least, and what is left out one of 2^-14.
    np.testing.assert_allclose(shares[:-1], expected, atol=1e-4 * expected.max() + 1e-6)
    assert shares[-1] >= 0.9 * 2.0**-14


def test_the_cost_of_a_symbol_is_its_tables() -> None:
    taken = table_bits(SCALES, 20 * PARTS)
    table = logistic_table(20, 5)
    assert taken[PARTS * 3 - 5, 20] == table.bits[3 + table.reach]
    narrow, wide = logistic_table(2, 0), logistic_table(14, 0)
    far = narrow.reach + 1
    assert taken[PARTS * far, 2] == narrow.bits[-1] + wide.bits[far + wide.reach]


@settings(deadline=None)
@given(st.data(), st.integers(0, 60))
def test_values_of_any_size_come_back(data: st.DataObject, count: int) -> None:
    small, large = st.integers(-300, 300), st.integers(-(2**30) + 1, 2**30 - 1)
    values = np.array(data.draw(st.lists(small | large, min_size=count, max_size=count)), np.int64)
    centres = data.draw(hnp.arrays(np.int64, count, elements=st.integers(-4000, 4000)))
    scales = data.draw(hnp.arrays(np.int64, count, elements=st.integers(0, SCALES - 1)))
    encoder = ResidualEncoder()
    encoder.code(centres, scales, values)
    decoder = ResidualDecoder(encoder.to_bytes())
    np.testing.assert_array_equal(decoder.code(centres, scales), values)
    decoder.finish()


def test_what_is_left_over_or_cut_is_refused() -> None:
    centres = scales = np.full(500, 20, np.int64)
    encoder = ResidualEncoder()
    encoder.code(centres, scales, np.arange(500) % 40)
    data = encoder.to_bytes()
    decoder = ResidualDecoder(data + bytes(8))
    decoder.code(centres, scales)
    with pytest.raises(CodecError, match="damaged"):
        decoder.finish()
    with pytest.raises(CodecError, match="ends within a word"):
        ResidualDecoder(data[:-1])
