"""Colours of any space and profile to sRGB.

Pillow converts at 8 bits, where a linear profile would leave a photograph's shadows a handful of
levels: 16-bit colours go through a profile of curves and a matrix here.

Source: ICC.1:2022, 10.5 curveType, 10.18 parametricCurveType, Annex F.3 three-component
matrix-based profiles; IEC 61966-2-1 for the sRGB curve.
"""

from __future__ import annotations

import functools
import io
import struct
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from .code_points import TRANSFERS, Curve, matrix_to_srgb, srgb_curve
from .modes import Samples, Space, row_blocks
from .told import Told

_MODES: dict[Space, str] = {"gray": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}
_PROFILE_SPACES: dict[Space, str] = {"gray": "GRAY", "rgb": "RGB", "cmyk": "CMYK", "lab": "Lab"}


@dataclass(frozen=True)
class Converted:
    """Colours in sRGB, uint8 or uint16 [H, W, 3], and what was done to get them."""

    rgb: NDArray[Any]
    notes: tuple[str, ...]


_FIRST_LEVEL = 4
"""Told by numbers, colours of 8 bits whose first level above black is a higher one of sRGB's are
refused: so little is left of the shadows that the picture is another."""


def samples_to_srgb(samples: Samples) -> Converted:
    """Convert a decoded frame to sRGB by what its file says of its colours.

    Raises: ValueError, its message the reason, where a transfer function has no exact way there.
    """
    told, space = samples.told, samples.space
    if told.profile is not None or told.is_srgb or space in ("cmyk", "lab"):
        converted = to_srgb(samples.colour, space, told.profile)
        return Converted(converted.rgb, told.notes + converted.notes)
    curves = told.transfer.curves
    name, teller = told.transfer.name, f"as {told.by} tells"
    if not curves:
        raise ValueError(_no_way(name, teller))
    if samples.colour.dtype == np.uint8:
        first = max(float(srgb_curve(curve(np.array([1 / 255])))[0]) * 255 for curve in curves)
        if first > _FIRST_LEVEL:
            raise ValueError(_no_way(f"{name}, read at 8 bits", teller))
    rgb = _by_numbers(samples.colour, told)
    if rgb is None:
        return Converted(to_srgb(samples.colour, space, None).rgb, told.notes)
    return Converted(rgb, (*told.notes, f"{told.name} converted to sRGB"))


def _no_way(what: str, how: str) -> str:
    return (
        f"its levels are {what}, {how}, which cannot be converted to 8-bit sRGB exactly: save it "
        "as sRGB"
    )


def _by_numbers(colour: NDArray[Any], told: Told) -> NDArray[np.uint16] | None:
    """Convert grey or RGB to uint16 sRGB [H, W, 3]; None where no colour moves by 2 of 255."""
    is_grey = colour.shape[-1] == 1
    level = np.arange(65536) / 65535
    chosen: list[Curve] = list(told.transfer.curves)[: 1 if is_grey else 3]
    curves = [np.asarray(curve(level), np.float32) for curve in chosen]
    curves *= 1 if is_grey or len(curves) == 3 else 3
    matrix = np.eye(3) if is_grey else matrix_to_srgb(told.primaries)
    probe = _probe("gray" if is_grey else "rgb")
    moved = to_8_bits(_by_curves(probe, curves, matrix)).astype(int) - probe
    return None if np.abs(moved).max() <= 1 else _by_curves(colour, curves, matrix)


