"""Commands import what they need and no more: torch alone takes seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from vaebench.bench import run

HEAVY = ("torch", "torchvision", "diffusers", "torchmetrics", "lpips", "scipy", "skimage")
TABLES = ("numpy", "pandas", "matplotlib", "PIL", "sqlalchemy", "jinja2")

PROGRAM = """
import json, sys
from vaebench.bench.cli import main
sys.argv = ["vaebench", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""


def imported(*arguments: str, expected: int = 0) -> set[str]:
    """Return the top-level modules that a command has imported when it ends as expected."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert (code or 0) == expected, done.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_imports_neither_torch_nor_what_tables_need(arguments: list[str]) -> None:
    assert not imported(*arguments) & {*HEAVY, *TABLES}


def test_a_report_is_made_without_torch(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(images=[str(photos)], codecs=["jpeg:q=50", "png"], metrics=["psnr"], out=folder)
    (folder / "report.html").unlink()
    modules = imported("report", str(folder))
    assert (folder / "report.html").is_file()
    assert "pandas" in modules
    assert not modules & set(HEAVY)


def test_a_damaged_checkpoint_is_refused_before_diffusers_is_imported(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x08" + bytes(20))
    codec = f"mine={tmp_path / 'vae'}"
    modules = imported(
        "run", "--images", str(photos), "--codec", codec, "--out", str(tmp_path / "run"), expected=2
    )
    assert "diffusers" not in modules
