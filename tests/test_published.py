"""What the Comfy Registry would publish is complete, small, and works on its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fakes.chain import FRAMES, HEIGHT, WIDTH, a_clip, run_chain
from fakes.fixtures import pack, tiny
from published import IGNORE, ROOT, published_files, write_archive

__all__ = ["pack", "tiny"]

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git says what is published; this is no clone")
NEEDED = ("nodes", "patchvsr_core", "web", "example_workflows", "locales", "subgraphs")
"""Folders that go out whole."""
FOR_DEVELOPERS = ("tests", "benchmarks", "runs", "out", "build")
LARGEST = 50e6
LOCAL_LINK = re.compile(r"\]\(([^)#:]+)\)")
RAW = "https://raw.githubusercontent.com/patchvsr/patchvsr/main/"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "node.zip"
    write_archive(path)
    return path


@pytest.fixture(scope="module")
def names(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as file:
        return set(file.namelist())


@pytest.fixture(scope="module")
def unpacked(archive: Path) -> Path:
    """The archive where ComfyUI-Manager unpacks it: a folder with the name of the project."""
    folder = archive.parent / "custom_nodes" / "patchvsr"
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_file_that_the_nodes_need_is_in_it(names: set[str]) -> None:
    there = [path for folder in NEEDED for path in (ROOT / folder).rglob("*") if path.is_file()]
    needed = {path.relative_to(ROOT).as_posix() for path in there if "__pycache__" not in path.parts}
    assert needed <= names, f"git does not track these, or {IGNORE} names them: {sorted(needed - names)}"
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "README.md"} <= names
    manifest = json.loads((ROOT / "patchvsr_core" / "weights" / "manifest.json").read_text())
    assert {f"patchvsr_core/weights/{name}" for name in manifest["files"]} <= names


@pytest.mark.parametrize("page", ["README.md", "examples/README.md"])
def test_pages_show_nothing_that_is_left_out(names: set[str], page: str) -> None:
    for link in LOCAL_LINK.findall((ROOT / page).read_text()):
        assert (Path(page).parent / link).as_posix() in names, link


def test_what_the_readme_tells_to_copy_is_in_it(names: set[str]) -> None:
    copied = set(re.findall(r"examples/[\w./]+\w", (ROOT / "README.md").read_text()))
    assert "examples/sample.mp4" in copied
    for path in copied:
        assert any(name == path or name.startswith(f"{path}/") for name in names), path


def test_nothing_for_developers_is_in_it(names: set[str]) -> None:
    for name in names:
        first, *_ = name.split("/")
        assert first not in FOR_DEVELOPERS and not first.startswith("."), name
        assert "__pycache__" not in name and not name.endswith((".pyc", ".zip")), name


def test_it_is_small(archive: Path) -> None:
    assert archive.stat().st_size < LARGEST


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern")
def test_the_registry_reads_the_patterns_as_git_does() -> None:
    pathspec = pytest.importorskip("pathspec", reason="the registry's command line matches with pathspec")
    patterns = [line.strip() for line in (ROOT / IGNORE).read_text().splitlines()]
    left_out = pathspec.PathSpec.from_lines("gitwildmatch", [line for line in patterns if line and line[0] != "#"])
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    assert published_files() == [name for name in tracked if not left_out.match_file(name) and (ROOT / name).exists()]


def test_unpacked_alone_it_has_all_nodes_and_upscales(unpacked: Path, pack: Any, tiny: Any, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "fakes", tmp_path / "fakes", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests" / "published_job.py", tmp_path)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(tmp_path / "published_job.py"), str(unpacked)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["nodes"] == sorted(pack.nodes)
    assert Path(found["web"]) == unpacked / "web"
    of_the_repository = [path for path in found["modules"] if path.startswith(f"{ROOT}{os.sep}")]
    libraries = Path(sys.prefix)
    assert not [path for path in of_the_repository if libraries not in Path(path).parents]
    import torch

    frames = torch.tensor(found["frames"])
    assert frames.shape == (FRAMES, 4 * HEIGHT, 4 * WIDTH, 3)
    assert (frames - run_chain(pack, tiny, a_clip()).frames).abs().max() < 1e-5


def test_the_registry_and_pip_are_told_the_same_requirements(pyproject: dict[str, Any]) -> None:
    lines = (ROOT / "requirements.txt").read_text().split()
    assert pyproject["project"]["dependencies"] == lines


def test_requirements_have_lower_bounds_at_most() -> None:
    """An upper bound or a pin could downgrade what another pack or ComfyUI brought."""
    for line in (ROOT / "requirements.txt").read_text().split():
        assert re.fullmatch(r"[A-Za-z0-9_-]+(>=[\d.]+)?", line), line


def test_the_registry_finds_what_it_asks_for(pyproject: dict[str, Any]) -> None:
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,98}", project["name"]) and "comfy" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert (ROOT / project["license"]["file"]).exists()
    assert project["description"] and project["urls"]["Repository"].startswith("https://github.com/")
    assert comfy["PublisherId"] and comfy["DisplayName"]
    assert "web" not in comfy, "ComfyUI would load the scripts of WEB_DIRECTORY a second time"


@pytest.mark.parametrize(("key", "kind", "size"), [("Icon", "PNG", (400, 400)), ("Banner", "JPEG", (1470, 630))])
def test_pictures_of_the_registry_are_there_and_fit(
    pyproject: dict[str, Any], key: str, kind: str, size: tuple[int, int]
) -> None:
    """The registry wants a square of at most 400 pixels, and 21:9."""
    from PIL import Image

    url = pyproject["tool"]["comfy"][key]
    assert url.startswith(RAW)
    path = ROOT / url.removeprefix(RAW)
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == (kind, size)


def test_comfyui_is_as_new_as_the_registry_says(pyproject: dict[str, Any], pack: Any) -> None:
    assert pyproject["tool"]["comfy"]["requires-comfyui"] == f">={pack.module.NEEDED}"
