"""Fingerprint of the machine and the libraries that made the numbers."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from ..records import Environment

LIBRARIES = (
    "lpips",
    "numpy",
    "pandas",
    "pillow",
    "pyiqa",
    "safetensors",
    "scikit-image",
    "torchmetrics",
    "torchvision",
)


def read_environment() -> Environment:
    """Return the fingerprint of this process: device, driver, versions, threads."""
    import torch

    cuda = torch.cuda.is_available()
    return Environment(
        device=torch.cuda.get_device_name() if cuda else "cpu",
        driver=_output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        if cuda
        else None,
        cuda=torch.version.cuda if cuda else None,
        torch=torch.__version__,
        diffusers=version_of("diffusers") or "absent",
        vaebench=version_of("vaebench") or "not installed",
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        cpu=_cpu_model(),
        threads=torch.get_num_threads(),
        git=git_revision(Path(__file__).resolve().parents[2]),
        libraries={name: version for name in LIBRARIES if (version := version_of(name))},
    )


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution; None where it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} ({os.cpu_count()} cores)"


def git_revision(folder: Path) -> str | None:
    """Return the commit of the checkout whose root a folder is, with + where it was changed since.

    None where the folder is no checkout's root, or git is not there.
    """
    if not (folder / ".git").exists():
        return None
    revision = _output("git", "-C", str(folder), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+" if revision and changed else revision


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None
