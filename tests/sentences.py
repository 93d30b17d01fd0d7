"""Collects what an artist may read inside ComfyUI when something is wrong: the templates of all messages.

Found in the syntax trees of the files that the nodes import: what errors of the project are made with, what is marked
with ``phrase``, and the reasons that are filled into messages about damaged files.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from patchvsr_core.errors.sentences import PLACE

ROOT = Path(__file__).parents[1]
REASONS = ("ValueError", "TypeError")
WITHOUT_REASONS = ("kernels", "run")
"""Rooms whose reasons nobody reads."""
NEVER_INSIDE = ("ProcessGroupError", "Cancelled")
"""ComfyUI is one process."""
MARKS = ("phrase", "error_type")
"""Functions beside the classes of errors: the mark, and a parameter that holds one of the classes."""
LEAST_LETTERS = 10
"""Of a reason; others would fit where something else is meant."""
Piece = str | ast.FormattedValue


class UnreadableError(Exception):
    """A message that no template can be made from; the text says where."""


@lru_cache
def collect() -> dict[str, str]:
    """Template to the same with the names of what is filled in, as they stand in the code; sorted.

    Raises:
        UnreadableError: for a message that is not written where it is raised.
    """
    found: dict[str, str] = {}
    for path in reachable():
        for template, source in _of_file(path):
            found.setdefault(template, source)
    return dict(sorted(found.items()))


def reachable() -> list[Path]:
    """The files that are imported when the nodes are, or later by them."""
    todo, found = [ROOT / "nodes" / "__init__.py", ROOT / "__init__.py"], set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [one for one in _imported(path) if one.is_file()]
    return sorted(found)


@lru_cache
def error_classes() -> frozenset[str]:
    """Those of ``errors`` that can be met inside ComfyUI."""
    tree = ast.parse((ROOT / "patchvsr_core" / "errors" / "exceptions.py").read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef)) - set(NEVER_INSIDE)


def _imported(path: Path) -> Iterator[Path]:
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ROOT.joinpath(*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            for module in (base, *(base / name.name for name in node.names)):
                yield module.with_name(f"{module.name}.py")
                yield module / "__init__.py"


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.JoinedStr)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_said(node, path):
            found = [_template(pieces) for pieces in _message(node, constants, path)]
            yield from (
                one for one in found if node.func.id not in REASONS or len(PLACE.sub("", one[0])) >= LEAST_LETTERS
            )


def _is_said(call: ast.Call, path: Path) -> bool:
    name = getattr(call.func, "id", "")
    if name in REASONS:
        return path.parent.name not in WITHOUT_REASONS
    return name in error_classes() or name in MARKS


def _message(call: ast.Call, constants: dict[str, ast.expr], path: Path) -> Iterator[list[Piece]]:
    """Every form of the whole message; none of what is for the command line alone."""
    remedies = {word.arg: word.value for word in call.keywords}
    if "flag" in remedies and "node" not in remedies:
        return
    if len(call.args) != 1 or remedies.keys() - {"flag", "node"}:
        raise UnreadableError(f"{path}:{call.lineno}: give the message, and flag and node by their names")
    for problem in _forms(call.args[0], constants, path):
        if "node" not in remedies:
            yield problem
            continue
        for remedy in _forms(remedies["node"], constants, path):
            yield [*problem, "; ", *remedy, "."]


def _forms(node: ast.expr, constants: dict[str, ast.expr], path: Path) -> Iterator[list[Piece]]:
    """Of a text: with each of two branches where one is chosen inside it, and constants of the module filled in."""
    node = constants.get(node.id, node) if isinstance(node, ast.Name) else node
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield [node.value]
    elif isinstance(node, ast.IfExp):
        yield from _forms(node.body, constants, path)
        yield from _forms(node.orelse, constants, path)
    elif isinstance(node, ast.JoinedStr):
        choices = [list(_filled(part, constants, path)) for part in node.values]
        for form in itertools.product(*choices):
            yield [piece for pieces in form for piece in pieces]
    else:
        raise UnreadableError(f"{path}:{node.lineno}: write the message where it is raised, not {ast.unparse(node)}")


def _filled(part: ast.expr, constants: dict[str, ast.expr], path: Path) -> Iterator[list[Piece]]:
    if not isinstance(part, ast.FormattedValue):
        yield from _forms(part, constants, path)
        return
    value = part.value
    is_text = isinstance(value, ast.Name) and isinstance(getattr(constants.get(value.id), "value", ""), str)
    is_choice = isinstance(value, ast.IfExp) and all(
        isinstance(branch, ast.Constant | ast.JoinedStr) for branch in (value.body, value.orelse)
    )
    if is_choice or (is_text and isinstance(value, ast.Name) and value.id in constants):
        yield from _forms(value, constants, path)
    else:
        yield [part]


def _template(pieces: list[Piece]) -> tuple[str, str]:
    template, source, count = "", "", itertools.count()
    for piece in pieces:
        if isinstance(piece, str):
            if "{" in piece:
                raise UnreadableError(f"a brace in {piece!r}")
            template, source = template + piece, source + piece
        else:
            template, source = f"{template}{{{next(count)}}}", f"{source}{{{ast.unparse(piece.value)}}}"
    return template, source
