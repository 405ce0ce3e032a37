"""What CONTRIBUTING.md tells a newcomer is true: its places are there, and its examples run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLACES = re.findall(r"`([\w/]+\.py): (\w+)`", TEXT)
EXAMPLES = re.findall(r"```python\n# ([\w/.]+)(?:: (\w+))?\n(.*?)```", TEXT, re.DOTALL)


def named(path: Path) -> set[str]:
    """Return what a file defines or assigns at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {ast.unparse(target) for target in targets}
    return names


@pytest.mark.parametrize(("path", "name"), PLACES)
def test_what_it_points_to_is_there(path: str, name: str) -> None:
    assert name in named(ROOT / path)


def test_every_table_that_grows_has_an_example() -> None:
    assert [table for _, table, _ in EXAMPLES if table] == ["METRICS", "CODECS", "PLOTS", "SOURCES"]
    assert len(EXAMPLES) == 8


def add(path: Path, table: str, text: str) -> None:
    """Add the row of a table, and what it imports, as a person would."""
    imports, _, row = text.strip().rpartition("\n\n")
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(place for place, line in enumerate(lines) if re.match(rf"{table}\b.*= {{$", line))
    first = next(place for place, line in enumerate(lines) if line.startswith("from ."))
    lines.insert(start + 1, row)
    lines.insert(first, imports)
    path.write_text("\n".join(lines), encoding="utf-8")


def test_the_examples_run_as_they_stand(photos: Path, tmp_path: Path) -> None:
    package = tmp_path / "packages" / "vaebench"
    unwanted = shutil.ignore_patterns("__pycache__", "published")
    for room in ("bench", "metrics", "reports"):
        shutil.copytree(ROOT / room, package / room, ignore=unwanted)
    for path, table, text in EXAMPLES:
        if table:
            add(package / path, table, text)
        else:
            assert not (package / path).exists()
            (package / path).write_text(text, encoding="utf-8")
    listed, out = photos / "photos.csv", tmp_path / "run"
    listed.write_text("file\na.png\nmore/d.png\n")
    words = ["--images", listed, "--codec", "blocks", "--metric", "worst", "--out", out]
    done = subprocess.run(
        [sys.executable, "-m", "vaebench.bench.cli", "run", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    scores = pd.read_parquet(out / "scores.parquet")
    worst = scores[scores["variant"] == "worst/rgb8"]
    assert worst["image_id"].tolist() == ["a.png", "more/d.png"]
    assert worst["value"].between(1, 255).all()
    assert set(scores["codec"]) == {"blocks"}
    assert (out / "plots" / "sizes.svg").is_file()
