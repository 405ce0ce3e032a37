"""Each room imports only what ARCHITECTURE.md says it may."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

EVERYTHING = {"bench", "metrics", "reports"}
LINE = {"bench", "metrics"}
"""The straight line may use all of bench (but cli and api) and metrics."""

INPUT = (
    "bench.decode",
    "bench.header_limits",
    "bench.icc",
    "bench.icc_deep",
    "bench.images",
    "bench.jpeg_scans",
    "bench.pixel_modes",
    "bench.pixels",
    "bench.png_stream",
    "bench.pnm",
    "bench.region_files",
    "bench.region_shapes",
    "bench.regions",
    "bench.sample",
    "bench.tiff_strips",
)
"""Pictures and regions: what is read from the user's files."""

MAY_IMPORT: dict[str, set[str]] = {
    "bench.records": set(),
    "bench.errors": set(),
    "bench.suite": {"bench.records", "bench.errors"},
    **{name: {"bench.records", "bench.errors", *INPUT} for name in INPUT},
    "bench.environment": {"bench.records"},
    "bench.atomic_write": {"bench.errors"},
    "bench.run_lock": {"bench.errors"},
    "bench.run_tables": {"bench.atomic_write", "bench.errors", "bench.records"},
    "bench.memory": set(),
    "bench.sealed_json": {"bench.atomic_write"},
    "bench.run_record": {
        "bench.atomic_write",
        "bench.errors",
        "bench.records",
        "bench.run_lock",
        "bench.sealed_json",
        "bench.suite",
    },
    "bench.run_parts": {
        "bench.errors",
        "bench.records",
        "bench.run_record",
        "bench.run_tables",
        "bench.sealed_json",
    },
    "bench.store": {
        "bench.atomic_write",
        "bench.errors",
        "bench.records",
        "bench.run_parts",
        "bench.run_record",
        "bench.run_tables",
        "reports",
    },
    "bench.allocator": set(),
    "bench.imports": set(),
    "bench.pipeline": set(),
    "bench.transfers": set(),
    "bench.batches": LINE,
    "bench.decoded": {
        "bench.errors",
        "bench.images",
        "bench.pixels",
        "bench.records",
        "bench.suite",
    },
    "bench.doctor": EVERYTHING,
    "bench.regression": set(),
    "bench.change_points": set(),
    "bench.measurements": {"bench.environment", "bench.records", "bench.store"},
    "bench.history": {
        "bench.change_points",
        "bench.errors",
        "bench.history_engines",
        "bench.history_rows",
        "bench.measurements",
        "bench.store",
    },
    "bench.history_engines": {"bench.errors", "bench.history_rows"},
    "bench.history_rows": {"bench.errors"},
    "bench.history_listing": set(),
    "bench.history_export": {"bench.errors"},
    "bench.timers": set(),
    "bench.flops": {"bench.timers"},
    "bench.device_state": {"bench.records"},
    "bench.latency": LINE,
    "bench.sweep": LINE,
    "bench.timing_run": LINE,
    "bench.worker": LINE,
    "bench.process_source": {"bench.allocator", "bench.errors", "bench.sample", "bench.suite"},
    "bench.ab": {"bench.process_source", "bench.regression", "bench.suite"},
    "bench.pytest_plugin": LINE,
    "bench.paired": {"bench.records"},
    "bench.pairing": {"bench.records", "bench.errors", "bench.store", "bench.paired"},
    "bench.quoted": {"bench.errors"},
    "bench.comparison_store": {
        "bench.atomic_write",
        "bench.errors",
        "bench.run_lock",
        "bench.run_tables",
    },
    "bench.comparison_pictures": {
        "bench.comparison_store",
        "bench.errors",
        "bench.paired",
        "bench.pairing",
        "bench.records",
        "bench.store",
    },
    "bench.compare": LINE,
    "bench.explain": LINE,
    "bench.explain_measure": LINE,
    "bench.explain_readings": LINE,
    "bench.explain_variants": LINE,
    "bench.ladder": LINE,
    "bench.ladder_climb": LINE,
    "bench.ladder_rungs": LINE,
    "bench.latent_health": LINE,
    "bench.latent_file": {"bench.atomic_write", "bench.errors"},
    "bench.latent_picture": LINE,
    "bench.equal_bytes": LINE,
    "bench.rd": LINE,
    "bench.rd_bd": set(),
    "bench.rd_cache": {"bench.errors", "bench.records", "bench.sealed_json"},
    "bench.rd_curves": {"bench.rd_bd", "bench.records"},
    "bench.rd_gallery": LINE,
    "bench.rd_knobs": LINE,
    "bench.rd_listing": {"bench.rd_store"},
    "bench.rd_picture": LINE,
    "bench.rd_store": {
        "bench.atomic_write",
        "bench.errors",
        "bench.run_lock",
        "bench.run_tables",
    },
    "bench.rd_tables": LINE,
    "bench.rd_workers": LINE,
    "bench.gate": EVERYTHING,
    "bench.gate_decisions": LINE,
    "bench.gate_result": {"bench.gate_rules", "bench.junit", "reports"},
    "bench.gate_rules": {"bench.errors", "bench.paired", "bench.records"},
    "bench.junit": set(),
    "bench.pictures": {"bench.records", "bench.store"},
    "bench.progress": set(),
    "bench.reconstruct": {"bench.records", "bench.errors", "bench.codecs"},
    "bench.scoring": {
        "bench.errors",
        "bench.memory",
        "bench.records",
        "bench.regions",
        "bench.transfers",
        "metrics",
    },
    "bench.plan": LINE,
    "bench.evaluate": LINE,
    "bench.rescore": LINE,
    "bench.listing": {
        "bench.comparison_store",
        "bench.images",
        "bench.regions",
        "bench.store",
    },
    "bench.api": EVERYTHING,
    "bench.cli": EVERYTHING,
    "bench.cli_code": EVERYTHING,
    "bench.cli_compare": EVERYTHING,
    "bench.cli_doctor": EVERYTHING,
    "bench.cli_rd": EVERYTHING,
    "bench.cli_speed": EVERYTHING,
    "bench": EVERYTHING,
    "bench.codecs": {
        "bench.codecs",
        "bench.demo",
        "bench.errors",
        "bench.imports",
        "bench.pixels",
        "bench.images",
        "bench.records",
        "bench.suite",
    },
    "bench.demo": {"bench.demo"},
    "metrics": {"metrics"},
    "reports": {
        "bench.comparison_pictures",
        "bench.comparison_store",
        "bench.errors",
        "bench.rd_store",
        "bench.records",
        "bench.store",
        "reports",
    },
}
NOT_INSIDE_THE_LINE = {"bench.cli", "bench.api"}
NO_TORCH = ("reports", "bench.store", "bench.suite", *INPUT, "bench.cli", "bench.history")

