"""Folders are floors: an import never goes up, and none comes back to where it began."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    ("bench.records", "bench.errors"),
    ("bench.suite", "bench.images"),
    ("bench.codecs", "bench.store"),
    ("bench.scoring", "bench.timing"),
    ("bench.compare", "bench.rate"),
    ("bench.api",),
    ("bench.cli", "bench.__init__"),
)
"""Bottom first. A room imports itself and what stands below it; `metrics` from the fourth floor on,
`reports` from the sixth."""

REPORT_FLOORS = (
    ("reports.render",),
    ("reports.tables",),
    ("reports.pictures",),
    ("reports.plots", "reports.viewer"),
    ("reports.pages",),
    ("reports.write",),
    ("reports.__init__",),
)
ON_DISK = (
    "bench.compare.gate.result",
    "bench.compare.patches",
    "bench.compare.store",
    "bench.errors",
    "bench.rate.store",
    "bench.records",
    "bench.store",
)
"""What reports may read: what was stored, and what it means."""

NO_TORCH = ("reports", "bench.cli", "bench.images", "bench.store", "bench.suite")
NETWORKS = {"torch", "torchvision", "torchmetrics", "diffusers"}


def inside(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def floor_of(module: str, floors: tuple[tuple[str, ...], ...] = FLOORS) -> int:
    """Return the number of the floor that holds a module."""
    (floor,) = (number for number, rooms in enumerate(floors) if inside(module, *rooms))
    return floor


def refused(module: str, target: str) -> bool:
    """Return whether an import goes against the floors."""
    if module.startswith("metrics"):
        return not target.startswith("metrics")
    if module.startswith("reports"):
        if not target.startswith("reports"):
            return not inside(target, *ON_DISK)
        floors = REPORT_FLOORS
    elif not target.startswith("bench"):
        return floor_of(module) < (3 if target.startswith("metrics") else 5)
    else:
        floors = FLOORS
    room = next(room for rooms in floors for room in rooms if inside(module, room))
    return not inside(target, room) and floor_of(target, floors) >= floor_of(module, floors)


def name_of(path: Path, root: Path) -> str:
    """Return a file's module; that of a room itself ends in `__init__`, as its floor is its own."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts if len(parts) == 2 or parts[-1] != "__init__" else parts[:-1])


def imports_of(path: Path, root: Path = ROOT) -> tuple[set[str], set[str]]:
    """Return the project's modules and the other packages that a file imports, wherever in it."""
    own: set[str] = set()
    other: set[str] = set()
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            other.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            other.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            target = [*base, *(node.module or "").split(".")] if node.module else list(base)
            for alias in node.names:
                deeper = root.joinpath(*target, alias.name)
                is_module = deeper.with_suffix(".py").is_file() or deeper.is_dir()
                found = ".".join([*target, alias.name] if is_module else target)
                own.add(f"{found}.__init__" if found in ("bench", "metrics", "reports") else found)
    return own, other


def files(root: Path = ROOT) -> list[Path]:
    return sorted(
        path for room in ("bench", "metrics", "reports") for path in (root / room).rglob("*.py")
    )


def faults(root: Path = ROOT) -> list[str]:
    """Return every import against the floors and every circle, a sentence each."""
    arrows = {name_of(path, root): imports_of(path, root)[0] for path in files(root)}
    told = [
        f"{module} imports {target}"
        for module, targets in arrows.items()
        for target in sorted(targets)
        if refused(module, target)
    ]
    # What imports nothing that is left is taken away, until only circles stay.
    while free := [
        module for module, targets in arrows.items() if not targets & (arrows.keys() - {module})
    ]:
        for module in free:
            del arrows[module]
    return told + ([f"a circle among {', '.join(arrows)}"] if arrows else [])


def test_no_import_goes_up_or_round() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    ("module", "line", "fault"),
    [
        ("bench/images/pixels.py", "from ..store import run", "bench.images.pixels imports"),
        ("bench/store/run.py", "from ...reports import write", "bench.store.run imports reports"),
        ("metrics/psnr.py", "from ..bench.records import Score", "metrics.psnr imports"),
        ("reports/tables/run.py", "from ..pages import run", "reports.tables.run imports"),
        ("metrics/base.py", "from . import psnr", "a circle among"),
    ],
)
def test_one_that_does_is_told(module: str, line: str, fault: str, tmp_path: Path) -> None:
    for path in files():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    assert any(told.startswith(fault) for told in faults(tmp_path))


def test_the_ground_needs_the_standard_library_alone() -> None:
    for name in ("records", "errors"):
        _, other = imports_of(ROOT / "bench" / f"{name}.py")
        # Named in annotations only, under TYPE_CHECKING.
        assert other - {"torch", "pydantic"} <= set(sys.stdlib_module_names)


def test_readers_and_reports_load_without_torch() -> None:
    for path in files():
        if inside(name_of(path, ROOT), *NO_TORCH):
            loaded = ast.parse(path.read_text(encoding="utf-8")).body
            names = {
                alias.name
                for node in loaded
                if isinstance(node, ast.Import)
                for alias in node.names
            }
            names |= {str(node.module) for node in loaded if isinstance(node, ast.ImportFrom)}
            assert not {name.split(".")[0] for name in names} & NETWORKS, path


def test_a_person_can_see_where_things_are() -> None:
    kept = [entry for entry in (ROOT / "bench").iterdir() if entry.name != "__pycache__"]
    assert len(kept) <= 14
    for folder in {path.parent for path in files()}:
        assert len(list(folder.glob("*.py"))) <= 22, folder
    for path in files():
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 350, path
