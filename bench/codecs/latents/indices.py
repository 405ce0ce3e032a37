"""A vector-quantised picture's codebook indices as bytes, and back.

A payload of indices, little-endian: a byte that says so; height and width (uint16); the number of
codebook entries (uint32); a byte for the model; then 32-bit words of the range coder; and a CRC-32.
Model 0 takes all entries as equally likely. Model 1 is a histogram: a centre and a scale (uint16,
byte), by which the words first hold how often each entry occurs, to three bits of mantissa.
Whichever gives fewer bytes is used: a large codebook's histogram costs more than it saves.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CodecError
from .context import from_short_float, short_float
from .payload import INDICES, can_hold, check_size, damaged, seal, unseal
from .tables import (
    PARTS,
    SCALES,
    ResidualDecoder,
    ResidualEncoder,
    categorical,
    table_bits,
    uniform,
)

Ints = NDArray[np.int64]

MAX_CODEBOOK = 1 << 20
_HEAD = struct.Struct("<BHHIB")
_MODEL = struct.Struct("<HB")
_FLAT, _HISTOGRAM = 0, 1
# The share of all entries together beside the histogram: no index is ever certain, so the size of
# a payload bounds what can be in it.
_SHARE = 1 / 1024


def pack_indices(indices: NDArray[Any], codebook_size: int) -> bytes:
    """Return codebook indices [h, w] as bytes that need nothing else to be read.

    Args:
        codebook_size: the number of entries, 2 to 2²⁰; the indices are below it.
    Raises: CodecError.
    """
    is_indices = indices.ndim == 2 and np.issubdtype(indices.dtype, np.integer)
    if not is_indices or not 2 <= codebook_size <= MAX_CODEBOOK:
        raise CodecError(
            f"Cannot pack indices of shape {list(indices.shape)} into a codebook of "
            f"{codebook_size}: whole numbers [h, w] and 2 to {MAX_CODEBOOK} entries are expected."
        )
    check_size(indices.shape)
    flat = indices.astype(np.int64).ravel()
    if flat.size and not 0 <= flat.min() <= flat.max() < codebook_size:
        raise CodecError(
            f"Cannot pack indices from {flat.min()} to {flat.max()} into a codebook of "
            f"{codebook_size}."
        )
    payloads: list[bytes] = []
    for model in (_FLAT, _HISTOGRAM):
        head = _HEAD.pack(INDICES, *indices.shape, codebook_size, model)
        if not flat.size:
            return seal(head)
        payloads.append(seal(head + _encode(flat, codebook_size, model)))
    return min(payloads, key=len)


def _encode(flat: Ints, codebook_size: int, model: int) -> bytes:
    coder = ResidualEncoder()
    if model == _FLAT:
        coder.plain(flat, uniform(codebook_size))
        return coder.to_bytes()
    counts = np.bincount(flat, minlength=codebook_size)
    distinct, which = np.unique(counts, return_inverse=True)
    codes = np.array([short_float(int(count))[0] for count in distinct], np.int64)[which]
    centre = int(np.rint(codes.mean() * PARTS))
    distances = np.abs(PARTS * codes - centre)
    costs = np.bincount(distances) @ table_bits(SCALES, int(distances.max()) + 1)
    scale = int(costs.argmin())
    coder.code(np.full_like(codes, centre), np.full_like(codes, scale), codes)
    coder.plain(flat, _histogram(codes))
    return _MODEL.pack(centre, scale) + coder.to_bytes()


def _histogram(codes: Ints) -> Any:
    counts = np.array([from_short_float(code) for code in range(256)], np.float64)[codes]
    return categorical(counts + counts.sum() * _SHARE / len(counts))


def unpack_indices(payload: bytes) -> Ints:
    """Return the indices, int64 [h, w], of a payload.

    Raises: CodecError for what `pack_indices` cannot have written.
    """
    body = unseal(payload, INDICES)
    height, width, codebook_size, model = _read_head(body)
    size, at = height * width, _HEAD.size
    if size == 0:
        return np.zeros((height, width), np.int64)
    if model == _FLAT:
        decoder = ResidualDecoder(body[at:])
        indices = decoder.plain(size, uniform(codebook_size))
    else:
        centre, scale = _MODEL.unpack_from(body, at)
        if scale >= SCALES:
            raise damaged("its scale is out of range")
        decoder = ResidualDecoder(body[at + _MODEL.size :])
        centres = np.full(codebook_size, centre, np.int64)
        codes = decoder.code(centres, np.full_like(centres, scale))
        if codes.min() < 0 or codes.max() > 0xFF or not codes.any():
            raise damaged("its histogram is out of range")
        indices = decoder.plain(size, _histogram(codes))
    decoder.finish()
    return indices.reshape(height, width)


def _read_head(body: bytes) -> tuple[int, int, int, int]:
    if len(body) < _HEAD.size:
        raise damaged("it is cut short")
    _, height, width, codebook_size, model = _HEAD.unpack_from(body)
    size = height * width
    if not can_hold(body, size) or not 2 <= codebook_size <= MAX_CODEBOOK:
        raise damaged(f"{len(body)} bytes cannot hold {size} indices of {codebook_size}")
    if model not in (_FLAT, _HISTOGRAM) or (
        model == _HISTOGRAM and not can_hold(body, codebook_size)
    ):
        raise damaged("its model is not known")
    shortest = _HEAD.size + (_MODEL.size if model == _HISTOGRAM else 0)
    if len(body) < shortest or (size == 0 and len(body) > _HEAD.size):
        raise damaged("it is of the wrong length")
    return height, width, codebook_size, model