MODULES = sorted(
    path for room in ("bench", "metrics", "reports") for path in (ROOT / room).rglob("*.py")
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Return the longest entry of the table that holds the module."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in MAY_IMPORT and (length == len(parts) or name != "bench"):
            return name
    raise AssertionError(f"{module} has no row in MAY_IMPORT; say what it may import")


def imported(path: Path) -> tuple[set[str], set[str]]:
    """Return the project's modules and the other top-level packages that a file imports."""
    own: set[str] = set()
    other: set[str] = set()
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            other.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            other.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            target = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            for alias in node.names:
                deeper = ROOT / target.replace(".", "/") / alias.name
                is_module = deeper.with_suffix(".py").is_file() or deeper.is_dir()
                own.add(f"{target}.{alias.name}" if is_module else target)
    return own, other


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_the_rooms_it_may(path: Path) -> None:
    module = module_name(path)
    allowed = MAY_IMPORT[room_of(module)]
    own, _ = imported(path)
    for target in own:
        assert any(target == name or target.startswith(f"{name}.") for name in allowed), (
            f"{module} imports {target}; it may import {sorted(allowed)}"
        )
        if allowed is LINE:
            assert target not in NOT_INSIDE_THE_LINE, f"{module} imports {target}"


def test_records_and_errors_need_the_standard_library_alone() -> None:
    for name in ("records", "errors"):
        _, other = imported(ROOT / "bench" / f"{name}.py")
        # records names Tensor in annotations only, under TYPE_CHECKING.
        assert other - {"torch"} <= set(sys.stdlib_module_names)


WITHOUT_TORCH = [path for path in MODULES if module_name(path).startswith(NO_TORCH)]


@pytest.mark.parametrize("path", WITHOUT_TORCH, ids=module_name)
def test_reports_and_the_readers_never_import_torch(path: Path) -> None:
    _, other = imported(path)
    assert not other & {"torch", "torchvision", "torchmetrics", "diffusers"}
