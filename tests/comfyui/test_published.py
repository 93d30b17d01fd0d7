"""The archive that the Comfy Registry would publish, in a ComfyUI that has nothing else of this project.

Beside it lies a made-up pack that renames a node with this pack's own code, as a later version may do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from comfyui_server import Graph, Server, api_graph
from frozen import read
from published import ROOT, write_archive

from patchvsr_core.video import VideoWriter, probe, read_clip

FRAMES = 3
OLD, NEW = "PatchVSR_TilePlanner", "PatchVSR_PatchPlanner"
RENAMING = """
import importlib.util
from pathlib import Path
from comfy_api.latest import ComfyExtension, io

path = Path(__file__).parents[1] / "patchvsr" / "nodes" / "renames.py"
spec = importlib.util.spec_from_file_location("renames_of_patchvsr", path)
renames = importlib.util.module_from_spec(spec)
spec.loader.exec_module(renames)

class Renaming(ComfyExtension):
    async def on_load(self):
        await renames.register_renames([io.NodeReplace(**{OPTIONS})])

    async def get_node_list(self):
        return []

async def comfy_entrypoint():
    return Renaming()
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as ComfyUI-Manager leaves it: the archive unpacked under the project's name."""
    base = tmp_path_factory.mktemp("published")
    write_archive(base / "node.zip")
    with zipfile.ZipFile(base / "node.zip") as archive:
        archive.extractall(base / "custom_nodes" / "patchvsr")
    for name in ("input", "output"):
        (base / name).mkdir()
    clip = read_clip(ROOT / "examples" / "sample.mp4").frames[:FRAMES, 20:72, 60:148]
    size, seconds = (clip.shape[1], clip.shape[2]), Fraction(1, 24)
    with VideoWriter(base / "input" / "patchvsr_sample.mp4", size, range(FRAMES), seconds, fps=1 / seconds) as writer:
        writer.write(clip)
    frozen = read()[NEW]
    options = {
        "old_node_id": OLD,
        "new_node_id": NEW,
        "old_widget_ids": frozen["widgets"],
        "input_mapping": [{"old_id": "frames" if key == "image" else key, "new_id": key} for key in frozen["inputs"]],
        "output_mapping": [{"old_idx": index, "new_idx": index} for index in range(len(frozen["outputs"]))],
    }
    renaming = base / "custom_nodes" / "renaming"
    renaming.mkdir()
    (renaming / "__init__.py").write_text(RENAMING.replace("{OPTIONS}", repr(options)))
    return base


def test_installing_changes_nothing_that_is_installed(base: Path) -> None:
    """What pip would do in ComfyUI's environment with the requirements of the archive."""
    pip = [os.environ.get("COMFYUI_PYTHON", sys.executable), "-m", "pip"]
    listed = json.loads(subprocess.check_output([*pip, "list", "--format=json"], text=True))
    installed = {canonical(entry["name"]) for entry in listed}
    file = base / "custom_nodes" / "patchvsr" / "requirements.txt"
    report = [*pip, "install", "--dry-run", "--quiet", "--report", "-", "-r", str(file)]
    done = subprocess.run(report, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip reaches no package index: {done.stderr[-300:]}")
    new = {canonical(entry["metadata"]["name"]) for entry in json.loads(done.stdout)["install"]}
    assert not new & installed, "these would be up- or downgraded"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


OWN_BOUNDS = {"torch", "av"}
"""Any torch that ComfyUI runs on is newer; PyAV before 17.1 converts colours otherwise, and is raised on installing."""


def test_no_lower_bound_is_above_that_of_comfyui() -> None:
    theirs = bounds(Path(os.environ["COMFYUI_DIR"]) / "requirements.txt")
    for name, least in bounds(ROOT / "requirements.txt").items():
        if theirs.get(name) and name not in OWN_BOUNDS:
            assert least <= theirs[name], name


def bounds(path: Path) -> dict[str, tuple[int, ...]]:
    """Lower bounds by package; none is ()."""
    found = re.findall(r"^([\w-]+)(?:>=([\d.]+))?\s*$", path.read_text(), re.MULTILINE)
    return {name.lower(): tuple(int(part) for part in least.split(".") if part) for name, least in found}


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[Server]:
    with Server(base) as running:
        yield running


@pytest.fixture(scope="module")
def object_info(server: Server) -> Graph:
    return server.get("/object_info")


@pytest.fixture
def tiny(object_info: Graph) -> Graph:
    return api_graph(json.loads((ROOT / "example_workflows" / "patchvsr_tiny.json").read_text()), object_info)


def test_all_nodes_are_there(object_info: Graph, server: Server) -> None:
    assert sorted(name for name in object_info if name.startswith("PatchVSR_")) == sorted(read())
    assert "IMPORT FAILED" not in server.log.read_text()


def test_help_pages_scripts_and_templates_are_served(server: Server) -> None:
    web = ROOT / "web"
    for path in web.rglob("*.*"):
        assert server.fetch(f"/extensions/patchvsr/{path.relative_to(web).as_posix()}") == path.read_bytes()
    scripts = sorted(f"/extensions/patchvsr/{path.relative_to(web).as_posix()}" for path in web.rglob("*.js"))
    assert sorted(path for path in server.get("/extensions") if "/patchvsr/" in path) == scripts, "each of them once"
    templates = sorted(path.stem for path in (ROOT / "example_workflows").glob("*.json"))
    assert sorted(server.get("/workflow_templates")["patchvsr"]) == templates
    for name in templates:
        for suffix in (".json", ".jpg"):
            served = server.fetch(f"/api/workflow_templates/patchvsr/{name}{suffix}")
            assert served == (ROOT / "example_workflows" / f"{name}{suffix}").read_bytes()


def test_links_to_special_examples_still_work(server: Server) -> None:
    """They once stood beside the others; a link to a template names no folder."""
    special = sorted((ROOT / "example_workflows" / "special").glob("*.json"))
    assert special
    for path in special:
        assert server.fetch(f"/api/workflow_templates/patchvsr/{path.name}") == path.read_bytes()


def test_translations_are_served(server: Server) -> None:
    files = sorted((ROOT / "locales").glob("*/nodeDefs.json"))
    if not files:
        pytest.skip("this version has no locales")
    for path in files:
        served = server.get("/i18n")[path.parent.name]["nodeDefs"]
        assert json.loads(path.read_text()).items() <= served.items()


def test_the_template_runs(server: Server, base: Path, tiny: Graph) -> None:
    assert server.run(tiny)["status"]["status_str"] == "success"
    (made,) = (base / "output" / "video").glob("*.mp4")
    info = probe(made)
    assert (info.height, info.width) == (208, 352)
    assert len(read_clip(made).frames) == FRAMES


def test_a_node_under_an_old_name_still_runs(server: Server, tiny: Graph) -> None:
    assert server.get("/node_replacements")[OLD][0]["new_node_id"] == NEW
    (planner,) = (entry for entry in tiny.values() if entry["class_type"] == NEW)
    planner["class_type"] = OLD
    planner["_meta"] = {"title": "Planner"}
    planner["inputs"]["frames"] = planner["inputs"].pop("image")
    for entry in tiny.values():
        entry.setdefault("_meta", {"title": entry["class_type"]})
    assert server.run(tiny)["status"]["status_str"] == "success"
