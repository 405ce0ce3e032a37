"""Colours of any space and profile to sRGB."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from .colour_deep import deep_srgb
from .modes import Space

_MODES: dict[Space, str] = {"gray": "L", "rgb": "RGB", "cmyk": "CMYK", "lab": "LAB"}
_PROFILE_SPACES: dict[Space, str] = {"gray": "GRAY", "rgb": "RGB", "cmyk": "CMYK", "lab": "Lab"}
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Converted:
    """Colours in sRGB, uint8 or uint16 [H, W, 3], and what was done to get them."""

    rgb: NDArray[Any]
    notes: tuple[str, ...]


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
    for top in range(0, len(samples), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
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
    if found != _PROFILE_SPACES[space]:
        notes.append(f"ICC profile for {found} ignored: the picture is {_PROFILE_SPACES[space]}")
        return None
    return opened


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
    for top in range(0, len(rgb), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        image = Image.fromarray(np.ascontiguousarray(plane[rows]), _MODES[space])
        converted = ImageCms.applyTransform(image, transform)
        if converted is None:
            raise ValueError("the ICC transform returned no picture")
        rgb[rows] = np.asarray(converted)
    return rgb


def _is_srgb(transform: ImageCms.ImageCmsTransform, space: Space) -> bool:
    """Whether a profile leaves a lattice of colours and the grey axis where they are."""
    ramp = np.arange(256, dtype=np.uint8)
    if space == "gray":
        probe = ramp[None, :, None]
        expected = np.repeat(probe, 3, axis=-1)
    else:
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
        probe = np.concatenate([lattice, np.repeat(ramp[None, :, None], 3, axis=-1)], axis=1)
        expected = probe
    moved = np.abs(_apply(transform, probe, space).astype(int) - expected.astype(int))
    return int(moved.max()) <= 1
