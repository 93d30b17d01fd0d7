"""What the continuous integration runs exists, and covers the Pythons that the pack says it runs on."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from lowest_versions import lowest_versions  # noqa: E402

from patchvsr_core.video.info import MIN_PYAV  # noqa: E402

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


def test_every_requirement_has_a_lower_bound_and_the_project_the_same() -> None:
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert len(lowest_versions("\n".join(required))) == len(required)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^dependencies = \[[^\n]*\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert re.findall(r'^    "(.+)",$', listed, re.MULTILINE) == required


def test_a_job_tests_the_lowest_versions_on_the_lowest_python() -> None:
    assert '{ os: ubuntu-latest, python: "3.10", versions: lowest }' in WORKFLOW
    steps = WORKFLOW.split("if: matrix.versions == 'lowest'")[1].split("- run: ")
    assert "tools/lowest_versions.py requirements.txt > lowest.txt" in steps[0]
    installs = [line for line in steps[0].splitlines() if "pip install" in line]
    assert installs and all("-c lowest.txt" in line for line in installs), "else pip takes newer ones"
    assert steps[1].startswith("python -m pytest")


def test_the_manual_and_the_script_run_the_tests_with_one_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
    assert script.startswith(".venv/bin/python -m pytest")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"&& {script}\n" in readme
    assert f"`{script.removeprefix('.venv/bin/')}`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_lowest_pyav_is_the_one_that_files_are_opened_with() -> None:
    assert f"av>={'.'.join(map(str, MIN_PYAV))}" in (ROOT / "requirements.txt").read_text(encoding="utf-8")
