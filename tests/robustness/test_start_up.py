"""Commands import what they need and no more: torch alone takes seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from vaebench.bench import run
from vaebench.bench.codecs.demo import DEMO_CHECKPOINTS

HEAVY = ("torch", "torchvision", "diffusers", "torchmetrics", "lpips", "scipy", "skimage")
TABLES = ("numpy", "pandas", "matplotlib", "PIL", "sqlalchemy", "jinja2")

PROGRAM = """
import json, sys
from vaebench.bench.cli.app import main
sys.argv = ["vaebench", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps([code, sorted(name for name in sys.modules if "." not in name)]))
"""

OPENING = """
import json, sys
from vaebench.bench.codecs import open_codec
from vaebench.bench.errors import CodecError
told = []
for source in sys.argv[1:]:
    try:
        open_codec("mine", source, {})
    except CodecError as error:
        told.append(str(error))
print(json.dumps([told, "diffusers" in sys.modules]))
"""
WEIGHTS = "diffusion_pytorch_model.safetensors"
FIRST = "decoder.conv_in.bias"


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


def test_damaged_weights_are_refused_before_diffusers_is_imported(tmp_path: Path) -> None:
    source = DEMO_CHECKPOINTS["demo-f8c4"]
    tensors = load_file(source / WEIGHTS)
    damaged = {**tensors, FIRST: tensors[FIRST] * torch.nan}
    faults = [
        ("no valid safetensors file", b"\x08" + bytes(20)),
        ("1 tensor with NaN or inf", save(damaged)),
    ]
    folders = [tmp_path / str(number) for number in range(len(faults))]
    for folder, (_, content) in zip(folders, faults, strict=True):
        folder.mkdir()
        shutil.copy(source / "config.json", folder)
        (folder / WEIGHTS).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", OPENING, *map(str, folders)],
        capture_output=True,
        text=True,
        check=True,
    )
    told, has_diffusers = json.loads(done.stdout)
    for sentence, (reason, _) in zip(told, faults, strict=True):
        assert reason in sentence
    assert not has_diffusers
