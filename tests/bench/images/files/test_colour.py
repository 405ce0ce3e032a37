"""Colour conversion against closed forms and, at 8 bits, against Little CMS."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import lab2rgb
from vaebench.bench.images.files.colour import deep_srgb, to_8_bits, to_srgb

# Red, green and blue of Display P3 as XYZ under D50 (Apple's profile).
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
# Linear Display P3 to linear sRGB, both under D65 (CSS Color 4, section 18).
P3_TO_SRGB = np.array(
    [
        [1.2249401, -0.2249402, 0.0],
        [-0.0420569, 1.0420571, 0.0],
        [-0.0196376, -0.0786361, 1.0982735],
    ]
)
SRGB_CURVE = (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def gamma_tag(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def parametric_tag(kind: int, values: tuple[float, ...]) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + fixed(*values)


def table_tag(values: np.ndarray) -> bytes:
    levels = np.rint(values * 65535).astype(">u2")
    return b"curv" + bytes(4) + struct.pack(">I", len(levels)) + levels.tobytes()


def profile(space: bytes, curve: bytes, primaries: tuple[tuple[float, ...], ...] = ()) -> bytes:
    """Build an ICC profile of one curve and, for RGB, a matrix."""
    text = "Test".encode("utf-16-be")
    described = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28)
    tags = {b"desc": described + text, b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)}
    for letter, primary in zip("rgb", primaries, strict=False):
        tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + fixed(*primary)
    for letter in "rgb" if primaries else "k":
        tags[f"{letter}TRC".encode()] = curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), bytes(4), 0x04300000, b"mntr", space, b"XYZ "
    )
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def encode(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decode(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def colours(count: int = 4000) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (1, count, 3), dtype=np.uint8)


def test_rounding_to_8_bits_is_the_nearest_of_every_level() -> None:
    levels = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bits(levels), np.rint(levels * (255 / 65535)))


def test_display_p3_becomes_srgb() -> None:
    stored = colours()
    display_p3 = profile(b"RGB ", parametric_tag(*SRGB_CURVE), P3)
    converted = to_srgb(stored, "rgb", display_p3)
    expected = encode(decode(stored / 255) @ P3_TO_SRGB.T) * 255
    assert converted.notes == ("Test profile converted to sRGB",)
    assert np.abs(converted.rgb - expected).max() < 1.5
    red = to_srgb(np.array([[[255, 0, 0]]], np.uint8), "rgb", display_p3)
    assert red.rgb.tolist() == [[[255, 0, 0]]]


def test_an_srgb_profile_leaves_pixels_untouched() -> None:
    stored = colours()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for colour in (stored, stored.astype(np.uint16) * 257):
        converted = to_srgb(colour, "rgb", srgb)
        assert converted.notes == ()
        np.testing.assert_array_equal(converted.rgb, colour)


def test_a_linear_profile_at_16_bits_keeps_the_shadows() -> None:
    stored = np.arange(0, 2000, 3, dtype=np.uint16)[None, :, None].repeat(3, axis=-1)
    linear = profile(
        b"RGB ",
        gamma_tag(1.0),
        ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)),
    )
    converted = to_srgb(stored, "rgb", linear).rgb
    np.testing.assert_allclose(converted / 65535, encode(stored / 65535), atol=3e-4)
    assert len(np.unique(to_8_bits(converted))) == 50
    rounded_first = to_srgb(to_8_bits(stored), "rgb", linear).rgb
    assert len(np.unique(rounded_first)) < 10


@pytest.mark.parametrize(
    "curve",
    [
        gamma_tag(1.8),
        table_tag(np.linspace(0, 1, 33) ** 2.2),
        b"curv" + bytes(8),
        parametric_tag(0, (2.2,)),
        parametric_tag(1, (2.2, 1.1, -0.1)),
        parametric_tag(2, (2.2, 0.9, 0.05, 0.05)),
        parametric_tag(*SRGB_CURVE),
        parametric_tag(4, (2.4, 0.9, 0.055, 0.07, 0.04, 0.01, 0.005)),
    ],
    ids=["gamma", "table", "identity", "para0", "para1", "para2", "para3", "para4"],
)
def test_every_kind_of_curve_agrees_with_little_cms(curve: bytes) -> None:
    """Reference: Little CMS through Pillow, at its 8 bits, within one level."""
    stored = colours()
    built = profile(b"RGB ", curve, P3)
    deep = deep_srgb(stored.astype(np.uint16) * 257, built)
    assert deep is not None
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(built)),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    expected = ImageCms.applyTransform(Image.fromarray(stored), transform)
    assert np.abs(to_8_bits(deep).astype(int) - np.asarray(expected).astype(int)).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_profile(dtype: type) -> None:
    full = np.iinfo(dtype).max
    stored = np.linspace(0, full, 256).round().astype(dtype)[None, :, None]
    converted = to_srgb(stored, "gray", profile(b"GRAY", gamma_tag(1.8)))
    expected = encode((stored / full) ** (round(1.8 * 256) / 256)) * 255
    assert converted.notes == ("Test profile converted to sRGB",)
    assert np.abs(to_8_bits(converted.rgb) - expected).max() < 1.5


def test_grey_without_a_profile_is_copied_to_three_channels() -> None:
    stored = np.array([[[0], [7], [255]]], np.uint8)
    converted = to_srgb(stored, "gray", None)
    np.testing.assert_array_equal(converted.rgb, stored.repeat(3, axis=-1))
    assert converted.notes == ("grey copied to red, green and blue",)


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        (b"junk" * 50, "broken ICC profile ignored"),
        (profile(b"GRAY", gamma_tag(1.8)), "ICC profile for GRAY ignored: the picture is RGB"),
    ],
)
def test_a_profile_that_cannot_be_used_is_noted_and_ignored(broken: bytes, note: str) -> None:
    stored = colours(10)
    converted = to_srgb(stored, "rgb", broken)
    np.testing.assert_array_equal(converted.rgb, stored)
    assert converted.notes == (note,)


def test_cmyk_without_a_profile() -> None:
    stored = np.random.default_rng(1).integers(0, 256, (5, 9, 4), dtype=np.uint8)
    converted = to_srgb(stored, "cmyk", None)
    ink = stored.astype(int)
    expected = (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255
    assert np.abs(converted.rgb - expected).max() <= 1
    assert converted.notes == ("CMYK without a usable profile converted to RGB",)


def test_lab_greys_have_the_srgb_level_of_their_lightness() -> None:
    """Reference: skimage.color.lab2rgb; neutral colours do not depend on the white point."""
    lightness = np.arange(0, 256, 5, dtype=np.uint8)
    stored = np.zeros((1, len(lightness), 3), np.uint8)
    stored[0, :, 0] = lightness
    lab = np.zeros(stored.shape)
    lab[0, :, 0] = lightness * (100 / 255)
    # Pillow holds a and b of a Lab picture as signed bytes: 0 is neutral.
    converted = to_srgb(stored, "lab", None)
    assert np.abs(converted.rgb - lab2rgb(lab) * 255).max() <= 2
    assert converted.notes == ("CIE Lab converted to sRGB",)
