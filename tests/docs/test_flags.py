"""Options that the pages name exist, under the name that is not deprecated."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    ("patchvsr_core", "upscale"),
    ("patchvsr_core", "plan"),
    ("patchvsr_core", "doctor"),
    ("patchvsr_core.training", "train"),
    ("patchvsr_core.training", "precompute"),
    ("patchvsr_core.training", "export"),
]
OF_SCHEDULERS = {"--address", "--array", "--dependency", "--gres", "--head", "--parsable", "--requeue", "--wrap"}
"""Options of Ray and Slurm."""
OF_OTHERS = {"--no-deps", "--exclude", "--format", "--nproc-per-node", "--check", "--markdown", *OF_SCHEDULERS}
"""Options of pip, torchrun, and this project's tools and benchmarks."""

DEPRECATED = re.compile(r"Flags that were renamed \(.*?\)", re.DOTALL)
"""The one sentence that names flags of before."""


def named_options(text: str) -> set[str]:
    """In code, except in lines that run another program: benchmarks have options of their own."""
    blocks = re.findall(r"^ *```\n.*?^ *```", text, re.DOTALL | re.MULTILINE)
    code = [*"\n".join(blocks).splitlines(), *re.findall(r"`[^`]+`", re.sub(r"```", "", text))]
    lines = [line for line in code if not re.search(r"benchmarks/|pytest|examples\.", line)]
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(lines)))


@lru_cache
def known_options() -> frozenset[str]:
    """What the help of every command lists first on a line; an alias stands after it."""
    found = set(OF_OTHERS)
    for module, command in COMMANDS:
        arguments = [sys.executable, "-m", module, command, "--help"]
        text = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", text, re.MULTILINE))
    return frozenset(found | {"--help"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_a_page_names_exist(page: Path) -> None:
    named = named_options(DEPRECATED.sub("", page.read_text(encoding="utf-8")))
    assert named <= known_options(), named - known_options()


def test_the_pages_name_options_and_a_made_up_one_is_none() -> None:
    assert {"--skip-interval", "--fast"} <= named_options(
        (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    )
    assert "--made-up" not in known_options()
