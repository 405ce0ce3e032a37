"""The range coder's tables: discretised logistic distributions in whole numbers.

Encoder and decoder must hold the same table to the last bit, on any machine. So no table comes
from a function whose last digit a library chooses (exp, log): four constants are written out, and
everything else is a product, a quotient, a difference or a square root of doubles, which IEEE 754
rounds in one way. `constriction` takes the whole numbers and gives each symbol its share of 2²⁴.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from .payload import damaged

Ints = NDArray[np.int64]

# Of the compiled module itself: its parts cannot be imported, and have no types.
_stream: Any = constriction.stream  # pyright: ignore[reportAttributeAccessIssue]

PARTS = 8
"""A distribution's centre is a multiple of 1/8 of a symbol."""

SCALES = 52
"""The scales are 2^(j/4) / 16 symbols for j below this: from 0.06, almost sure, to 431."""

# exp(-2^(-j/4)): what the tail of scale j falls by over 1/16 of a symbol, for j below 4. Each four
# further on is the square root.
_FALLS = (0.36787944117144233, 0.4313237049315922, 0.4930686913952398, 0.5517812720589484)

WIDER = 12
"""What a table leaves out is coded by the one of this many scales further on: 8 times as wide."""

_UNITS = 1 << 22
_TAIL = 2.0**-15
# Real latents have heavier tails than the distribution, which matters most where it is narrow.
_LEAST_BEYOND = 2.0**-14
_SHORTEST = 64
_LIMIT = 1 << 30


@dataclass(frozen=True)
class Table:
    """A model of residuals from -reach to reach, and of one more symbol that says: beyond.

    `bits` is what each of these takes, [2·reach + 2]; it plays no part in coding.
    """

    model: Any
    reach: int
    bits: NDArray[np.float64]


@functools.cache
def logistic_table(scale: int, part: int) -> Table:
    """Return the table of scale `scale`, centred `part`/8 of a symbol above zero."""
    survival = _survival(scale)
    reach = (len(survival) - 1 - 8 - 2 * (PARTS - 1)) // 16
    # Edges of the symbols in sixteenths, from the centre.
    edges = 16 * np.arange(-reach, reach + 2) - 8 - 2 * part
    below, above = survival[np.maximum(-edges, 0)], survival[np.maximum(edges, 0)]
    left, right = edges[:-1], edges[1:]
    shares = np.where(
        left >= 0,
        above[:-1] - above[1:],
        np.where(right <= 0, below[1:] - below[:-1], 1.0 - above[1:] - below[:-1]),
    )
    beyond = max(below[0] + above[-1], _LEAST_BEYOND)
    units = np.floor(np.append(shares, beyond) * _UNITS) + 1
    bits = np.log2(units.sum()) - np.log2(units)
    return Table(categorical(units), reach, bits)


def categorical(weights: NDArray[np.float64]) -> Any:
    """Return a model of symbols 0, 1, … by their weights."""
    return _stream.model.Categorical(weights, perfect=False)


def uniform(count: int) -> Any:
    """Return a model of `count` symbols that are equally likely."""
    return _stream.model.Uniform(count)


def table_bits(scales: int, bins: int) -> NDArray[np.float64]:
    """Return what a symbol takes at each distance from the centre by each table, [bins, scales].

    Distances are in eighths, 0 to bins - 1.
    """
    taken = np.empty((bins + -bins % PARTS, scales))
    for scale in range(scales - 1, -1, -1):
        for part in range(PARTS):
            table = logistic_table(scale, part)
            at = np.arange(-part % PARTS, bins, PARTS)
            residuals = (at + part) // PARTS
            inside = np.minimum(residuals + table.reach, 2 * table.reach)
            further = taken[at, scale + WIDER] if scale + WIDER < scales else 32.0
            beyond = table.bits[-1] + further
            taken[at, scale] = np.where(residuals <= table.reach, table.bits[inside], beyond)
    return taken[:bins]


