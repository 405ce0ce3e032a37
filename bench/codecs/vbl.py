"""The .vbl file: one picture's coded latents, and what is needed to decode them.

Little-endian: four bytes of magic, a byte of version, eight of checksum (BLAKE2b of all the rest,
magic and version included), then width and height of the picture before padding (uint32 each), 16
bytes of the SHA-256 of the weights, the codec's spec (its length as uint16, UTF-8), and the
payload.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from ..errors import CodecError

MAGIC = b"\x89VBL"
VERSION = 1
SUFFIX = ".vbl"

_HASH_BYTES = 16
_START = struct.Struct("<4sB8s")
_HEAD = struct.Struct(f"<II{_HASH_BYTES}sH")
_MEND = "Encode the picture again, or fetch the file again."


@dataclass(frozen=True)
class LatentFile:
    """What a .vbl file holds.

    `spec` is the codec's, as for `--codec`; `weights` begins the SHA-256 of its weights, in
    hexadecimal; width and height are the picture's before padding.
    """

    spec: str
    weights: str
    width_px: int
    height_px: int
    payload: bytes


def weights_prefix(sha256: str) -> str:
    """Return as much of a SHA-256 in hexadecimal as a file holds."""
    return sha256[: 2 * _HASH_BYTES]


def to_bytes(file: LatentFile) -> bytes:
    """Return the bytes of a .vbl file. Raises: CodecError for a spec of more than 65535 bytes."""
    spec = file.spec.encode()
    if len(spec) > 0xFFFF:
        raise CodecError(f"Cannot write a .vbl file: its codec's spec has {len(spec)} bytes.")
    weights = bytes.fromhex(file.weights)
    body = _HEAD.pack(file.width_px, file.height_px, weights, len(spec)) + spec + file.payload
    return _START.pack(MAGIC, VERSION, _checksum(VERSION, body)) + body


def from_bytes(data: bytes, name: str) -> LatentFile:
    """Return what the bytes of a .vbl file hold.

    Args:
        name: the file's, for the sentence that refuses it.
    Raises: CodecError where it is foreign, of another version, cut short or changed.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise CodecError(
            f"Cannot decode {name}: it is no .vbl file. Give one that `vaebench encode` wrote."
        )
    if len(data) < _START.size + _HEAD.size:
        raise CodecError(f"Cannot decode {name}: it is cut short. {_MEND}")
    _, version, checksum = _START.unpack_from(data)
    body = data[_START.size :]
    if checksum != _checksum(version, body):
        raise CodecError(f"Cannot decode {name}: it is damaged, its checksum is wrong. {_MEND}")
    if version != VERSION:
        raise CodecError(
            f"Cannot decode {name}: it is of version {version}, this vaebench reads version "
            f"{VERSION}. Install the vaebench that wrote it."
        )
    width, height, weights, length = _HEAD.unpack_from(body)
    spec, payload = body[_HEAD.size :][:length], body[_HEAD.size + length :]
    try:
        return LatentFile(spec.decode(), weights.hex(), width, height, payload)
    except UnicodeDecodeError as error:
        raise CodecError(f"Cannot decode {name}: its codec's spec is no text. {_MEND}") from error


def _checksum(version: int, body: bytes) -> bytes:
    return hashlib.blake2b(MAGIC + bytes([version]) + body, digest_size=8).digest()


def read_latent_file(path: Path) -> LatentFile:
    """Read a .vbl file. Raises: CodecError."""
    try:
        with path.open("rb") as file:
            # A foreign file is refused by its beginning, however long it is.
            start = file.read(len(MAGIC))
            data = start + file.read() if start == MAGIC else start
    except OSError as error:
        raise CodecError(f"Cannot read {path}: {error.strerror}.") from error
    return from_bytes(data, path.name)
