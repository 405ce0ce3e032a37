"""Classical codecs through Pillow: real files, their bytes counted; and the naive resize.

Pictures are rounded to 8 bits first, files carry no metadata, and decoding starts from the
file's bytes alone. A codec's defaults are Pillow's, except where a comment says why not.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from PIL import Image, features
from pydantic import BeforeValidator, Field, model_validator

from ..errors import CodecError
from ..records import CodecInfo, Encoded, Settings
from .base import Codec, Family
from .settings import CodecSettings, Float, Int, read_settings

if TYPE_CHECKING:
    from torch import Tensor


def _subsampling(given: Any) -> str:
    text = str(given).replace(":", "")
    if text not in ("444", "422", "420"):
        raise ValueError("444, 422 or 420 is expected")
    return text


Subsampling = Annotated[str, BeforeValidator(_subsampling)]


class JpegSettings(CodecSettings):
    """Huffman tables are optimised by default: the smaller file for the same pixels."""

    q: Int = Field(default=75, ge=1, le=100)
    subsampling: Subsampling = "420"
    progressive: bool = False
    optimize: bool = True


class WebpSettings(CodecSettings):
    """`lossless` keeps every pixel; `q` is then the effort, as in Pillow.

    libwebp takes any `q` between whole numbers too.
    """

    q: Int | Float = Field(default=80, ge=0, le=100)
    lossless: bool = False
    method: Int = Field(default=4, ge=0, le=6)


class AvifSettings(CodecSettings):
    """`speed` runs from 0, slow and small, to 10."""

    q: Int = Field(default=75, ge=0, le=100)
    speed: Int = Field(default=6, ge=0, le=10)
    subsampling: Subsampling = "420"


class Jpeg2000Settings(CodecSettings):
    """`q_db` aims at a PSNR in dB, `rate` at a compression ratio; without either, lossless."""

    q_db: Float | None = Field(default=None, gt=0, le=100)
    rate: Float | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_target(self) -> Jpeg2000Settings:
        if self.q_db is not None and self.rate is not None:
            raise ValueError("q_db and rate exclude each other")
        return self


class JpegXlSettings(CodecSettings):
    """`q` is libjxl's, also between whole numbers: 90 is a distance of 1. `effort` is 1 to 10."""

    q: Float = Field(default=90.0, ge=0, le=100)
    lossless: bool = False
    effort: Int = Field(default=7, ge=1, le=10)


class PngSettings(CodecSettings):
    """PNG is lossless and has nothing to set."""


class ResizeSettings(CodecSettings):
    """`factor` divides width and height, rounding up."""

    factor: Int = Field(ge=2, le=256)


SettingsT = TypeVar("SettingsT", bound=CodecSettings)
_JPEG2000_RESOLUTIONS = 6
_JPEGXL_PLUGIN = "pillow_jxl"


def _jpeg(settings: JpegSettings, image: Image.Image) -> dict[str, Any]:
    return {
        "format": "JPEG",
        "quality": settings.q,
        "subsampling": ("444", "422", "420").index(settings.subsampling),
        "progressive": settings.progressive,
        "optimize": settings.optimize,
    }


def _webp(settings: WebpSettings, image: Image.Image) -> dict[str, Any]:
    return {
        "format": "WEBP",
        "quality": settings.q,
        "lossless": settings.lossless,
        "method": settings.method,
    }


def _avif(settings: AvifSettings, image: Image.Image) -> dict[str, Any]:
    return {
        "format": "AVIF",
        "quality": settings.q,
        "speed": settings.speed,
        "subsampling": ":".join(settings.subsampling),
    }


def _jpeg2000(settings: Jpeg2000Settings, image: Image.Image) -> dict[str, Any]:
    # OpenJPEG refuses more resolutions than a small picture can be halved.
    resolutions = min(_JPEG2000_RESOLUTIONS, min(image.size).bit_length())
    options: dict[str, Any] = {"format": "JPEG2000", "num_resolutions": resolutions}
    if settings.q_db is not None:
        options |= {"quality_mode": "dB", "quality_layers": [settings.q_db], "irreversible": True}
    elif settings.rate is not None:
        options |= {"quality_mode": "rates", "quality_layers": [settings.rate]}
        options["irreversible"] = True
    return options


def _jpegxl(settings: JpegXlSettings, image: Image.Image) -> dict[str, Any]:
    return {
        "format": "JXL",
        "quality": settings.q,
        "lossless": settings.lossless,
        "effort": settings.effort,
        # The plugin would take every core of each process that encodes.
        "num_threads": 1,
    }


def _png(settings: PngSettings, image: Image.Image) -> dict[str, Any]:
    return {"format": "PNG"}


