"""A picture's format by its first bytes, whatever its name.

Source: the formats' own specifications; ISO/IEC 23008-12, annex B for the brands of HEIF.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from PIL import Image

BY_MARK = ("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "TIFF", "GIF", "BMP", "PPM")
"""The formats that are read by their mark, as Pillow calls them."""
READ = (*BY_MARK, "TGA")
"""The formats that are read."""

HEIF_EXTRA = "pip install 'vaebench[heif]'"
HEAD_BYTES = 64
"""What tells a format."""

# EPS would start Ghostscript; the others are stubs that Pillow recognises but cannot decode.
NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_HEVC = rb"he(?:ic|ix|im|is|vc|vx|vm|vs)"
_UNKNOWN_TO_PILLOW = {
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "camera raw (CR3)": rb"....ftypcrx ",
    "HEIC": rb"....ftyp(?:" + _HEVC + rb"|(?:mif1|msf1)(?:....)+" + _HEVC + rb")",
    "AVIF": rb"....ftyp(?:avi[fs]|(?:mif1|msf1)(?:....)+avi[fs])",
    "HEIF": rb"....ftyp(?:mif1|msf1|mif2|heif|j2ki|jpeg)",
    "camera raw (RAF)": rb"FUJIFILMCCD-RAW",
    "camera raw (ORF)": rb"IIR[OS]|MMOR",
    "camera raw (RW2)": rb"IIU\0",
    "camera raw (X3F)": rb"FOVb",
    "JPEG XR": rb"II\xbc",
    "OpenEXR": rb"v/1\x01",
    "Radiance HDR": rb"#\?(?:RADIANCE|RGBE)",
    "PFM": rb"PF[\r\n]",
    "BPG": rb"BPG\xfb",
    "FLIF": rb"FLIF",
}
_SURE = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF....WEBP",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM....\0\0\0\0...\0[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "PSD": rb"8BPS\0[\1\2]",
    "QOI": rb"qoif....",
    "DDS": rb"DDS \x7c\0\0\0",
}
"""Marks long enough to tell a picture from text and data, of formats that Pillow knows."""
_OTHER_SUFFIXES = {
    ".heic": "HEIC",
    ".heics": "HEIC",
    ".heif": "HEIC",
    ".heifs": "HEIC",
    ".hif": "HEIC",
    ".jxl": "JPEG XL",
}
_RAW_SUFFIXES = {
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".orf"),
    *(".rw2", ".raf", ".pef", ".srw", ".x3f", ".3fr", ".erf", ".iiq"),
}


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes, lower case with their dot, of a folder's pictures.

    Those of formats that are not read are among them, so that such a picture is told, not lost.
    """
    registered = Image.registered_extensions()
    # MPO is opened as the JPEG that it begins with.
    pictures = {*Image.ID, "MPO"} - NO_PICTURES
    known = {suffix for suffix, name in registered.items() if name in pictures}
    return frozenset(known | set(_OTHER_SUFFIXES) | _RAW_SUFFIXES)


def has_mark(path: Path) -> bool:
    """Return whether a regular file begins as a picture does, beyond chance."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    return any(
        re.match(mark, head, re.DOTALL)
        for name, mark in (_UNKNOWN_TO_PILLOW | _SURE).items()
        # Two bytes, FF 0A, are the whole mark of a JPEG XL without boxes.
        if name != "JPEG XL" or head[:1] == b"\0"
    )


def format_of(head: bytes, suffix: str) -> str | None:
    """Return the format whose mark a file begins with; its suffix's where that has none."""
    for name, mark in (_UNKNOWN_TO_PILLOW | _SURE).items():
        if re.match(mark, head, re.DOTALL):
            return name
    named = Image.registered_extensions().get(suffix)
    # The marks of some formats that are not read are short: CUR's is how many TGA begin.
    for name in (*BY_MARK, named, *Image.ID):
        if name in Image.OPEN and name not in NO_PICTURES:
            mark = Image.OPEN[name][1]
            if mark(head) if mark else name == named:
                return name
    return None


def named_format(suffix: str) -> str | None:
    """Return the format that a file's suffix, lower case with its dot, stands for."""
    return _OTHER_SUFFIXES.get(suffix) or Image.registered_extensions().get(suffix)


def opens_heif() -> bool:
    """Return whether HEIC and HEIF can be read, which pillow-heif does; it is made ready."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    if "HEIF" not in Image.OPEN:
        plugin: Any = importlib.import_module("pillow_heif")
        plugin.register_heif_opener()
    return True
