"""What all payloads have in common: a byte that says what is inside, a checksum, and limits."""

from __future__ import annotations

import zlib

from ...errors import CodecError

LATENTS, INDICES = 1, 2
"""The first byte: whose bytes these are, and by which version of the format."""

MAX_SIDE = 0xFFFF
MAX_SYMBOLS = 1 << 25
"""A picture of 64 megapixels has fewer in a code of 32 channels at an eighth of its sides."""

# Every model leaves each symbol at least 1/1100 bit to take, so the size of a payload bounds what
# can be in it: a short one cannot ask for much memory.
_SYMBOLS_PER_BYTE = 8 * 1100
_CHECKSUM_BYTES = 4


def check_size(shape: tuple[int, ...]) -> None:
    """Refuse what is too large to be packed. Raises: CodecError."""
    size = 1
    for side in shape:
        size *= side
    if max(shape, default=0) > MAX_SIDE or size > MAX_SYMBOLS:
        raise CodecError(
            f"Cannot pack {list(shape)} values: at most {MAX_SYMBOLS} are, and {MAX_SIDE} on a "
            "side. Cut the picture into parts."
        )


def can_hold(payload: bytes, size: int) -> bool:
    """Tell whether a payload is long enough for a number of symbols."""
    return size <= min(MAX_SYMBOLS, _SYMBOLS_PER_BYTE * len(payload))


def seal(body: bytes) -> bytes:
    """Return a payload: its body and the CRC-32 of that."""
    return body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little")


def unseal(payload: bytes, kind: int) -> bytes:
    """Return the body of a payload of a kind. Raises: CodecError where it is none, or damaged."""
    body, checksum = payload[:-_CHECKSUM_BYTES], payload[-_CHECKSUM_BYTES:]
    if int.from_bytes(checksum, "little") != zlib.crc32(body) or not body:
        raise damaged("its checksum does not match")
    if body[0] != kind:
        raise damaged(f"it begins with {body[0]} where {kind} is expected")
    return body


def damaged(reason: str) -> CodecError:
    """Return the error for a payload that cannot be read."""
    return CodecError(
        f"Cannot decode: the payload is damaged or foreign, {reason}. Encode the picture again."
    )
