"""The mutants that mutation.py tries: what the operators of mutmut 3.8 make of a source file.

    pip install mutmut==3.8.1

Annotations, decorators, imports and aliases of types are left as they are, docstrings too.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst import matchers
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

SAFE_CALL = matchers.Call(func=matchers.Name("len") | matchers.Name("isinstance"))
"""mutmut leaves these calls alone, and so does this."""


@dataclass(frozen=True)
class Mutant:
    """One change: `place` is "function" or "module"; `key` names its source text."""

    file: str
    line: int
    place: str
    change: str
    key: str
    source: str


class Mutations(cst.CSTVisitor):
    """Collect what mutmut's operators make of every node but annotations and decorators."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, int, str]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
            return False
        if isinstance(node, cst.Assign) and self.depth == 0 and is_type_alias(node):
            return False
        if matchers.matches(node, SAFE_CALL):
            return False
        place = "function" if self.depth else "module"
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for changed in operator(node):
                    line = self.get_metadata(PositionProvider, node).start.line
                    self.found.append((node, changed, line, place))
        self.depth += isinstance(node, cst.FunctionDef)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self.depth -= isinstance(original_node, cst.FunctionDef)


def is_type_alias(node: cst.Assign) -> bool:
    """`Taps = tuple[float, ...]`: a name that only annotations use."""
    name = node.targets[0].target
    return isinstance(name, cst.Name) and name.value[1:2].islower() and name.value[:1].isupper()


def mutants_of(path: Path, root: Path) -> Iterator[Mutant]:
    """Yield every mutant of a file whose source differs from it and from the others'."""
    source = path.read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = Mutations()
    wrapper.visit(visitor)
    name = path.relative_to(root).as_posix()
    seen = {source}
    for node, changed, line, place in visitor.found:
        text = wrapper.module.deep_replace(node, changed).code  # type: ignore[arg-type]
        if text in seen:
            continue
        seen.add(text)
        key = hashlib.sha256(f"{name}\n{text}".encode()).hexdigest()[:16]
        yield Mutant(name, line, place, difference(source, text), key, text)


def difference(source: str, text: str) -> str:
    lines = difflib.unified_diff(source.splitlines(), text.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))
