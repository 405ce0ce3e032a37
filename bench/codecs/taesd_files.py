"""Which files are checkpoints in TAESD's own format: two halves, or one file with both.

Source: https://github.com/madebyollin/taesd.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path

from ..errors import CodecError

_SUFFIXES = (".pth", ".sft", ".safetensors")
_HALF = re.compile(r"(encoder|decoder)", re.IGNORECASE)
_OTHER = {"encoder": "decoder", "decoder": "encoder"}
# The first block of an encoder half: the name that diffusers' AutoencoderTiny has no use for.
_BOTH = b"encoder.1.conv.0.weight", b"encoder.4.conv.0.weight"
_MAX_HEADER = 1 << 22


def is_taesd_source(source: str) -> bool:
    """Tell whether a source is a checkpoint of TAESD's format, without loading its weights."""
    path = Path(source)
    if path.is_dir():
        return not (path / "config.json").exists() and bool(_halves(path))
    if not path.is_file() or path.suffix not in _SUFFIXES:
        return False
    return _holds_both(path) or (bool(_half(path)) and _counterpart(path).is_file())


def find_halves(source: str) -> dict[str, Path]:
    """Return the files of a checkpoint under "encoder" and "decoder", or the one under "both".

    Raises: CodecError where a half is missing, or a folder holds more than one checkpoint.
    """
    path = Path(source)
    if path.is_file():
        if _holds_both(path):
            return {"both": path}
        return {_half(half): half for half in (path, _counterpart(path))}
    halves = _halves(path)
    if sorted(map(_half, halves)) == ["decoder", "encoder"]:
        return {_half(half): half for half in halves}
    names = ", ".join(half.name for half in halves)
    encoders = [half.name for half in halves if _half(half) == "encoder"]
    if len(encoders) > 1:
        raise CodecError(
            f"Cannot open {source}: it holds several checkpoints ({names}). "
            f"Name a file of one, say {path / encoders[0]}."
        )
    raise CodecError(
        f"Cannot open {source}: an encoder's and a decoder's file are expected, found {names}."
    )


def _half(path: Path) -> str:
    match = _HALF.search(path.stem)
    return match[0].lower() if match else ""


def _counterpart(path: Path) -> Path:
    return path.with_name(
        _HALF.sub(lambda match: _OTHER[match[0].lower()], path.stem, count=1) + path.suffix
    )


def _halves(folder: Path) -> list[Path]:
    # Of two files of one name, safetensors, sorted last, wins.
    found = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES}
    return [path for stem, path in found.items() if _HALF.search(stem)]


def _holds_both(path: Path) -> bool:
    """Tell by a file's header whether it holds both halves; a pickle is searched, not loaded."""
    try:
        if path.suffix in (".safetensors", ".sft"):
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = file.read(min(size, _MAX_HEADER))
        else:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
                header = archive.open(names[0]).read(_MAX_HEADER) if names else b""
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        # Loading it tells what is wrong.
        return False
    return any(mark in header for mark in _BOTH)
