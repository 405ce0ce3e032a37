"""Latents and codebook indices as bytes, and back from those bytes alone.

A payload of latents, little-endian: a byte that says so; channels, height and width (uint16); for
each channel the level of symbol 0 and the distance between levels (float32 each); the thresholds of
activity (a short float each); then 32-bit words of the range coder: first the differences of
the other parameters between channels, then the symbols in the order of `context`; and a CRC-32.

Promised of a payload: any machine with IEEE 754 arithmetic and constriction 0.4.2 or 0.5 reads
from it the float32 values that `quantise(...).dequantise()` gave where it was written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import CodecError
from .context import (
    CLASSES,
    KINDS,
    USUAL_SCALE,
    WEIGHT_ONE,
    Parameters,
    class_counts,
    classes_of,
    fit,
    from_short_float,
    lattice,
    logistic_bits,
    short_float,
    walk,
)
from .payload import LATENTS, can_hold, check_size, damaged, seal, unseal
from .tables import SCALES, ResidualDecoder, ResidualEncoder

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BITS = range(2, 9)
MIN_STEP, MAX_STEP = 1 / 256, 64.0
_HEAD = struct.Struct("<BHHH")
_SIDE_SCALE = 20


@dataclass(frozen=True)
class Symbols:
    """Quantised latents: whole numbers, and the levels that they stand for.

    `values` [C, h, w] count from `zero` [C], the level of symbol 0, in units of `width` [C].
    """

    values: NDArray[np.int32]
    zero: Floats
    width: Floats

    def dequantise(self) -> Floats:
        """Return the float32 latents [C, h, w]: zero + value·width, rounded once."""
        zero, width = (self.zero.astype(np.float64), self.width.astype(np.float64))
        latents = zero[:, None, None] + self.values * width[:, None, None]
        limit = float(np.finfo(np.float32).max)
        return np.clip(latents, -limit, limit).astype(np.float32)


def quantise(latents: Floats, *, step: float | None = None, bits: int | None = None) -> Symbols:
    """Quantise latents uniformly, each channel on its own.

    Args:
        latents: float32 [C, h, w].
        step: the distance of levels in standard deviations of the channel, 1/256 to 64; the mean
            is a level.
        bits: or 2 to 8: 2^bits levels from the channel's smallest value to its largest.
    Raises: CodecError where neither or both are given, or the latents are not finite.
    """
    _check_quantiser(step, bits)
    if latents.ndim != 3 or not np.isfinite(latents).all():
        raise CodecError(
            f"Cannot quantise latents of shape {list(latents.shape)}: finite values [C, h, w] are "
            "expected. Where float16 overflows, try dtype=float32."
        )
    # In order of rows, however a network laid them out, as the decoder will have them: the order
    # in memory decides what convolutions round.
    rows = np.ascontiguousarray(latents, np.float64)
    flat = rows.reshape(len(latents), latents.shape[1] * latents.shape[2])
    if flat.shape[1] == 0:
        nothing = np.zeros(len(flat), np.float32)
        return Symbols(latents.astype(np.int32), nothing, nothing)
    zero, width = flat.mean(axis=1), flat.std(axis=1) * (step or 0.0)
    if bits is not None:
        low = flat.min(axis=1)
        width = (flat.max(axis=1) - low) / (2**bits - 1)
        below = np.rint((zero - low) / np.where(width > 0, width, 1.0))
        zero = low + below * width
    limit = float(np.finfo(np.float32).max)
    zero, width = zero.astype(np.float32), np.minimum(width, limit).astype(np.float32)
    divisor = np.where(width > 0, width, np.inf).astype(np.float64)
    values = np.rint((flat - zero.astype(np.float64)[:, None]) / divisor[:, None])
    return Symbols(values.astype(np.int32).reshape(latents.shape), zero, width)


def _check_quantiser(step: float | None, bits: int | None) -> None:
    if (step is None) == (bits is None):
        raise CodecError("Cannot quantise latents: give either step=, say 0.5, or bits=, say 4.")
    if step is not None and not MIN_STEP <= step <= MAX_STEP:
        raise CodecError(
            f"Cannot quantise latents with step={step}: {MIN_STEP} to {MAX_STEP:g} standard "
            "deviations are expected."
        )
    if bits is not None and bits not in BITS:
        raise CodecError(f"Cannot quantise latents with bits={bits}: 2 to 8 are expected.")


def pack_latents(latents: Floats, *, step: float | None = None, bits: int | None = None) -> bytes:
    """Return latents as bytes that need nothing else to be read: header, model, symbols.

    Args and errors are those of `quantise`.
    """
    return pack_symbols(quantise(latents, step=step, bits=bits))


def pack_symbols(symbols: Symbols) -> bytes:
    """Return quantised latents as the bytes that `unpack_latents` reads. Raises: CodecError."""
    channels, height, width = symbols.values.shape
    check_size(symbols.values.shape)
    head = _HEAD.pack(LATENTS, channels, height, width)
    head += symbols.zero.astype("<f4").tobytes() + symbols.width.astype("<f4").tobytes()
    if not symbols.values.size:
        return seal(head)
    values = symbols.values.reshape(channels, -1).astype(np.int64)
    passes = lattice(height, width)
    parameters = fit(values, passes)
    coder = ResidualEncoder()
    _encode_parameters(coder, parameters)

    def code(positions: Ints, own: Ints, centres: Ints, scales: Ints) -> Ints:
        now = values[own[:, None], positions]
        coder.code(centres.ravel(), scales.ravel(), now.ravel())
        return now

    walk(values, passes, parameters, code)
    thresholds = bytes(short_float(int(edge))[0] for edge in parameters.thresholds)
    return seal(head + thresholds + coder.to_bytes())


def unpack_latents(payload: bytes) -> Floats:
    """Return the dequantised latents, float32 [C, h, w], of a payload.

    Raises: CodecError for what `pack_latents` cannot have written.
    """
    body = unseal(payload, LATENTS)
    channels, height, width = _read_shape(body)
    levels = np.frombuffer(body, "<f4", 2 * channels, _HEAD.size).astype(np.float32)
    zero, distance = levels.reshape(2, channels)
    if not (np.isfinite(levels).all() and (distance >= 0).all()):
        raise damaged("its levels are not finite")
    size = height * width
    values = np.zeros((channels, size), np.int64)
    if values.size:
        parameters, decoder = _read_parameters(body, channels)

        def code(positions: Ints, own: Ints, centres: Ints, scales: Ints) -> Ints:
            return decoder.code(centres.ravel(), scales.ravel()).reshape(centres.shape)

        walk(values, lattice(height, width), parameters, code)
        decoder.finish()
    shaped = values.astype(np.int32).reshape(channels, height, width)
    return Symbols(shaped, zero, distance).dequantise()


def _read_shape(body: bytes) -> tuple[int, int, int]:
    if len(body) < _HEAD.size:
        raise damaged("it is cut short")
    _, channels, height, width = _HEAD.unpack_from(body)
    size = channels * height * width
    if not can_hold(body, size):
        raise damaged(f"{len(body)} bytes cannot hold {size} values")
    shortest = _levels_end(channels) + (CLASSES - 1 if size else 0)
    if len(body) < shortest or (size == 0 and len(body) > shortest):
        raise damaged("it is of the wrong length")
    return channels, height, width


def _levels_end(channels: int) -> int:
    return _HEAD.size + 8 * channels


def _encode_parameters(coder: ResidualEncoder, parameters: Parameters) -> None:
    first = np.hstack([np.full(KINDS, WEIGHT_ONE), np.full(CLASSES + 1, USUAL_SCALE)])
    rows = np.hstack([parameters.weights, parameters.scales])
    changes = np.diff(rows, axis=0, prepend=first[None]).ravel()
    coder.code(np.zeros_like(changes), np.full_like(changes, _SIDE_SCALE), changes)


def _read_parameters(body: bytes, channels: int) -> tuple[Parameters, ResidualDecoder]:
    start = _levels_end(channels)
    stop = start + CLASSES - 1
    thresholds = np.array([from_short_float(code) for code in body[start:stop]], np.int64)
    decoder = ResidualDecoder(body[stop:])
    count = channels * (KINDS + CLASSES + 1)
    changes = decoder.code(np.zeros(count, np.int64), np.full(count, _SIDE_SCALE))
    rows = np.cumsum(changes.reshape(channels, -1), axis=0)
    weights, scales = rows[:, :KINDS] + WEIGHT_ONE, rows[:, KINDS:] + USUAL_SCALE
    is_possible = (weights >= 0).all() and (weights < 2 * WEIGHT_ONE).all()
    if not is_possible or scales.min() < 0 or scales.max() >= SCALES:
        raise damaged("its parameters are out of range")
    if (np.diff(thresholds) < 0).any():
        raise damaged("its thresholds are out of order")
    return Parameters(thresholds, weights, scales), decoder


def header_bytes(payload: bytes) -> int:
    """Return how much of a payload of latents is header and model, in bytes.

    The parameters in the range coder's words count as the whole words that they fill.

    Raises: CodecError.
    """
    body = unseal(payload, LATENTS)
    channels, height, width = _read_shape(body)
    if not channels * height * width:
        return len(payload)
    parameters, _ = _read_parameters(body, channels)
    coder = ResidualEncoder()
    _encode_parameters(coder, parameters)
    checksum = len(payload) - len(body)
    return _levels_end(channels) + CLASSES - 1 + coder.nbits // 8 + checksum


def entropy_bits(symbols: Symbols) -> float:
    """Return the empirical entropy of quantised latents under the payload's class of models.

    It is what the symbols would take, without header, were each class of each channel coded at
    exactly the bits of the discretised logistic distribution with the best real-valued scale:
    Σ -log2(F((d+½)/s) - F((d-½)/s)), d being a symbol's distance from its centre.
    """
    channels, height, width = symbols.values.shape
    if not symbols.values.size:
        return 0.0
    values = symbols.values.reshape(channels, -1).astype(np.int64)
    passes = lattice(height, width)
    distances, classes = classes_of(values, passes, fit(values, passes))
    counts = class_counts(distances, classes)
    scales = 2.0 ** (np.arange(SCALES * 8) / 32 - 4)
    return float((counts @ logistic_bits(counts.shape[2], scales)).min(axis=2).sum())
