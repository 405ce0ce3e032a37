"""The texts and the profile of a PNG: those that Pillow would refuse the whole picture for.

Source: PNG specification, third edition, 11.3.2.3 iCCP, 11.3.3 textual information.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ImageError

LONG_BYTES = 1_000_000
"""What Pillow takes of a text or profile, unpacked: longer texts are left out, longer profiles kept
from it."""
MOST_TEXT_BYTES, MOST_PROFILE_BYTES = 5_000_000, 16_000_000
"""Of all texts and of a profile, unpacked: more is refused."""

TEXTS = (b"tEXt", b"zTXt", b"iTXt")


@dataclass(frozen=True)
class Metadata:
    """Which of a file's chunks, by their order, Pillow is not to see, and the profile of one."""

    left_out: frozenset[int] = frozenset()
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def long_metadata(chunks: Sequence[tuple[bytes, bytes]], name: str) -> Metadata:
    """Find what is too long for Pillow.

    Args:
        chunks: the name and data of each; of others than texts and iCCP the data is not looked at.
        name: what messages call the file.
    Raises: ImageError for more than is unpacked here.
    """
    left_out: set[int] = set()
    has_long_text = False
    profile: bytes | None = None
    total = 0
    for index, (kind, body) in enumerate(chunks):
        if kind in TEXTS:
            size = _text_bytes(kind, body)
            # What is not packed takes no more than the file itself.
            total += size if size > len(body) else 0
            if total > MOST_TEXT_BYTES:
                raise _too_long("the texts in it unpack", MOST_TEXT_BYTES, name)
            if size > LONG_BYTES:
                has_long_text = True
                left_out.add(index)
        elif kind == b"iCCP":
            unpacked = _unpacked(body[body.find(b"\0") + 2 :], MOST_PROFILE_BYTES)
            if len(unpacked) > MOST_PROFILE_BYTES:
                raise _too_long("the colour profile in it unpacks", MOST_PROFILE_BYTES, name)
            if len(unpacked) > LONG_BYTES:
                profile = unpacked
                left_out.add(index)
    notes = ("text of more than 1 MB left out",) if has_long_text else ()
    return Metadata(frozenset(left_out), profile, notes)


def _too_long(what: str, limit: int, name: str) -> ImageError:
    return ImageError(
        f"Cannot read {name}: {what} to more than {limit // 1_000_000} MB: save it without."
    )


def _text_bytes(name: bytes, body: bytes) -> int:
    """Return how long a text is, unpacked; at most one byte above the limit is unpacked."""
    at = body.find(b"\0") + 1
    if name == b"zTXt":
        return len(_unpacked(body[at + 1 :], MOST_TEXT_BYTES))
    if name == b"iTXt" and body[at : at + 1] == b"\1":
        # A flag and a method, then the language and the translated keyword, each ended by a zero.
        *_, packed = body[at + 2 :].split(b"\0", 2)
        return len(_unpacked(packed, MOST_TEXT_BYTES))
    return len(body)


def _unpacked(packed: bytes, limit: int) -> bytes:
    """Return what is unpacked, cut a byte above the limit; nothing where it is broken."""
    try:
        return zlib.decompressobj().decompress(packed, limit + 1)
    except zlib.error:
        return b""
