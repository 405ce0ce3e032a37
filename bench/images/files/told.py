"""What a file says of its colours: a profile, wherever it lies, or numbers that stand for one."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .boxes import heif_colours, jpeg2000_colours
from .code_points import (
    ADOBE_RGB,
    ADOBE_TRANSFER,
    PRIMARIES,
    ROMM,
    ROMM_TRANSFER,
    SRGB,
    SRGB_TRANSFER,
    TRANSFERS,
    WIDE_GAMUT,
    Primaries,
    Transfer,
    power,
    table,
)
from .png import chunks_of

_UNSPECIFIED = 2
_USUAL_GAMMA = (45450, 45460)
"""What encoders write in gAMA for the sRGB curve, which PNG's specification asks of them."""


@dataclass(frozen=True)
class Told:
    """What decides a picture's colours: an ICC profile or, told by numbers, these.

    `by` names what told it. A transfer function without curves has no way to sRGB.
    """

    profile: bytes | None = None
    by: str = ""
    primaries: Primaries = SRGB
    transfer: Transfer = SRGB_TRANSFER
    notes: tuple[str, ...] = ()

    @property
    def is_srgb(self) -> bool:
        """Whether the numbers are sRGB's own."""
        return self.primaries is SRGB and self.transfer is SRGB_TRANSFER

    @property
    def name(self) -> str:
        """What notes call the colours."""
        return f"{self.primaries.name} primaries, {self.transfer.name} (told by {self.by})"


SRGB_TOLD = Told()
"""What holds where a file tells nothing."""


def colours_of(image: Image.Image, path: Path, profile: bytes | None = None) -> Told:
    """Return what an opened picture's file says of its colours.

    The order is that of each format's own specification, with an ICC profile before EXIF.

    Args:
        profile: an ICC profile of the file's, where it is not among what Pillow was shown.
    """
    profile = profile or image.info.get("icc_profile") or _hidden_profile(image, path)
    told: Told | None = None
    match image.format:
        case "PNG":
            told = _png(path, profile)
        case "AVIF" | "HEIF":
            told = None if profile else _heif(path)
        case "JPEG2000":
            told = _jpeg2000(path)
        case "BMP":
            told = _bmp(path)
        case _:
            pass
    if told is not None:
        return told
    if profile:
        return Told(profile)
    return _exif(image) or SRGB_TOLD


def by_code_points(by: str, primaries: int, transfer: int, is_full_range: bool) -> Told | None:
    """Return what H.273's numbers mean; None where they specify nothing."""
    if primaries == transfer == _UNSPECIFIED and is_full_range:
        return None
    curve = TRANSFERS.get(transfer, Transfer(f"unknown transfer function {transfer}"))
    if primaries not in PRIMARIES:
        curve = Transfer(f"unknown primaries {primaries}")
    elif not is_full_range:
        curve = Transfer(f"{curve.name}, narrow range (16 to 235)")
    return Told(None, by, PRIMARIES.get(primaries, SRGB), curve)


def _png(path: Path, profile: bytes | None) -> Told | None:
    """cICP, iCCP, sRGB, then gAMA with cHRM: PNG specification, third edition, 4.3."""
    found = chunks_of(path, (b"cICP", b"sRGB", b"gAMA", b"cHRM"))
    if len(code := found.get(b"cICP", b"")) >= 4:
        told = by_code_points("cICP", code[0], code[1], bool(code[3]))
        if told is not None:
            is_moot = profile is not None and told.is_srgb
            return replace(told, notes=("ICC profile ignored: cICP says sRGB",) if is_moot else ())
    if profile is not None:
        return None
    if b"sRGB" in found:
        return Told(by="sRGB")
    gamma = int.from_bytes(found[b"gAMA"][:4], "big") if b"gAMA" in found else 0
    points = found.get(b"cHRM", b"")
    has_points = len(points) >= 32
    if not gamma and not has_points:
        return Told(notes=("gAMA of 0 ignored",)) if b"gAMA" in found else None
    told = Told(by=" and ".join(["cHRM"] * has_points + ["gAMA"] * bool(gamma)))
    if has_points:
        white, *rest = _pairs([value / 100_000 for value in struct.unpack_from(">8i", points)])
        told = _with_points(told, rest, white)
    is_usual = _USUAL_GAMMA[0] <= gamma <= _USUAL_GAMMA[1] and told.primaries is SRGB
    return _with_gamma(told, 100_000 / gamma) if gamma and not is_usual else told


