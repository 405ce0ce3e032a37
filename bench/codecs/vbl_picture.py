"""A picture to what a .vbl file holds, and back to a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CodecError, first_line
from ..images.files.decode import MAX_PIXELS
from ..records import Encoded
from ..suite import CodecSpec
from . import open_codec
from .quantised import QUANTISED
from .tensors import reflect_pad
from .vbl import LatentFile, weights_prefix

if TYPE_CHECKING:
    from .quantised_codec import QuantisedCodec


def encode_picture(pixels: NDArray[np.uint8], spec: CodecSpec) -> LatentFile:
    """Encode uint8 sRGB [H, W, 3].

    Raises: CodecError where the codec is not `quantised(…)`, or cannot encode the picture.
    """
    import torch

    codec = _open(spec)
    height, width = pixels.shape[:2]
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float().div(255).contiguous()
    padded = reflect_pad(images, codec.info.multiple_px)
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
    cropped = decoded[0, :, : file.height_px, : file.width_px].clamp(0, 1)
    rounded: NDArray[np.uint8] = cropped.mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    return rounded


def _open(spec: CodecSpec) -> QuantisedCodec:
    from .quantised_codec import QuantisedCodec

    if not QUANTISED.claims(spec.source):
        raise CodecError(
            f"Cannot code pictures with {spec.source}: a quantised autoencoder is expected. Pass, "
            f"say, --codec '{QUANTISED.example}'."
        )
    codec = open_codec(spec.name, spec.source, spec.settings)
    if not isinstance(codec, QuantisedCodec):
        raise CodecError(f"Cannot code pictures with {spec.source}: it is no quantised codec.")
    return codec


def _own_spec(file: LatentFile, name: str) -> CodecSpec:
    # A file may come from anyone, and must not be what allows a checkpoint to run its own code.
    if "trust_remote_code" in file.spec:
        raise CodecError(
            f"Cannot decode {name}: its codec runs code of the checkpoint. If you trust that, "
            f"pass --codec '{file.spec}' yourself."
        )
    return CodecSpec.parse(file.spec)


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
