"""Inside ComfyUI no sentence names a flag of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.pack import ROOT, Pack

ROOMS = ("plan", "vae", "sampling", "finish", "optical_flow", "propagation", "adapter", "realtime", "restorer")
ROOMS += ("quality", "video", "run", "preview", "stages", "settings", "weights", "hosts/comfy")
FLAG = re.compile(r"(?<![\w-])--[a-z]")
NEVER_THERE = {
    "leave out --depth 8",  # nodes take the depth of the input
    "--audio auto, which encodes it, or --audio none",  # ... never ask for copied audio
    "--pipe nut has them",  # ... never write to a pipe
}
"""What only the command line can run into."""


def texts() -> Iterator[tuple[str, str]]:
    """(file, text) of every string that names a flag, docstrings aside; 1 where something is filled in."""
    for path in sorted(path for room in ROOMS for path in (ROOT / "patchvsr_core" / room).rglob("*.py")):
        yield from ((f"{path.parent.name}/{path.name}", text) for text in strings(path) if FLAG.search(text))


def strings(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    flags = {id(word.value) for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "flag"}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "1" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | flags | inside:
            yield node.value


def test_every_flag_in_a_sentence_has_a_widget(pack: Pack) -> None:
    wording = pack.part("patchvsr_core.hosts.comfy.wording")
    own = set(wording.WIDGETS)
    found = [(file, text) for file, text in texts() if text not in own]
    assert len(found) > 6
    left = [(file, wording.in_words_of_nodes(text)) for file, text in found]
    assert not [
        (file, text) for file, text in left if FLAG.search(text) and not any(map(text.__contains__, NEVER_THERE))
    ]


def test_an_error_keeps_its_kind_and_what_has_no_flag_is_untouched(pack: Pack) -> None:
    wording, errors = pack.part("patchvsr_core.hosts.comfy.wording"), pack.part("patchvsr_core.errors")
    with pytest.raises(errors.OutputError, match="folder or a higher crf"), wording.node_wording():
        raise errors.OutputError("Free some space, or choose another folder or a higher --crf.")
    plain = errors.MediaError("The clip is empty.")
    with pytest.raises(errors.MediaError) as raised, wording.node_wording():
        raise plain
    assert raised.value is plain
