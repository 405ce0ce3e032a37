"""The wheel holds every module and data file of the tree, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("bench", "metrics", "reports")
DATA = (
    "py.typed",
    "*.json",
    "*.safetensors",
    "README.md",
    "*.j2",
    "*.css",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel where another tree was built before, and return the names in it."""
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    for name in (*ROOMS, "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    left = source / "build" / "lib" / "vaebench" / "bench"
    left.mkdir(parents=True)
    (left / "gone.py").touch()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(out),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return {name for name in zipfile.ZipFile(built).namelist() if ".dist-info/" not in name}


def test_every_module_is_in_the_wheel(wheel: set[str]) -> None:
    modules = {
        f"vaebench/{path.relative_to(ROOT).as_posix()}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }
    assert modules <= wheel
    assert {name for name in wheel if name.endswith(".py")} == modules


def test_every_data_file_is_in_the_wheel(wheel: set[str]) -> None:
    data = {
        f"vaebench/{path.relative_to(ROOT).as_posix()}"
        for room in ROOMS
        for pattern in DATA
        for path in (ROOT / room).rglob(pattern)
        if "__pycache__" not in path.parts and "published" not in path.parts
    }
    assert data <= wheel
    assert any(name.endswith("report.html.j2") for name in wheel)
    assert sum(name.endswith(".safetensors") for name in wheel) == 2


def test_nothing_lies_outside_the_package(wheel: set[str]) -> None:
    assert all(name.startswith("vaebench/") for name in wheel)
    assert "vaebench/__init__.py" not in wheel
