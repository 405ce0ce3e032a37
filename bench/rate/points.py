"""Measured points on disk, by content: what was measured once is never measured again.

A file has a checksum, so that a damaged point is measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import RunFolderError
from ..records import CodecInfo, ImageRef
from ..store.environment import version_of
from ..store.sealed import opened, read_json, write_sealed

_PACKAGES = (
    "vaebench",
    "torch",
    "diffusers",
    "numpy",
    "pillow",
    "pillow-jxl-plugin",
    "constriction",
)
_PILLOW_CODERS = ("jpg", "webp", "avif", "jpg_2000")


@dataclass(frozen=True)
class Point:
    """One codec at one setting on one picture.

    `values` is by metric variant, None where a metric could not be computed (then `reasons` says
    why). `entropy_bits` and `elements` (of the latents) are an autoencoder's alone.
    """

    nbytes: int
    values: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    entropy_bits: float | None = None
    header_bytes: float | None = None
    elements: int | None = None

    def lacks(self, variants: Sequence[str]) -> bool:
        """Return whether a metric has not been tried yet."""
        return any(variant not in self.values for variant in variants)


def read_versions(device: str) -> dict[str, str]:
    """Return everything beside codec and picture that a point depends on: library versions."""
    from PIL import features

    found = {package: version_of(package) for package in _PACKAGES}
    versions = {"device": device} | {name: version for name, version in found.items() if version}
    coders = {name: features.version(name) for name in _PILLOW_CODERS}
    return versions | {f"pillow {name}": version for name, version in coders.items() if version}


def codec_identity(info: CodecInfo) -> dict[str, Any]:
    """Return what decides a codec's bytes and pixels; its name does not.

    A codec with weights is known by their hash: a checkpoint that moved is the same codec.
    """
    known = asdict(info)
    names = ["family", "settings", "weights_sha256", "dtype", "device", "revision"]
    if info.weights_sha256 is None:
        names.append("source")
    return {name: known[name] for name in names}


@dataclass(frozen=True)
class PointCache:
    """Points below a folder, one file each, under the hash of all that decides them."""

    folder: Path
    versions: dict[str, str]

    def key(self, identity: dict[str, Any], image: ImageRef, background: str) -> str:
        """Return the name under which a codec's point at a setting is kept."""
        return self.hashed(identity, image.sha256, background)

    def hashed(self, *what: Any) -> str:
        """Return the hash of anything that JSON can hold, together with the versions."""
        text = json.dumps([*what, self.versions], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def read(self, key: str) -> Point | None:
        """Return a point; None where it was not measured, or its file is damaged."""
        kept = self.read_json(key)
        try:
            return None if kept is None else Point(**kept)
        except TypeError:
            return None

    def write(self, key: str, point: Point) -> None:
        """Keep a point; what was known of other metrics stays."""
        known = self.read(key)
        if known is not None:
            values, reasons = known.values | point.values, known.reasons | point.reasons
            point = replace(point, values=values, reasons=reasons)
        self.write_json(key, asdict(point))

    def read_json(self, key: str) -> dict[str, Any] | None:
        """Return what is kept under a key; None where nothing is, or it is damaged."""
        try:
            fields = opened(read_json(self._path(key)))
        except (OSError, ValueError, AttributeError):
            return None
        return fields["kept"] if fields["key"] == key else None

    def write_json(self, key: str, value: dict[str, Any]) -> None:
        """Keep a value under a key. Raises: RunFolderError where the disk does not take it."""
        with kept_so_far(self._path(key)):
            write_sealed(self._path(key), {"key": key, "kept": value})

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


@contextmanager
def kept_so_far(path: Path) -> Generator[None]:
    """Say of a file that the disk does not take how to go on. Raises: RunFolderError.

    No OSError: that a codec may raise as well, and the sweep goes on without its point.
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"Cannot write {path}: {error.strerror}. All points so far are kept: make room there, "
            "or make it writable, and give the same command again."
        ) from error
