"""What docstrings refer to is there: a function, class, attribute or module by its own name or that of its module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("patchvsr_core", "nodes") for path in (ROOT / folder).rglob("*.py"))
ROLE = re.compile(r":(?:func|class|data|mod|meth|attr):`\.?([\w.]+)`")


def test_references_of_docstrings_lead_somewhere() -> None:
    modules = {_name_of(path): {*_defined(ast.parse(path.read_text("utf-8")))} for path in FILES}
    known = {name for module in modules for name in _endings(module)}
    for module, names in modules.items():
        known |= {f"{ending}.{name}" for ending in _endings(module) for name in names}
    members = {name for names in modules.values() for name in names if "." in name}
    lost = []
    for path in FILES:
        own = modules[_name_of(path)]
        for reference in ROLE.findall(path.read_text("utf-8")):
            is_own = reference in own or any(name.endswith(f".{reference}") for name in own)
            is_imported = reference in members and reference.split(".")[0] in own
            if not (is_own or is_imported or reference in known):
                lost.append(f"{path.relative_to(ROOT)}: {reference}")
    assert not lost, lost


def _name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _endings(module: str) -> list[str]:
    """``patchvsr_core.run.cost``, ``run.cost`` and ``cost``."""
    parts = module.split(".")
    return [".".join(parts[first:]) for first in range(len(parts))]


def _defined(module: ast.Module) -> Iterator[str]:
    """Names that a module defines or imports, and ``Class.member`` of its classes."""
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{name}" for part in node.body for name in _names(part))
    for node in module.body:
        yield from _names(node)


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
    elif isinstance(node, ast.If):
        yield from (name for part in node.body for name in _names(part))
