"""What this installation can do and what it lacks: gathered, not printed."""

from __future__ import annotations

import getpass
import importlib
import importlib.util
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import HistoryError, VaebenchError
from ..store.environment import git_revision, read_environment, version_of

NEEDED_BYTES = 200_000_000
"""What a plain run writes, several times over."""

_NEEDED = (
    *("torch", "diffusers", "numpy", "pillow", "pandas", "pyarrow", "safetensors", "pydantic"),
    *("scikit-image", "scipy", "matplotlib", "jinja2", "sqlalchemy", "typer"),
)
_HELPFUL = (
    *("torchvision", "torchmetrics", "lpips", "transformers", "huggingface_hub", "nvidia-ml-py"),
    *("psycopg", "pyiqa", "pillow-jxl-plugin"),
)
_MODULES = {"pillow": "PIL", "scikit-image": "skimage"}
_PILLOW_FORMATS = {
    "JPEG": "jpg",
    "PNG": "zlib",
    "WebP": "webp",
    "AVIF": "avif",
    "JPEG 2000": "jpg_2000",
    "TIFF": "libtiff",
    "ICC profiles": "littlecms2",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `problem` says what does not work and how to mend it; `is_needed` that a plain `vaebench run`
    fails with it.
    """

    topic: str
    value: str
    problem: str | None = None
    is_needed: bool = False


def examine(weights: Path | None = None) -> list[Finding]:
    """Look at everything a run relies on; nothing is fetched from a network but the history.

    Args:
        weights: the folder of LPIPS's networks, as for a run.
    Returns: in the order in which they are told, without the home folder and the user's name.
    """
    found: list[Finding] = []
    for topic, look in _looks(weights):
        try:
            found.extend(look())
        except Exception as error:
            # Whatever fails here is what the doctor is asked about.
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            found.append(Finding(topic, "unknown", f"it cannot be looked at ({told})", True))
    return [
        Finding(
            entry.topic,
            impersonal(entry.value),
            None if entry.problem is None else impersonal(entry.problem),
            entry.is_needed,
        )
        for entry in found
    ]


def _looks(weights: Path | None) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    return [
        ("versions", _versions),
        ("device", _devices),
        ("formats", _formats),
        ("codecs", _codecs),
        ("sample pictures", _sample),
        ("LPIPS", lambda: _lpips(weights)),
        ("history", _history),
        ("working folder", _working_folder),
    ]


def impersonal(text: str) -> str:
    """Return a text with ~ for the home folder and <user> for the user's name in other paths."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)", "<user>", text)


def _versions() -> Iterator[Finding]:
    git = git_revision(Path(__file__).resolve().parents[2])
    version = version_of("vaebench") or "not installed"
    yield Finding("vaebench", f"{version} (git {git})" if git else version)
    yield Finding("python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    for name in _NEEDED:
        version = version_of(name)
        problem = None if version else f"it is not installed; run pip install {name}"
        if version is not None:
            problem = _import_problem(_MODULES.get(name, name))
        yield Finding(name, version or "absent", problem, True)
    for name in _HELPFUL:
        yield Finding(name, version_of(name) or "absent")


def _import_problem(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"it cannot be imported ({told}); install it again"
    return None


def _devices() -> Iterator[Finding]:
    environment = read_environment()
    yield Finding("device", environment.device)
    yield Finding("cpu", environment.cpu)
    if environment.cuda is not None:
        yield Finding("cuda", f"{environment.cuda}, driver {environment.driver or 'unknown'}")
    elif shutil.which("nvidia-smi"):
        yield Finding(
            "cuda",
            "not available to torch",
            "nvidia-smi is here, but this torch finds no GPU; install torch for CUDA",
        )
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = os.environ.get("OMP_NUM_THREADS")
    yield Finding(
        "threads",
        f"{environment.threads} of {usable} usable cores"
        + (f" (OMP_NUM_THREADS={given})" if given else ""),
    )


def _formats() -> Iterator[Finding]:
    from PIL import features

    for name, feature in _PILLOW_FORMATS.items():
        has = bool(features.check(feature))
        version = features.version(feature) if has else None
        needed = name in ("JPEG", "PNG", "WebP")
        problem = None if has else f"Pillow is built without {name}; install its own wheel"
        yield Finding(name, version or ("yes" if has else "no"), problem, needed)
    has_jxl = importlib.util.find_spec("pillow_jxl") is not None
    yield Finding("JPEG XL", "yes" if has_jxl else "no (pip install pillow-jxl-plugin)")


def _codecs() -> Iterator[Finding]:
    from ..api import DEFAULT_CODECS
    from ..codecs import open_spec
    from ..suite import CodecSpec

    for text in DEFAULT_CODECS:
        spec = CodecSpec.parse(text)
        try:
            open_spec(spec)
        except VaebenchError as error:
            yield Finding(f"codec {spec.name}", "does not open", str(error), True)
        else:
            yield Finding(f"codec {spec.name}", "opens")


def _sample() -> Iterator[Finding]:
    from ..images.sample import sample_paths

    try:
        yield Finding("sample pictures", f"{len(sample_paths())} found")
    except VaebenchError as error:
        yield Finding("sample pictures", "absent", str(error), True)


def _lpips(weights: Path | None) -> Iterator[Finding]:
    import torch

    from ...metrics import MetricUnavailable
    from ...metrics.trunk_weights import ENVIRONMENT, trunk_weights
    from ...metrics.trunks import ALEX, SQUEEZE, VGG

    named = os.environ.get(ENVIRONMENT)
    root = weights or (Path(named) if named else None)
    for trunk in (ALEX, SQUEEZE, VGG):
        places = [] if root is None else [root / "lpips" / trunk.file, root / trunk.file]
        places.append(Path(torch.hub.get_dir()) / "checkpoints" / trunk.checkpoint)
        topic = f"lpips-{trunk.name}"
        if not any(place.is_file() for place in places):
            looked = ", ".join(str(place) for place in places)
            # Of the three only AlexNet's is in a plain run.
            problem = (
                f"no trained network; pass --weights DIR or set {ENVIRONMENT}"
                if trunk is ALEX
                else None
            )
            yield Finding(topic, f"not found (looked at {looked})", problem)
            continue
        try:
            path, _ = trunk_weights(trunk, weights)
        except MetricUnavailable as error:
            yield Finding(topic, "not usable", str(error))
        else:
            yield Finding(topic, str(path))


def _history() -> Iterator[Finding]:
    import platformdirs

    from ..store.history.database import OFF, open_history
    from ..store.history.engines import is_url

    named = os.environ.get("VAEBENCH_HISTORY") or None
    if named is None or not is_url(named):
        path = Path(named or platformdirs.user_data_path("vaebench") / "history.sqlite")
        if named != OFF and not path.exists():
            yield Finding("history", f"none yet; the first run makes {path}", _unwritable(path))
            return
    try:
        history = open_history(named)
    except HistoryError as error:
        yield Finding("history", "cannot be reached", _without_user(str(error)))
        return
    yield Finding("history", _without_user("off" if history is None else history.name))


def _without_user(text: str) -> str:
    """Leave out who logs in: a database's user is often the person's name."""
    return re.sub(r"(?<=://)[^@/\s]*@", "", text)


def _unwritable(path: Path) -> str | None:
    """Return why a file cannot be made, None where it can."""
    there = next(parent for parent in path.absolute().parents if parent.exists())
    return None if os.access(there, os.W_OK) else f"{there} cannot be written; pass --history PATH"


def _working_folder() -> Iterator[Finding]:
    folder = Path.cwd()
    problem = None
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"vaebench")
    except OSError as error:
        problem = f"it cannot be written ({error.strerror}); pass --out FOLDER"
    yield Finding("working folder", str(folder), problem, True)
    free = shutil.disk_usage(folder).free
    problem = None if free >= NEEDED_BYTES else "a run may not fit; make room"
    yield Finding("free disk", f"{free / 1e9:.1f} GB", problem, True)