@functools.cache
def _survival(scale: int) -> NDArray[np.float64]:
    """Return 1 - F(m/16) of the logistic distribution for m = 0, 1, … to the end of its table."""
    fall = _FALLS[scale % 4]
    for _ in range(scale // 4):
        fall = math.sqrt(fall)
    # One factor after the other: the order of the products is part of the format.
    powers, power = [1.0], 1.0
    while power > _TAIL or len(powers) < _SHORTEST:
        power *= fall
        powers.append(power)
    series = np.array(powers)
    return series / (1.0 + series)


_HALVES = uniform(1 << 16)


class ResidualEncoder:
    """Range-codes whole numbers, each with its own scale around its own centre."""

    def __init__(self) -> None:
        self._coder = _stream.queue.RangeEncoder()

    def code(self, centres: Ints, scales: Ints, values: Ints) -> None:
        """Encode values around centres, which are in eighths; all are [P]."""
        beyond: list[Ints] = []
        for table, members in _groups(centres, scales):
            residuals = values[members] - centres[members] // PARTS
            is_beyond = np.abs(residuals) > table.reach
            symbols = np.where(is_beyond, 2 * table.reach + 1, residuals + table.reach)
            self._coder.encode(symbols.astype(np.int32), table.model)
            beyond.append(members[is_beyond])
        for far, wider in _beyond(beyond, scales):
            if wider is not None:
                self.code(centres[far], wider, values[far])
                continue
            above = values[far] + _LIMIT
            halves = np.stack([above >> 16, above & 0xFFFF], axis=1).ravel()
            self._coder.encode(halves.astype(np.int32), _HALVES)

    def plain(self, symbols: Ints, model: Any) -> None:
        """Encode symbols [P] with one model of constriction's."""
        self._coder.encode(symbols.astype(np.int32), model)

    @property
    def nbits(self) -> int:
        """Bits written so far, as a whole number of 32-bit words."""
        return self._coder.num_bits()

    def to_bytes(self) -> bytes:
        """Return what was encoded."""
        return self._coder.get_compressed().astype("<u4").tobytes()


class ResidualDecoder:
    """Reads back what a ResidualEncoder wrote, from the same centres and scales in order."""

    def __init__(self, data: bytes) -> None:
        if len(data) % 4:
            raise damaged("it ends within a word")
        self._coder = _stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))

    def code(self, centres: Ints, scales: Ints) -> Ints:
        """Return the next values, one for each centre. Raises: CodecError."""
        values = np.empty(len(centres), np.int64)
        beyond: list[Ints] = []
        for table, members in _groups(centres, scales):
            symbols = self.plain(len(members), table.model)
            values[members] = symbols - table.reach + centres[members] // PARTS
            beyond.append(members[symbols == 2 * table.reach + 1])
        for far, wider in _beyond(beyond, scales):
            if wider is not None:
                values[far] = self.code(centres[far], wider)
                continue
            halves = self.plain(2 * len(far), _HALVES).reshape(-1, 2)
            values[far] = (halves[:, 0] << 16 | halves[:, 1]) - _LIMIT
        if len(values) and int(np.abs(values).max()) > _LIMIT:
            raise damaged("its symbols are out of range")
        return values

    def plain(self, count: int, model: Any) -> Ints:
        """Return the next symbols, [count], of one model of constriction's. Raises: CodecError."""
        try:
            return self._coder.decode(model, count).astype(np.int64)
        except (AssertionError, ValueError) as error:
            raise damaged("its symbols are out of range") from error

    def finish(self) -> None:
        """Check that all was read. Raises: CodecError."""
        if not self._coder.maybe_exhausted():
            raise damaged("its symbols are out of range")


def _groups(centres: Ints, scales: Ints) -> list[tuple[Table, Ints]]:
    """Return the tables in use, each with the places that use it: one call codes them all."""
    keys = scales * PARTS + centres % PARTS
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    places = np.split(order, starts[1:]) if len(found) else []
    return [
        (logistic_table(int(key) // PARTS, int(key) % PARTS), members)
        for key, members in zip(found, places, strict=True)
    ]


def _beyond(members: list[Ints], scales: Ints) -> list[tuple[Ints, Ints | None]]:
    """Return the places whose values their tables left out, each with its next scale.

    None stands for no scale: where there is no wider table.
    """
    far = np.concatenate(members) if members else scales[:0]
    wider = scales[far] + WIDER
    is_last = wider >= SCALES
    parts = ((far[~is_last], wider[~is_last]), (far[is_last], None))
    return [(places, scale) for places, scale in parts if len(places)]
