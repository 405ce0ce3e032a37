"""A tensor as a file describes it: known by its shape before any of it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import CodecError


@dataclass
class Storage:
    """Numbers that lie in a row in a file, of which tensors are views.

    `dtype` is None where each tensor tells its own. `start` is the place of the first byte, None
    while it is not known.
    """

    path: Path
    nbytes: int
    dtype: torch.dtype | None
    start: int | None = None


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file, of which nothing is read; `offset` and `strides` count elements."""

    storage: Storage
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes that it takes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_whole(self) -> bool:
        """Whether its storage holds a number for each of its places."""
        span, size = self._span(), math.prod(self.shape)
        return (self.offset + span) * self.dtype.itemsize <= self.storage.nbytes and (
            size * self.dtype.itemsize <= self.storage.nbytes
        )

    def outline(self) -> Tensor:
        """Return it without its numbers, on the meta device."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")

    def read(self) -> Tensor:
        """Return it with its numbers. Raises: CodecError where the file is cut short; OSError."""
        wanted = self._span() * self.dtype.itemsize
        if not wanted:
            return torch.empty(self.shape, dtype=self.dtype)
        with self.storage.path.open("rb") as file:
            file.seek((self.storage.start or 0) + self.offset * self.dtype.itemsize)
            values = bytearray(wanted)
            got = file.readinto(values)
        if got != wanted or self.storage.start is None:
            raise CodecError(
                f"Cannot read {self.storage.path}: it is cut short. Fetch the file again."
            )
        return torch.frombuffer(values, dtype=self.dtype).as_strided(self.shape, self.strides)

    def _span(self) -> int:
        """Return how many numbers lie from its first to its last."""
        if 0 in self.shape:
            return 0
        return 1 + sum(
            (side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True)
        )


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    return tuple(math.prod(shape[place + 1 :]) for place in range(len(shape)))