def to_srgb(colour: NDArray[Any], space: Space, profile: bytes | None) -> Converted:
    """Convert colours [H, W, C] to sRGB.

    Relative colorimetric intent with black point compensation. Grey and RGB whose profile moves
    no colour by more than one 8-bit level (sRGB itself) stay as they are, as do those without
    a profile or with one that cannot be read; a CMYK picture without one gets
    (255-C)(255-K)/255, a Lab picture is taken as D50. uint16 colours stay so, unless their
    profile is a table of colours (CMYK's always is): those are rounded to 8 bits first.
    """
    notes: list[str] = []
    source = _open_profile(profile, space, notes)
    if source is None and space == "lab":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    if source is not None:
        transform = _transform(source, space, notes)
        if transform is not None and (space in ("cmyk", "lab") or not _is_srgb(transform, space)):
            notes.append(f"{_name(source, space)} converted to sRGB")
            rgb = deep_srgb(colour, profile) if colour.dtype == np.uint16 and profile else None
            if rgb is None:
                rgb = _apply(transform, to_8_bits(colour), space)
            return Converted(rgb, tuple(notes))
    if space == "cmyk":
        notes.append("CMYK without a usable profile converted to RGB")
        plain = Image.fromarray(np.ascontiguousarray(to_8_bits(colour)), "CMYK").convert("RGB")
        return Converted(np.asarray(plain), tuple(notes))
    if space == "gray":
        notes.append("grey copied to red, green and blue")
        return Converted(np.repeat(colour, 3, axis=-1), tuple(notes))
    return Converted(colour, tuple(notes))


def to_8_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Round uint16 samples to 8 bits, v·255/65535; uint8 samples pass."""
    if samples.dtype == np.uint8:
        return samples
    rounded = np.empty(samples.shape, np.uint8)
    for rows in row_blocks(len(samples)):
        rounded[rows] = (samples[rows].astype(np.uint32) + 128) // 257
    return rounded


def _open_profile(
    profile: bytes | None, space: Space, notes: list[str]
) -> ImageCms.ImageCmsProfile | None:
    if profile is None:
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found: str = cast(Any, opened.profile).xcolor_space.strip()
    except (OSError, ImageCms.PyCMSError):
        notes.append("broken ICC profile ignored")
        return None
    _refuse_brightness(profile)
    if found != _PROFILE_SPACES[space]:
        notes.append(f"ICC profile for {found} ignored: the picture is {_PROFILE_SPACES[space]}")
        return None
    return opened


def _refuse_brightness(profile: bytes) -> None:
    """Refuse a profile that calls its levels PQ or HLG: what it has besides is a rendering of them.

    Source: ICC.1:2022, 9.2.17 cicpTag. Raises: ValueError, its message the reason.
    """
    try:
        tag = _tags(profile).get(b"cicp", b"")
    except struct.error:
        return
    transfer = TRANSFERS.get(tag[9]) if len(tag) >= 12 else None
    if transfer is not None and not transfer.curves:
        raise ValueError(_no_way(transfer.name, "as its ICC profile tells"))


def _name(source: ImageCms.ImageCmsProfile, space: Space) -> str:
    try:
        description = ImageCms.getProfileDescription(source).strip()
    except ImageCms.PyCMSError:
        description = ""
    if space == "lab":
        return "CIE Lab"
    return f"{description or 'unnamed'} profile"


def _transform(
    source: ImageCms.ImageCmsProfile, space: Space, notes: list[str]
) -> ImageCms.ImageCmsTransform | None:
    try:
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            _MODES[space],
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except ImageCms.PyCMSError:
        notes.append("ICC profile without a way to sRGB ignored")
        return None


def _apply(
    transform: ImageCms.ImageCmsTransform, colour: NDArray[np.uint8], space: Space
) -> NDArray[np.uint8]:
    plane = colour[..., 0] if space == "gray" else colour
    rgb = np.empty((*colour.shape[:2], 3), np.uint8)
    for rows in row_blocks(len(rgb)):
        image = Image.fromarray(np.ascontiguousarray(plane[rows]), _MODES[space])
        converted = ImageCms.applyTransform(image, transform)
        if converted is None:
            raise ValueError("the ICC transform returned no picture")
        rgb[rows] = np.asarray(converted)
    return rgb


def _is_srgb(transform: ImageCms.ImageCmsTransform, space: Space) -> bool:
    """Whether a profile leaves a lattice of colours and the grey axis where they are."""
    probe = _probe(space)
    moved = np.abs(_apply(transform, probe, space).astype(int) - probe)
    return int(moved.max()) <= 1


def _probe(space: Space) -> NDArray[np.uint8]:
    """Return every grey and, of RGB, a lattice of colours, uint8 [1, n, 1 or 3]."""
    ramp = np.arange(256, dtype=np.uint8)[None, :, None]
    if space == "gray":
        return ramp
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return np.concatenate([lattice, np.repeat(ramp, 3, axis=-1)], axis=1)


def deep_srgb(colour: NDArray[np.uint16], profile: bytes) -> NDArray[np.uint16] | None:
    """Convert uint16 grey or RGB [H, W, 1 or 3] to uint16 sRGB [H, W, 3].

    Returns: None for a profile that is a table of colours, or whose curves are of no known type.
    """
    channels = "k" if colour.shape[-1] == 1 else "rgb"
    try:
        tags = _tags(profile)
        if any(name.startswith(b"A2B") for name in tags):
            return None
        # Single precision is a hundredth of a 16-bit level, and several times as fast.
        curves = [_curve(tags[f"{channel}TRC".encode()]).astype(np.float32) for channel in channels]
        to_srgb = np.eye(3) if channels == "k" else _srgb_matrix() @ _matrix(tags)
    except (KeyError, ValueError, ZeroDivisionError, struct.error):
        return None
    return _by_curves(colour, curves, to_srgb)


def _by_curves(
    colour: NDArray[Any], curves: list[NDArray[np.float32]], matrix: NDArray[np.float64]
) -> NDArray[np.uint16]:
    """Convert grey or RGB by the light of each 16-bit level and a matrix, to uint16 [H, W, 3]."""
    rgb = np.empty((*colour.shape[:2], 3), np.uint16)
    levels = [curve[::257] if colour.dtype == np.uint8 else curve for curve in curves]
    for rows in row_blocks(len(rgb)):
        light = np.stack([level[colour[rows, :, i]] for i, level in enumerate(levels)], axis=-1)
        linear = np.broadcast_to(light, (*light.shape[:2], 3)) @ matrix.T.astype(np.float32)
        rgb[rows] = np.rint(srgb_curve(np.clip(linear, 0, 1)) * 65535)
    return rgb


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """Return a profile's tags by signature."""
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return {name: profile[start : start + size] for name, start, size in entries}


