"""Options that the pages name exist, under the name that is not deprecated."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path

import pytest

from patchvsr_core.__main__ import main as core_main
from patchvsr_core.training.__main__ import main as training_main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = [
    (core_main, "upscale"),
    (core_main, "plan"),
    (core_main, "doctor"),
    (training_main, "train"),
    (training_main, "precompute"),
    (training_main, "export"),
]
OF_SCHEDULERS = {"--address", "--array", "--dependency", "--gres", "--head", "--parsable", "--requeue", "--wrap"}
"""Options of Ray and Slurm."""
OF_OTHERS = {
    "--no-deps",
    "--exclude",
    "--format",
    "--nproc-per-node",
    "--check",
    "--markdown",
    "--translated",
    *OF_SCHEDULERS,
}
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
    for main, command in COMMANDS:
        shown = io.StringIO()
        with redirect_stdout(shown), pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        found |= set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", shown.getvalue(), re.MULTILINE))
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
