"""The page of papers names places in the code that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "patchvsr_core"
TEXT = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
PLACES = [row[1] for row in ROWS if row[1].strip() and row[1] != "where"]
NAME = re.compile(r"`([^`]+)`")


def files_of(place: str) -> list[Path]:
    """The files that a cell names; one without a folder lies beside the one before."""
    found: list[Path] = []
    for name in NAME.findall(place):
        if not name.endswith((".py", ".toml")):
            continue
        folders = [CORE, ROOT, CORE / "training", *([found[-1].parent] if found else [])]
        paths = [path for folder in folders for path in folder.glob(name)]
        assert paths, f"there is no {name}"
        found.append(paths[-1])
    return found


@pytest.mark.parametrize("place", PLACES)
def test_the_code_that_a_row_names_is_there(place: str) -> None:
    files = files_of(place)
    assert files
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    names = [name for name in NAME.findall(place) if not name.endswith((".py", ".toml"))]
    for name in names:
        assert name.removesuffix("()") in text, name


def test_tests_and_fixtures_that_it_names_are_there() -> None:
    named = re.findall(r"`(tests/[^`]+)`", TEXT)
    assert len(named) >= 4 and all((ROOT / name).is_file() for name in named)
    configurations = set(re.findall(r"`(wan21_[a-z0-9_]+)`", TEXT))
    assert configurations == {"wan21_1p3b", "wan21_star", "wan21_decoder", "wan21_decoder_lpips"}
    assert all((CORE / "training" / "configs" / f"{name}.toml").is_file() for name in configurations)
