"""What is imported is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
CODE = ("bench/**/*.py", "metrics/**/*.py", "reports/**/*.py")
TESTS = ("tests/**/test_*.py", "tests/**/conftest.py")
NOT_IN_A_RUN = {"pytest"}
"""Of the plug-in, which pytest alone loads."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in requirements}


def modules(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports wherever in it, or whose files it looks for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("find_spec"):
            yield from (one.value for one in node.args if isinstance(one, ast.Constant))


def imported(*patterns: str) -> set[str]:
    """Return the distributions that files import."""
    names = {
        name.split(".")[0]
        for pattern in patterns
        for path in ROOT.glob(pattern)
        for name in modules(path)
    }
    known = packages_distributions()
    ours = {"vaebench", *(path.stem for path in ROOT.glob("tests/**/*.py"))}
    foreign = names - set(sys.stdlib_module_names) - ours
    return {normal(known.get(name, [name])[0]) for name in foreign}


def test_dependencies_are_what_is_imported() -> None:
    optional = declared([*EXTRAS["heif"], *EXTRAS["jpegxl"], *EXTRAS["pyiqa"]])
    assert imported(*CODE) - NOT_IN_A_RUN - optional == declared(PROJECT["dependencies"])


def test_the_tests_import_what_their_extra_brings() -> None:
    brought = [*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["jpegxl"], *EXTRAS["postgres"]]
    assert imported(*TESTS) <= declared(brought)
