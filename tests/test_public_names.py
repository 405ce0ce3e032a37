"""What is public is one list in each `__init__`: complete, and every name in it is there."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

KEPT = {
    "vaebench.bench": "run load_run speed score report pil_to_latents latents_to_pil",
    "vaebench.bench.codecs": "CODECS Codec Family open_codec pil_to_latents latents_to_pil",
    "vaebench.metrics": "METRICS Metric MetricContext MetricEntry MetricInfo open_metric",
    "vaebench.reports": "PLOTS TABLES write_report write_comparison_report",
}
"""What documents name and other packages use: it stays where it is."""


def bound(path: Path) -> set[str]:
    """Return the public names of ours that a file binds, also those for type checkers alone."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    typed = [inner for node in body if isinstance(node, ast.If) for inner in node.body]
    names: set[str] = set()
    for node in [*body, *typed]:
        if isinstance(node, ast.ImportFrom) and node.level:
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("name", KEPT)
def test_the_list_is_complete_and_true(name: str) -> None:
    module = import_module(name)
    assert set(module.__all__) == bound(Path(str(module.__file__)))
    assert set(KEPT[name].split()) <= set(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("name", ["vaebench.bench.cli", "vaebench.reports.plots"])
def test_tables_and_the_entry_point_can_be_got(name: str) -> None:
    module = import_module(name)
    assert all(hasattr(module, public) for public in module.__all__)