def _with_gamma(told: Told, exponent: float) -> Told:
    if not 0.1 < exponent < 10:
        return replace(told, notes=(*told.notes, f"a gamma of {exponent:.4g} ignored"))
    linear = TRANSFERS[8]
    curve = Transfer(f"gamma {exponent:.5g}", (power(exponent),))
    return replace(told, transfer=linear if abs(exponent - 1) < 0.01 else curve)


def _pairs(values: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(values[::2], values[1::2], strict=True))


def _with_points(
    told: Told, points: Sequence[tuple[float, float]], white: tuple[float, float]
) -> Told:
    """Add chromaticities of red, green and blue; as it was, and noted, where they are none."""
    known = (SRGB, ADOBE_RGB, *PRIMARIES.values())
    for primaries in known:
        own = (primaries.red, primaries.green, primaries.blue, primaries.white)
        if all(math.dist(a, b) < 0.002 for a, b in zip((*points, white), own, strict=True)):
            return replace(told, primaries=primaries)
    primaries = Primaries("its own primaries", points[0], points[1], points[2], white)
    try:
        primaries.to_xyz()
    except ValueError as error:
        return replace(told, notes=(*told.notes, f"primaries ignored: {error}"))
    return replace(told, primaries=primaries)


def _heif(path: Path) -> Told | None:
    data = path.read_bytes()
    for body in heif_colours(data):
        if body[:4] == b"nclx" and len(body) >= 11:
            primaries, transfer = struct.unpack_from(">HH", body, 4)
            # The decoder widens a narrow range by itself.
            return by_code_points("nclx", primaries, transfer, is_full_range=True)
    return None


def _jpeg2000(path: Path) -> Told | None:
    for body in jpeg2000_colours(path.read_bytes()):
        method, rest = body[:1], body[3:]
        if method in (b"\2", b"\3") and len(rest) > 128:
            return Told(rest)
        if method == b"\5" and len(rest) >= 7:
            primaries, transfer = struct.unpack_from(">HH", rest)
            return by_code_points("colr", primaries, transfer, is_full_range=True)
        if method == b"\1" and len(rest) >= 4:
            number = int.from_bytes(rest[:4], "big")
            if number in (12, 16, 17, 18):
                return Told(by="colr")
            if number == 21:
                return Told(None, "colr", ROMM, ROMM_TRANSFER)
            name = {14: "CIE Lab", 20: "e-sRGB", 24: "e-sYCC"}.get(number, f"space {number}")
            return Told(None, "colr", SRGB, Transfer(f"JPEG 2000's {name}"))
    return None


def _bmp(path: Path) -> Told | None:
    """The headers of versions 4 and 5: a profile, sRGB, or end points and gammas."""
    with path.open("rb") as file:
        head = file.read(138)
        (size,) = struct.unpack_from("<I", head, 14) if len(head) >= 18 else (0,)
        if size < 108 or len(head) < 122:
            return None
        kind = head[70:74][::-1]
        if kind == b"MBED" and size >= 124 and len(head) >= 138:
            offset, length = struct.unpack_from("<II", head, 126)
            file.seek(14 + offset)
            return Told(file.read(min(length, 1 << 24)))
    if kind == b"LINK":
        return Told(notes=("ICC profile in another file not looked at: taken as sRGB",))
    values = struct.unpack_from("<9i3I", head, 74)
    if kind != bytes(4) or not any(values[:9]):
        return None
    ends = np.array(values[:9], np.float64).reshape(3, 3) / 2**30
    sums = ends.sum(axis=1)
    if (sums <= 0).any():
        return Told(notes=("end points of its header ignored: they are no colours",))
    points = [(float(x), float(y)) for x, y in ends[:, :2] / sums[:, None]]
    # Some write the points' chromaticities, which say nothing of the white.
    total = ends.sum(axis=0)
    is_points = bool((abs(sums - 1) < 0.01).all())
    white = (
        SRGB.white if is_points else (float(total[0] / sums.sum()), float(total[1] / sums.sum()))
    )
    told = _with_points(Told(by="the BMP header"), points, white)
    gammas = [value / 65536 for value in values[9:]]
    if not all(0.1 < gamma < 10 for gamma in gammas):
        return told
    if max(gammas) - min(gammas) < 1e-3:
        return _with_gamma(told, gammas[0])
    name = "gammas " + ", ".join(f"{gamma:.5g}" for gamma in gammas)
    return replace(told, transfer=Transfer(name, tuple(map(power, gammas))))


