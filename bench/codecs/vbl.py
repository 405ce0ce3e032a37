"""The .vbl file: one picture's coded latents, what is needed to decode them, and the way back.

Little-endian: four bytes of magic, a byte of version, eight of checksum (BLAKE2b of all the rest,
magic and version included), then width and height of the picture before padding (uint32 each), 16
bytes of the SHA-256 of the weights, the codec's spec (its length as uint16, UTF-8), and the
payload.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError, first_line, listed, shortened
from ..images.files.decode import MAX_PIXELS
from ..records import Encoded
from ..suite import QUANTISED, CodecSpec
from .autoencoder.sources import looks_like_path
from .demo import DEMO_CHECKPOINTS
from .families import CODECS, open_spec
from .quantised import QuantisedCodec
from .tensors import from_levels, reflect_pad, to_levels

MAGIC = b"\x89VBL"
VERSION = 1
SUFFIX = ".vbl"

_HASH_BYTES = 16
_START = struct.Struct("<4sB8s")
_HEAD = struct.Struct(f"<II{_HASH_BYTES}sH")
# What a file may set of its codec: all that the numbers alone depend on.
_OF_A_FILE = (
    *("step", "bits", "posterior", "seed", "subfolder", "config"),
    *("dtype", "device", "channels_last", "tiling", "slicing"),
)
# A payload has 2²⁵ symbols at most.
_MAX_BYTES = 1 << 28
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
            is_too_long = start == MAGIC and os.fstat(file.fileno()).st_size > _MAX_BYTES
            data = start + file.read(_MAX_BYTES) if start == MAGIC and not is_too_long else start
    except OSError as error:
        raise CodecError(f"Cannot read {path}: {error.strerror}.") from error
    if is_too_long:
        raise CodecError(
            f"Cannot decode {path.name}: it has more than {_MAX_BYTES >> 20} MiB, and no picture "
            "within the limits needs as many."
        )
    return from_bytes(data, path.name)


def encode_picture(pixels: NDArray[np.uint8], spec: CodecSpec) -> LatentFile:
    """Encode uint8 sRGB [H, W, 3].

    Raises: CodecError where the codec is not `quantised(…)`, or cannot encode the picture.
    """
    codec = _open(spec)
    height, width = pixels.shape[:2]
    padded = reflect_pad(from_levels([pixels]), codec.info.multiple_px)
    try:
        (payload,) = codec.encode(padded).payloads or (b"",)
    except RuntimeError as error:
        told = first_line(error).rstrip(".")
        raise CodecError(f"Cannot encode with {spec.source}: {told}.") from error
    return LatentFile(_as_text(spec), _weights(codec), width, height, payload)


def decode_picture(file: LatentFile, name: str, spec: CodecSpec | None = None) -> NDArray[np.uint8]:
    """Decode to uint8 sRGB [H, W, 3].

    Args:
        name: the file's, for the sentence that refuses it.
        spec: the codec, where the one that the file names cannot be opened.
    Raises: CodecError where the weights are others, or the sizes contradict each other.
    """
    if file.width_px * file.height_px > MAX_PIXELS:
        raise CodecError(
            f"Cannot decode {name}: it says {file.width_px}×{file.height_px} px, more than the "
            f"limit of {MAX_PIXELS // 1_000_000} megapixels."
        )
    codec = _open(_own_spec(file, name) if spec is None else spec)
    if _weights(codec) != file.weights:
        raise CodecError(
            f"Cannot decode {name}: it was made with other weights ({file.weights[:12]}…) than "
            f"{codec.info.source} has ({_weights(codec)[:12]}…). Pass --codec 'quantised(…)' with "
            "the checkpoint that made it."
        )
    latents = codec.unpack((file.payload,))
    multiple, factor = codec.info.multiple_px, codec.info.spatial_factor or 1
    padded = [side + -side % multiple for side in (file.height_px, file.width_px)]
    coded = [side * factor for side in latents.shape[2:]]
    if padded != coded or 0 in coded:
        raise CodecError(
            f"Cannot decode {name}: it says {file.width_px}×{file.height_px} px and holds "
            f"{coded[1]}×{coded[0]}. Encode the picture again."
        )
    try:
        decoded = codec.base.decode(Encoded((8 * len(file.payload),), latents=latents))
    except RuntimeError as error:
        raise CodecError(f"Cannot decode {name}: {first_line(error).rstrip('.')}.") from error
    levels = to_levels(decoded[0, :, : file.height_px, : file.width_px])
    return levels.permute(1, 2, 0).cpu().numpy()


def _open(spec: CodecSpec) -> QuantisedCodec:
    if not CODECS["quantised"].claims(spec.source):
        raise CodecError(
            f"Cannot code pictures with {spec.source}: a quantised autoencoder is expected. Pass, "
            f"say, --codec '{CODECS['quantised'].example}'."
        )
    codec = open_spec(spec)
    if not isinstance(codec, QuantisedCodec):
        raise CodecError(f"Cannot code pictures with {spec.source}: it is no quantised codec.")
    return codec


def _own_spec(file: LatentFile, name: str) -> CodecSpec:
    """Return the codec that a file names, which may be by anyone.

    Raises: CodecError where that would do more than read a checkpoint of this machine.
    """
    spec = CodecSpec.parse_from_file(file.spec)
    if CODECS["quantised"].claims(spec.source) and (does := _does_more(spec)):
        raise CodecError(
            f"Cannot decode {name}: its codec {does}, which no file can ask for. If you trust "
            f"that, pass --codec {shlex.quote(shortened(file.spec))} yourself."
        )
    return spec


def _does_more(spec: CodecSpec) -> str | None:
    """Return what a quantised codec would do beyond reading a checkpoint of this machine."""
    inner = CodecSpec.parse_from_file(spec.source[len(QUANTISED) : -1].strip())
    if spec.asks_for_trust:
        return "runs code of the checkpoint"
    is_here = inner.source in DEMO_CHECKPOINTS or looks_like_path(inner.source)
    if not is_here and not Path(inner.source).exists():
        return f"is {shortened(inner.source)}, neither a path nor in the package"
    asked = {**inner.settings, **spec.settings}
    foreign = [key for key in asked if key not in _OF_A_FILE and asked[key] is not False]
    return f"sets {listed(foreign)}" if foreign else None


def _as_text(spec: CodecSpec) -> str:
    settings = ",".join(f"{key}={value}" for key, value in spec.settings.items())
    return f"{spec.source}:{settings}" if settings else spec.source


def _weights(codec: QuantisedCodec) -> str:
    if codec.info.weights_sha256 is None:
        raise CodecError(
            f"Cannot code pictures with {codec.info.source}: it does not tell the SHA-256 of its "
            "weights, without which a file could be decoded by others."
        )
    return weights_prefix(codec.info.weights_sha256)