def _matrix(tags: dict[bytes, bytes]) -> NDArray[np.float64]:
    """Return the matrix from a profile's linear RGB to XYZ under D50."""
    columns = [struct.unpack_from(">3i", tags[name], 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return np.asarray(columns, np.float64).T / 65536


@functools.cache
def _srgb_matrix() -> NDArray[np.float64]:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return np.linalg.inv(_matrix(_tags(srgb.tobytes()))).astype(np.float64)


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Return the linear light, 0 to 1, of each 16-bit level."""
    level = np.arange(65536) / 65535
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return level
        points: NDArray[Any] = np.asarray(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count == 1:
            return level ** (points[0] / 256)
        return np.interp(level, np.linspace(0, 1, count), points / 65535)
    if tag[:4] == b"para":
        return _parametric(tag, level)
    raise ValueError(f"unknown curve type {tag[:4]!r}")


def _parametric(tag: bytes, level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a parametric curve: (a·x + b)^g + e from d on, c·x + f below."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind > 4:
        raise ValueError(f"unknown parametric curve {kind}")
    count = (1, 3, 4, 5, 7)[kind]
    stored = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = (stored + [0.0] * 7)[:7] if kind else (stored[0], 1.0, *([0.0] * 5))
    if kind in (1, 2):
        # Their third or fourth number is what is added on both sides of the bend, -b/a.
        c, d, e, f = 0.0, -b / a, c, c
    power = np.maximum(a * level + b, 0) ** g + e
    return np.where(level >= d, power, c * level + f)