def _hidden_profile(image: Image.Image, path: Path) -> bytes | None:
    """Return a profile where Pillow does not look: Photoshop's resources, GIF's extension."""
    resources: Any = image.info.get("photoshop")
    if isinstance(resources, dict) and isinstance(found := resources.get(0x040F), bytes):
        return found
    if image.format == "GIF":
        data = path.read_bytes()
        at = data.find(b"!\xff\x0bICCRGBG1012")
        if at >= 0:
            return _sub_blocks(data, at + 14)
    return None


def _sub_blocks(data: bytes, at: int) -> bytes:
    found = bytearray()
    while at < len(data) and data[at]:
        found += data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    return bytes(found)


def _exif(image: Image.Image) -> Told | None:
    """EXIF 2.32 and DCF 2.0 (R03 is Adobe RGB), and what TIFF 6.0 has of its own."""
    try:
        tags = image.getexif()
        space = tags.get_ifd(0x8769).get(0xA001)
        index = tags.get_ifd(0xA005).get(1)
        points = _floats(tags.get(319), 6)
        white = _floats(tags.get(318), 2) or list(SRGB.white)
        transfer = _floats(tags.get(301), None)
        gamma = _floats([tags.get_ifd(0x8769).get(0xA500)], 1)
    except MemoryError:
        raise
    except Exception:
        # Broken EXIF is noted where its orientation is asked for.
        return None
    by = "TIFF tags" if image.format == "TIFF" else "EXIF"
    is_adobe = space == 2 or (space != 1 and str(index).startswith(("R03", "b'R03")))
    if points:
        red, green, blue = _pairs(points)
        told = _with_points(Told(by=by), (red, green, blue), (white[0], white[1]))
        if told.primaries is ADOBE_RGB:
            told = replace(told, transfer=ADOBE_TRANSFER)
    elif is_adobe:
        told = Told(None, by, ADOBE_RGB, ADOBE_TRANSFER)
    elif space == 0xFFFD:
        told = Told(None, by, WIDE_GAMUT, ADOBE_TRANSFER)
    else:
        told = Told(by=by)
    if transfer and (curves := _tables(transfer)):
        return replace(told, transfer=Transfer("its own transfer function", curves))
    if space == 1 and told.is_srgb:
        return told
    if gamma and (points or space == 0xFFFF) and told.transfer is SRGB_TRANSFER:
        return _with_gamma(told, gamma[0])
    if space == 0xFFFF and told.is_srgb and not points:
        return replace(told, notes=("colours that EXIF calls uncalibrated taken as sRGB",))
    return told if points or not told.is_srgb else None


def _floats(value: Any, count: int | None) -> list[float]:
    """Return a tag's finite numbers; empty where it has none or another count of them."""
    if not isinstance(value, tuple | list):
        return []
    try:
        numbers = [float(item) for item in value]
    except (TypeError, ValueError, ZeroDivisionError):
        return []
    is_good = all(map(math.isfinite, numbers)) and count in (None, len(numbers))
    return numbers if is_good else []


def _tables(transfer: Sequence[float]) -> tuple[Any, ...]:
    """Return TransferFunction's one curve or three; none where it has no number of levels."""
    each = len(transfer) // 3 if len(transfer) % 3 == 0 else len(transfer)
    if each < 2 or each & (each - 1):
        return ()
    rows = np.asarray(transfer, np.float64).reshape(-1, each) / 65535
    return tuple(table(np.clip(row, 0, 1)) for row in rows)
