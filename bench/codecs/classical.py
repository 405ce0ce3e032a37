"""Classical codecs through Pillow: real files, their bytes counted; and the naive resize.

Pictures are rounded to 8 bits first, files carry no metadata, and decoding starts from the
file's bytes alone. A codec's defaults are Pillow's, except where a comment says why not.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from PIL import Image, features
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from ..errors import CodecError
from ..records import CodecInfo, Encoded, Settings
from .base import Codec
from .families import CODECS
from .settings import CodecSettings, Float, Int, read_settings
from .tensors import from_pil, to_pil

_JPEG2000_RESOLUTIONS = 6
_JPEGXL_PLUGIN = "pillow_jxl"


def _subsampling(given: Any) -> str:
    text = str(given).replace(":", "")
    if text not in ("444", "422", "420"):
        raise ValueError("444, 422 or 420 is expected")
    return text


Subsampling = Annotated[str, BeforeValidator(_subsampling)]


class FileSettings(CodecSettings):
    """The settings of a codec whose code is a file; `feature` is what Pillow calls its library."""

    feature: ClassVar[str]

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return what Pillow is asked for in writing a picture."""
        raise NotImplementedError


class JpegSettings(FileSettings):
    """Huffman tables are optimised by default: the smaller file for the same pixels."""

    feature = "jpg"
    q: Int = Field(default=75, ge=1, le=100)
    subsampling: Subsampling = "420"
    progressive: bool = False
    optimize: bool = True

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return Pillow's options."""
        return {
            "format": "JPEG",
            "quality": self.q,
            "subsampling": ("444", "422", "420").index(self.subsampling),
            "progressive": self.progressive,
            "optimize": self.optimize,
        }


class WebpSettings(FileSettings):
    """`lossless` keeps every pixel; `q` is then the effort, as in Pillow.

    libwebp takes any `q` between whole numbers too.
    """

    feature = "webp"
    q: Int | Float = Field(default=80, ge=0, le=100)
    lossless: bool = False
    method: Int = Field(default=4, ge=0, le=6)

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return Pillow's options."""
        chosen = {"quality": self.q, "lossless": self.lossless, "method": self.method}
        return {"format": "WEBP", **chosen}


class AvifSettings(FileSettings):
    """`speed` runs from 0, slow and small, to 10."""

    feature = "avif"
    q: Int = Field(default=75, ge=0, le=100)
    speed: Int = Field(default=6, ge=0, le=10)
    subsampling: Subsampling = "420"

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return Pillow's options."""
        subsampling = ":".join(self.subsampling)
        chosen = {"quality": self.q, "speed": self.speed, "subsampling": subsampling}
        return {"format": "AVIF", **chosen}


class Jpeg2000Settings(FileSettings):
    """`q_db` aims at a PSNR in dB, `rate` at a compression ratio; without either, lossless."""

    feature = "jpg_2000"
    q_db: Float | None = Field(default=None, gt=0, le=100)
    rate: Float | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_target(self) -> Jpeg2000Settings:
        if self.q_db is not None and self.rate is not None:
            raise ValueError("q_db and rate exclude each other")
        return self

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return Pillow's options."""
        # OpenJPEG refuses more resolutions than a small picture can be halved.
        resolutions = min(_JPEG2000_RESOLUTIONS, min(image.size).bit_length())
        options: dict[str, Any] = {"format": "JPEG2000", "num_resolutions": resolutions}
        if self.q_db is None and self.rate is None:
            return options
        mode, target = ("rates", self.rate) if self.q_db is None else ("dB", self.q_db)
        return options | {"quality_mode": mode, "quality_layers": [target], "irreversible": True}


class JpegXlSettings(FileSettings):
    """`q` is libjxl's, also between whole numbers: 90 is a distance of 1. `effort` is 1 to 10."""

    feature = _JPEGXL_PLUGIN
    q: Float = Field(default=90.0, ge=0, le=100)
    lossless: bool = False
    effort: Int = Field(default=7, ge=1, le=10)

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return the options of Pillow's plugin."""
        return {
            "format": "JXL",
            "quality": self.q,
            "lossless": self.lossless,
            "effort": self.effort,
            # The plugin would take every core of each process that encodes.
            "num_threads": 1,
        }


class PngSettings(FileSettings):
    """PNG is lossless and has nothing to set."""

    feature = "zlib"

    def options(self, image: Image.Image) -> dict[str, Any]:
        """Return Pillow's options."""
        return {"format": "PNG"}


FORMATS: dict[str, type[FileSettings]] = {
    "jpeg": JpegSettings,
    "webp": WebpSettings,
    "avif": AvifSettings,
    "jpegxl": JpegXlSettings,
    "jpeg2000": Jpeg2000Settings,
    "png": PngSettings,
}


