"""Finding a diffusers checkpoint: a folder, a pipeline, one file, a hub id, a demo name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import CodecError, first_line, listed, shortened
from ..demo import DEMO_CHECKPOINTS

WEIGHT_SUFFIXES = (".safetensors", ".sft", ".bin", ".ckpt", ".pt", ".pth")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SUBFOLDERS = ("", "vae", "vqvae", "movq")
_STEM = "diffusion_pytorch_model"
_MAX_JSON_BYTES = 1 << 24

Fetch = Callable[[str], Path | None]


@dataclass(frozen=True)
class Checkpoint:
    """Where a checkpoint's weights and config are.

    `config` is None where there is none and it must be inferred; `fetch` gets other files from
    beside the weights.
    """

    files: tuple[Path, ...]
    config: dict[str, Any] | None
    fetch: Fetch
    revision: str | None = None


def looks_like_path(source: str) -> bool:
    """Tell whether a source that does not exist was meant as a path."""
    return (
        source.startswith((".", "/", "~"))
        or "\\" in source
        or source.endswith(WEIGHT_SUFFIXES)
        or source.count("/") > 1
    )


def is_autoencoder_source(source: str) -> bool:
    """Tell whether a source can be a diffusers autoencoder, without reading any weights."""
    path = Path(source)
    if path.is_dir():
        return any((path / name).is_file() for name in ("config.json", "model_index.json")) or any(
            path.glob("*/config.json")
        )
    if path.is_file():
        return path.suffix in WEIGHT_SUFFIXES
    if source in DEMO_CHECKPOINTS:
        return True
    return not looks_like_path(source) and _HUB_ID.fullmatch(source) is not None


def find_checkpoint(
    source: str,
    subfolder: str | None,
    revision: str | None,
    config: str | None,
    local_files_only: bool,
) -> Checkpoint:
    """Return where a source's weights and config are, fetched where it is a hub id.

    Raises: CodecError where one of them is missing or cannot be fetched.
    """
    given = None if config is None else _read_config(_config_file(config))
    path = DEMO_CHECKPOINTS.get(source, Path(source))
    if path.is_file():
        return Checkpoint((path,), given or _sibling_config(path), _local(path.parent))
    if path.is_dir():
        return _in_folders(source, subfolder, given, lambda folder: _local(path / folder))
    from .hub import Hub

    hub = Hub.connect(source, revision, local_files_only)
    try:
        found = _in_folders(source, subfolder, given, hub.folder)
    except CodecError as error:
        if hub.names is None:
            raise hub.not_cached() from error
        raise
    return replace(found, revision=hub.commit_of(found.files[0]))


def _in_folders(
    source: str,
    subfolder: str | None,
    given: dict[str, Any] | None,
    open_folder: Callable[[str], Fetch],
) -> Checkpoint:
    for folder in _SUBFOLDERS if subfolder is None else (subfolder,):
        fetch = open_folder(folder)
        config = given
        if config is None and (file := fetch("config.json")) is not None:
            config = _read_config(file)
        if config is None or "_class_name" not in config:
            continue
        files = _weight_files(fetch)
        if files:
            return Checkpoint(files, config, fetch)
        if given is None:
            raise CodecError(
                f"Cannot open {source}: {folder or 'it'} has a config.json but no "
                f"{_STEM}.safetensors or .bin. Name the weights' file, with config={source}."
            )
    where = f"in {subfolder}" if subfolder is not None else "there or in its vae folder"
    raise CodecError(
        f"Cannot open {source}: no diffusers autoencoder {where}; a config.json with "
        f"_class_name, and {_STEM}.safetensors beside it, are expected."
    )


def _local(folder: Path) -> Fetch:
    def fetch(name: str) -> Path | None:
        path = folder / name
        try:
            return path if path.is_file() else None
        except OSError:
            # A name too long for any file.
            return None

    return fetch


def _weight_files(fetch: Fetch) -> tuple[Path, ...]:
    # Full precision first, and safetensors before pickles.
    for variant in ("", ".fp16", ".bf16"):
        for suffix in (".safetensors", ".bin"):
            if (file := fetch(f"{_STEM}{variant}{suffix}")) is not None:
                return (file,)
            if (index := fetch(f"{_STEM}{suffix}.index{variant}.json")) is not None:
                return _shards(index, fetch)
    return ()


def _shards(index: Path, fetch: Fetch) -> tuple[Path, ...]:
    placed: Any = _read_config(index).get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
        raise CodecError(f"Cannot load {index}: its weight_map does not name a file a tensor.")
    names = sorted(set(placed.values()))
    files = {name: fetch(name) for name in names if name == Path(name).name}
    missing = [name for name in names if files.get(name) is None]
    if missing:
        told = listed(map(repr, missing))
        raise CodecError(f"Cannot load {index}: it names files that are not there: {told}.")
    return tuple(file for file in files.values() if file is not None)


def _config_file(config: str) -> Path:
    path = Path(config)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise CodecError(f"Cannot read config={config}: there is no config.json.")
    return path


def _sibling_config(path: Path) -> dict[str, Any] | None:
    # Only a file named as diffusers does belongs for certain to the config beside it.
    config = path.with_name("config.json")
    return _read_config(config) if path.name.startswith(_STEM) and config.is_file() else None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_JSON_BYTES + 1)
        if len(text) > _MAX_JSON_BYTES:
            raise CodecError(
                f"Cannot read {path}: it has more than {_MAX_JSON_BYTES >> 20} MiB, the limit for "
                "a config or an index."
            )
        content = json.loads(text)
    except OSError as error:
        raise CodecError(
            f"Cannot read {path}: {error.strerror}. Check the file and its rights."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CodecError(f"Cannot read {path}: no valid JSON ({first_line(error)}).") from error
    if not isinstance(content, dict):
        raise CodecError(f"Cannot read {path}: a JSON object is expected.")
    _check_scaling(path, content)
    return content


def _check_scaling(path: Path, config: dict[str, Any]) -> None:
    """Refuse what latents cannot be scaled by, before it spoils every score."""
    for key in ("scaling_factor", "shift_factor"):
        value = config.get(key)
        if value is None:
            continue
        if not _is_finite(value) or (key == "scaling_factor" and value == 0):
            raise CodecError(
                f"Cannot use {path}: {key} is {shortened(repr(value))}, a finite number"
                f"{' other than 0' if key == 'scaling_factor' else ''} is expected."
            )


def _is_finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False
