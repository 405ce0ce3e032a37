"""Where the trained weights of LPIPS's networks are found, and the refusal of any others."""

from __future__ import annotations

import os
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from .base import MetricUnavailable
from .trunks import Trunk

ENVIRONMENT: Final = "VAEBENCH_WEIGHTS"
PUBLISHER: Final = "https://download.pytorch.org/models"
REACH_TIMEOUT_S: Final = 6.0


def trunk_weights(trunk: Trunk, folder: Path | None) -> tuple[Path, dict[str, Tensor]]:
    """Return the file and the float32 tensors of a trunk.

    Looked for in the weights folder (`folder`, else the VAEBENCH_WEIGHTS variable), in torch's
    hub cache, and last as a download into that cache.
    Raises: MetricUnavailable where none can be had, or the one found is not this network.
    """
    path = _in_folder(trunk, folder) or _in_hub_cache(trunk) or _downloaded(trunk, folder)
    return path, _checked(trunk, path)


def _weights_folder(folder: Path | None) -> Path | None:
    if folder is not None:
        return folder
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def _in_folder(trunk: Trunk, folder: Path | None) -> Path | None:
    root = _weights_folder(folder)
    if root is None:
        return None
    places = (root / "lpips" / trunk.file, root / trunk.file)
    return next((place for place in places if place.is_file()), None)


def _hub_path(trunk: Trunk) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / trunk.checkpoint


def _in_hub_cache(trunk: Trunk) -> Path | None:
    path = _hub_path(trunk)
    return path if path.is_file() else None


def _downloaded(trunk: Trunk, folder: Path | None) -> Path:
    url = f"{PUBLISHER}/{trunk.checkpoint}"
    path = _hub_path(trunk)
    digest = path.stem.rsplit("-", 1)[-1]
    reason = unreachable(url)
    if reason is None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), digest, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:
            reason = str(error)
    if reason is None:
        return path
    looked = _weights_folder(folder)
    missing = f"neither in {looked} nor" if looked is not None else "not"
    raise MetricUnavailable(
        f"LPIPS ({trunk.name}) has no trained network: {trunk.file} is {missing} in torch's hub "
        f"cache, and the download failed ({reason}). Pass --weights DIR with "
        f"DIR/lpips/{trunk.file}, set {ENVIRONMENT}=DIR, or put {url} at {path}."
    )


def unreachable(url: str) -> str | None:
    """Return why nothing answers at `url`, or None where something does.

    In a thread of its own: a name look-up can outlast any time-out given to the request.
    """
    answers: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=REACH_TIMEOUT_S):
                answers.append(None)
        except OSError as error:
            answers.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_S + 1.0)
    return answers[0] if answers else f"no answer within {REACH_TIMEOUT_S:.0f} s"


def _checked(trunk: Trunk, path: Path) -> dict[str, Tensor]:
    """Return exactly the trunk's tensors of a file; the classifier of a whole network is left."""
    found = {key: value for key, value in _read(path).items() if key.startswith("features.")}
    expected = trunk.shapes()
    wrong = [
        f"{key} is {_shape(found.get(key))}, expected {_shape(expected.get(key))}"
        for key in sorted(expected.keys() | found.keys())
        if _shape(found.get(key)) != _shape(expected.get(key))
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise MetricUnavailable(
            f"{path} is not LPIPS's {trunk.name} network: {'; '.join(wrong[:3])}{more}. "
            f"Replace it by torchvision's {trunk.checkpoint}."
        )
    return {key: value.to(torch.float32) for key, value in found.items()}


def _shape(tensor: Tensor | tuple[int, ...] | None) -> str:
    if tensor is None:
        return "absent"
    return str(list(tensor.shape if isinstance(tensor, Tensor) else tensor))


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, zipfile and pickle each raise their own
        raise MetricUnavailable(
            f"{path} cannot be read as weights ({error}). Remove or replace it."
        ) from error
    if not isinstance(state, Mapping):
        raise MetricUnavailable(f"{path} holds no tensors by name. Remove or replace it.")
    return {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
