"""What the continuous integration runs exists, and covers the Pythons that the pack says it runs on."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from lowest_versions import lowest_versions  # noqa: E402

WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_files_that_the_workflow_names_exist() -> None:
    named = set(
        re.findall(r"(?<![\w/])(?:PatchVSR/)?((?:tests|tools)(?:/[\w.]+)*|(?:constraints|requirements)\.txt)", WORKFLOW)
    )
    assert {"tests/comfyui", "tests/frontend", "tools/figures.py", "requirements.txt"} <= named
    assert all((ROOT / name).exists() for name in named), named


def test_the_lowest_python_of_the_project_is_tested() -> None:
    lowest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (versions,) = re.findall(r"python: \[(.+)\]", WORKFLOW)
    assert lowest is not None
    assert versions.split(", ")[0] == f'"{lowest[1]}"'


def test_constraints_pin_what_has_a_lower_bound() -> None:
    assert lowest_versions("torch>=2.5\neinops\nav>=14.0\n") == ["torch==2.5", "av==14.0"]
    assert len(lowest_versions((ROOT / "requirements.txt").read_text(encoding="utf-8"))) >= 4
