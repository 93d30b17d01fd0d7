"""The words of the field, in code, help and documentation: terms that were once our own stay out."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("patchvsr_core/**/*.py", "nodes/*.py", "examples/*.py")
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "web/docs/*.md")

PROSE = {
    r"enlarged (?:input|source|clip|frames?|picture)s?": "upsampled LR (input)",
    r"damage": "degradation",
    r"damaged (?:inputs?|clips?|footage|sources?)": "degraded",
    r"meters?": "degradation estimator",
    r"windows? of time": "temporal window",
    r"resting|calm(?:er)?": "skipped, static",
    r"economy|churn|structure lock|cleanup": "patch skipping, eta, low-frequency guidance, restore strength",
    r"in the place of|place by place|(?:patches'|shuffled) places": "position, instead of",
    r"thinned|rich in": "subsampled, selected by detail",
    r"stairs": "aliasing",
    r"(?:a|the) processors?": "CPU",
    r"(?:go|goes|going|gone|went) on\b(?! the\b)": "resume, continue",
    r"(?:is|are|was|be|unless) told\b(?! apart)|remember(?:s|ed)?": "is given, caches",
    r"(?:code|file|function|host|node|codec|it) (?:says|asks|knows)": "returns, reads, takes",
    r"verdicts?": "grade",
}
"""Patterns of terms of ours, and the field's words for them."""
NAMES = {
    r"(?:.*_)?damage(?:_level|_weight)?|DamageMeter|.*_damage|measured_damage": "degradation",
    r"SOUND|HARMED|DOUBTFUL|AGREED|trust": "FULL_TRUST, NO_TRUST, degradation_weight, TOLERANCE",
    r"finished|decoded_frames|encoded_canvas|back_projected|held_frames|held_to": "postprocess, decode_frames, ...",
    r"parted|recalled|faded|crossfaded": "split, reuse, hat_weights",
    r"give_back|keep_flat": "trim_malloc, tune_malloc",
    r"Crew|Team|TeamError|agreed": "ProcessGroup",
    r"SteppingDown|Relay|Spotlight|Resting|Calm|Look|Pace|Places?": "OOMBackoff, ChunkState, RegionOnly, ...",
    r"Critic|doubt|contest": "Discriminator",
    r"beside_source|verdict_lines|heat_picture": "pair_with_source, grade_lines, overlay_heatmap",
    r"goes_on|enlarged_input": "continues_shot, upsampled",
}
"""Patterns of identifiers, and their new names."""
ALLOWED = {
    ("patchvsr_core/finish/refiner.py", "meter"),  # reads files that hold an estimator of this name
    ("patchvsr_core/training/config.py", "damage"),  # reads configurations of earlier versions
    ("patchvsr_core/training/decoded_batches.py", "damage"),  # a key in files of earlier versions
    ("patchvsr_core/video/reader.py", "damage"),  # that of a file
}
"""(file, word): where it is meant as it stands."""


def prose_of_python(text: str) -> Iterator[str]:
    """Docstrings, comments and strings that are not identifiers."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.strip("-").isidentifier():
            yield without_code(node.value)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield without_code(token.string)


def names_of_python(text: str) -> Iterator[str]:
    """What is defined, passed or read."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr
            case ast.arg() | ast.keyword():
                yield node.arg or ""
            case ast.alias():
                yield node.asname or node.name


def without_code(text: str) -> str:
    """Prose on one line, without code in backticks: frozen ids and flags such as ``cleanup`` may be quoted."""
    text = re.sub(r"^```.*?^```|``[^`]+``|`[^`\n]+`|<!--.*?-->", "`", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(text.split())


def leaves(texts: Any) -> Iterator[str]:
    """All values of nested mappings."""
    if isinstance(texts, str):
        yield texts
    else:
        for part in texts.values():
            yield from leaves(part)


def prose_words(text: str) -> list[str]:
    """What should be said in other words."""
    return [found[0] for pattern in PROSE for found in re.finditer(rf"(?i)\b(?:{pattern})\b", text)]


def old_names(names: Iterator[str]) -> list[str]:
    """Identifiers that have other names now."""
    return sorted({name for name in names if any(re.fullmatch(pattern, name) for pattern in NAMES)})


def files(*patterns: str) -> list[str]:
    """Paths in the repository that match any of the patterns."""
    return sorted({path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)})


@pytest.mark.parametrize("name", files(*CODE))
def test_code_speaks_the_words_of_the_field(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    found = [word for part in prose_of_python(text) for word in prose_words(part)] + old_names(names_of_python(text))
    left = [word for word in found if (name, word.lower()) not in ALLOWED]
    assert not left


@pytest.mark.parametrize("name", files(*PAGES))
def test_pages_speak_the_words_of_the_field(name: str) -> None:
    left = prose_words(without_code((ROOT / name).read_text("utf-8")))
    assert not left


@pytest.mark.parametrize("name", files("locales/en/*.json"))
def test_texts_of_the_nodes_speak_the_words_of_the_field(name: str) -> None:
    texts = json.loads((ROOT / name).read_text("utf-8"))
    left = [word for text in leaves(texts) for word in prose_words(without_code(text))]
    assert not left


def test_words_of_ours_are_found() -> None:
    text = 'def finished(x, damage):\n    """The enlarged input in a window of time."""\n    # it goes on\n'
    assert [word for part in prose_of_python(text) for word in prose_words(part)] == [
        "enlarged input",
        "window of time",
        "goes on",
    ]
    assert old_names(names_of_python(text)) == ["damage", "finished"]
    assert not prose_words(without_code("Set `economy`; ``churn`` too.")), "frozen ids may be quoted"