class ResizeSettings(CodecSettings):
    """`factor` divides width and height, rounding up."""

    factor: Int = Field(ge=2, le=256)


class _OfPictures:
    """A codec of 8-bit pictures behind the interface that all codecs share."""

    def encode(self, images: Tensor) -> Encoded:
        """Encode [N, 3, H, W], rounded to 8 bits."""
        return self.encode_pictures(to_pil(images))

    def decode(self, encoded: Encoded) -> Tensor:
        """Decode to float32 [N, 3, H, W] in [0, 1]."""
        return from_pil(self.decode_pictures(encoded))

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> Encoded:
        """Encode RGB pictures of one size."""
        raise NotImplementedError

    def decode_pictures(self, encoded: Encoded) -> list[Image.Image]:
        """Return the RGB pictures."""
        raise NotImplementedError


@dataclass(frozen=True)
class FileCodec(_OfPictures):
    """A codec whose code is an image file."""

    info: CodecInfo
    settings: FileSettings

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> Encoded:
        """Write one file for each picture; `nbits` are the files' bits."""
        payloads = tuple(self._write(picture) for picture in pictures)
        return Encoded(nbits=tuple(8 * len(file) for file in payloads), payloads=payloads)

    def decode_pictures(self, encoded: Encoded) -> list[Image.Image]:
        """Read the pictures of the files."""
        return [self._read(file) for file in _payloads(encoded, self.info.name)]

    def _write(self, image: Image.Image) -> bytes:
        file = io.BytesIO()
        try:
            image.save(file, **self.settings.options(image))
        except (OSError, ValueError) as error:
            raise CodecError(
                f"Cannot encode {image.width}×{image.height} px with {self.info.name}: {error}."
            ) from error
        return file.getvalue()

    def _read(self, file: bytes) -> Image.Image:
        with Image.open(io.BytesIO(file)) as image:
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")


@dataclass(frozen=True)
class ResizeCodec(_OfPictures):
    """The naive baseline: Lanczos down, eight bits kept, Lanczos up."""

    info: CodecInfo
    factor: int

    # The original size goes with the small pixels, uncounted: a run knows it anyway.
    _SIZE = struct.Struct("<4I")

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> Encoded:
        """Shrink pictures; `nbits` are 24 for each small pixel."""
        payloads: list[bytes] = []
        nbits: list[int] = []
        for image in pictures:
            small_size = (-(-image.width // self.factor), -(-image.height // self.factor))
            small = image.resize(small_size, Image.Resampling.LANCZOS)
            payloads.append(self._SIZE.pack(*image.size, *small_size) + small.tobytes())
            nbits.append(24 * small.width * small.height)
        return Encoded(nbits=tuple(nbits), payloads=tuple(payloads))

    def decode_pictures(self, encoded: Encoded) -> list[Image.Image]:
        """Enlarge the small pictures."""
        images: list[Image.Image] = []
        for payload in _payloads(encoded, self.info.name):
            width, height, *small_size = self._SIZE.unpack_from(payload)
            pixels = payload[self._SIZE.size :]
            small = Image.frombytes("RGB", (small_size[0], small_size[1]), pixels)
            images.append(small.resize((width, height), Image.Resampling.LANCZOS))
        return images


def _payloads(encoded: Encoded, name: str) -> tuple[bytes, ...]:
    if encoded.payloads is None:
        raise CodecError(f"Cannot decode with {name}: a file's bytes are expected, got latents.")
    return encoded.payloads


def open_file_codec(name: str, source: str, settings: Settings) -> Codec:
    """Open a codec of files. Raises: CodecError where this Pillow has not its library."""
    model = FORMATS[source]
    read = read_settings(model, name, settings, CODECS[source].example)
    if model.feature == _JPEGXL_PLUGIN:
        try:
            # Importing it registers its format with Pillow.
            importlib.import_module(_JPEGXL_PLUGIN)
        except ImportError as error:
            raise CodecError(
                f"Cannot open {name}: Pillow reads and writes {source} with a plugin alone. "
                "Install it: pip install pillow-jxl-plugin."
            ) from error
    elif not features.check(model.feature):
        raise CodecError(
            f"Cannot open {name}: this Pillow was built without {source}. "
            "Install Pillow from PyPI: pip install --force-reinstall pillow."
        )
    return FileCodec(CodecInfo(name, source, source, read.model_dump(exclude_none=True)), read)


def open_resize(name: str, source: str, settings: Settings) -> Codec:
    """Open the naive baseline. Raises: CodecError."""
    factor = read_settings(ResizeSettings, name, settings, CODECS["resize"].example).factor
    return ResizeCodec(CodecInfo(name, "resize", source, {"factor": factor}), factor)