@dataclass(frozen=True)
class FileCodec:
    """A codec whose code is an image file."""

    info: CodecInfo
    options: Callable[[Image.Image], dict[str, Any]]

    def encode(self, images: Tensor) -> Encoded:
        """Write one file for each picture of [N, 3, H, W]; `nbits` are the files' bits."""
        from .tensors import to_pil

        payloads = tuple(self._write(image) for image in to_pil(images))
        return Encoded(nbits=tuple(8 * len(file) for file in payloads), payloads=payloads)

    def decode(self, encoded: Encoded) -> Tensor:
        """Read the pictures of the files, float32 [N, 3, H, W] in [0, 1]."""
        from .tensors import from_pil

        return from_pil([self._read(file) for file in _payloads(encoded, self.info.name)])

    def _write(self, image: Image.Image) -> bytes:
        file = io.BytesIO()
        try:
            image.save(file, **self.options(image))
        except (OSError, ValueError) as error:
            raise CodecError(
                f"Cannot encode {image.width}×{image.height} px with {self.info.name}: {error}."
            ) from error
        return file.getvalue()

    def _read(self, file: bytes) -> Image.Image:
        with Image.open(io.BytesIO(file)) as image:
            return image.convert("RGB")


@dataclass(frozen=True)
class ResizeCodec:
    """The naive baseline: Lanczos down, eight bits kept, Lanczos up."""

    info: CodecInfo
    factor: int

    # The original size goes with the small pixels, uncounted: a run knows it anyway.
    _SIZE = struct.Struct("<4I")

    def encode(self, images: Tensor) -> Encoded:
        """Shrink [N, 3, H, W]; `nbits` are 24 for each small pixel."""
        from .tensors import to_pil

        payloads: list[bytes] = []
        nbits: list[int] = []
        for image in to_pil(images):
            small_size = (-(-image.width // self.factor), -(-image.height // self.factor))
            small = image.resize(small_size, Image.Resampling.LANCZOS)
            payloads.append(self._SIZE.pack(*image.size, *small_size) + small.tobytes())
            nbits.append(24 * small.width * small.height)
        return Encoded(nbits=tuple(nbits), payloads=tuple(payloads))

    def decode(self, encoded: Encoded) -> Tensor:
        """Enlarge the small pictures, float32 [N, 3, H, W] in [0, 1]."""
        from .tensors import from_pil

        images: list[Image.Image] = []
        for payload in _payloads(encoded, self.info.name):
            width, height, *small_size = self._SIZE.unpack_from(payload)
            pixels = payload[self._SIZE.size :]
            small = Image.frombytes("RGB", (small_size[0], small_size[1]), pixels)
            images.append(small.resize((width, height), Image.Resampling.LANCZOS))
        return from_pil(images)


def _payloads(encoded: Encoded, name: str) -> tuple[bytes, ...]:
    if encoded.payloads is None:
        raise CodecError(f"Cannot decode with {name}: a file's bytes are expected, got latents.")
    return encoded.payloads


def _file_family(
    word: str,
    example: str,
    model: type[SettingsT],
    options: Callable[[SettingsT, Image.Image], dict[str, Any]],
    feature: str,
) -> Family:
    def open_file_codec(name: str, source: str, settings: Settings) -> Codec:
        read = read_settings(model, name, settings, example)
        if feature == _JPEGXL_PLUGIN and not _has_plugin(feature):
            raise CodecError(
                f"Cannot open {name}: Pillow reads and writes {word} with a plugin alone. "
                "Install it: pip install pillow-jxl-plugin."
            )
        if feature != _JPEGXL_PLUGIN and not features.check(feature):
            raise CodecError(
                f"Cannot open {name}: this Pillow was built without {word}. "
                "Install Pillow from PyPI: pip install --force-reinstall pillow."
            )
        info = CodecInfo(name, word, source, read.model_dump(exclude_none=True))
        return FileCodec(info, lambda image: options(read, image))

    return Family(lambda source: source == word, open_file_codec, example)


def _has_plugin(module: str) -> bool:
    """Whether a plugin is installed; importing it registers its format with Pillow."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _open_resize(name: str, source: str, settings: Settings) -> Codec:
    factor = read_settings(ResizeSettings, name, settings, RESIZE.example).factor
    return ResizeCodec(CodecInfo(name, "resize", source, {"factor": factor}), factor)


JPEG = _file_family("jpeg", "jpeg:q=75,subsampling=420", JpegSettings, _jpeg, "jpg")
WEBP = _file_family("webp", "webp:q=80", WebpSettings, _webp, "webp")
AVIF = _file_family("avif", "avif:q=60", AvifSettings, _avif, "avif")
JPEG2000 = _file_family("jpeg2000", "jpeg2000:q_db=36", Jpeg2000Settings, _jpeg2000, "jpg_2000")
JPEGXL = _file_family("jpegxl", "jpegxl:q=90", JpegXlSettings, _jpegxl, _JPEGXL_PLUGIN)
PNG = _file_family("png", "png", PngSettings, _png, "zlib")
RESIZE = Family(lambda source: source == "resize", _open_resize, "resize:8")
