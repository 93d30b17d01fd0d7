"""Importing the core is cheap and pure."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from clips import colors, write

from patchvsr_core.__main__ import main
from patchvsr_core.version import VERSION

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()
PROBE = """
import socket, sys
def refuse(*arguments, **options):
    raise AssertionError("network")
socket.socket.connect = refuse
import patchvsr_core
heavy = {"diffusers", "comfy", "comfy_api", "folder_paths", "transformers", "accelerate", "cv2", "av", "torchvision"}
print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))
"""


def test_core_loads_neither_host() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FAST = """
import sys
from patchvsr_core.__main__ import main
assert main(["upscale", sys.argv[1], sys.argv[2], "--fast", "dap", "--device", "cpu"]) == 0
heavy = {"diffusers", "transformers", "accelerate", "torchvision", "scipy", "sympy", "PIL", "ray", "comfy"}
loaded = heavy & {name.split(".")[0] for name in sys.modules}
loaded |= {name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules}
rooms = ("hosts", "training", "quality", "preview")
loaded |= {name for name in sys.modules if name.startswith(tuple(f"patchvsr_core.{room}" for room in rooms))}
print(sorted(loaded), file=sys.stderr)
raise SystemExit(bool(loaded))
"""


def test_a_real_time_network_loads_nothing_that_only_diffusion_needs(tmp_path: Path) -> None:
    """The first frame would wait for it: diffusers alone takes seconds to import."""
    clip = write(tmp_path / "in.mp4", colors(3, 16, 16))
    command = [sys.executable, "-c", FAST, str(clip), str(tmp_path / "out.mp4")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (tmp_path / "out.mp4").exists(), done.stderr


def test_only_hosts_and_training_know_the_frameworks() -> None:
    for path in (ROOT / "patchvsr_core").rglob("*.py"):
        name = path.relative_to(ROOT / "patchvsr_core").as_posix()
        text = path.read_text()
        if not name.startswith("hosts/comfy/"):
            assert "import comfy" not in text and "from comfy" not in text, name
        if not name.startswith(("hosts/", "training/")):
            assert "import diffusers" not in text and "from diffusers" not in text, name


def rooms_below(package: Path) -> dict[str, set[str]]:
    """What every folder and file at the root of a package imports of the others when it is imported."""
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        below = found.setdefault(parts[0], set())
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level == len(parts):
                below |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


def test_rooms_import_one_way() -> None:
    order = list(TopologicalSorter(rooms_below(ROOT / "patchvsr_core")).static_order())
    assert order.index("errors") < order.index("vae") < order.index("stages") < order.index("hosts")


def test_a_circle_of_rooms_is_found(tmp_path: Path) -> None:
    for name, text in {"a": "from ..b import x", "b": "from ..c.d import x", "c": "from .. import a"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.py").write_text(text)
    with pytest.raises(CycleError):
        TopologicalSorter(rooms_below(tmp_path)).prepare()


def test_the_registry_is_told_the_same_version() -> None:
    assert f'\nversion = "{VERSION}"\n' in PROJECT


FACE = """
import sys
import patchvsr_core
assert {"upscale", "load_models", "Models", "Settings"} <= set(dir(patchvsr_core))
assert patchvsr_core.Settings().steps == 1 and "diffusers" not in sys.modules
from patchvsr_core import load_models, upscale
assert "diffusers" in sys.modules
assert not [name for name in patchvsr_core.__all__ if not hasattr(patchvsr_core, name)]
assert patchvsr_core.upscale is upscale and not hasattr(patchvsr_core, "downscale")
"""


def test_the_public_face_loads_diffusers_on_demand() -> None:
    subprocess.run([sys.executable, "-c", FACE], cwd=ROOT, check=True)


def test_all_that_the_package_reads_is_in_the_wheel() -> None:
    patterns = re.findall(r'"([^"]+)"', re.search(r"^patchvsr_core = \[(.*)\]$", PROJECT, re.M)[1])
    package = ROOT / "patchvsr_core"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert all(list(package.glob(pattern)) for pattern in patterns)
    suffixes = (".safetensors", ".json", ".toml", ".cu", ".ptx", ".typed")
    data = {path for path in package.rglob("*") if path.suffix in suffixes or path.name == "py.typed"}
    assert data == packed


def test_the_console_script_is_the_command_line() -> None:
    module, _, name = re.search(r'^patchvsr = "([\w.]+):(\w+)"$', PROJECT, re.M)[0].split('"')[1].partition(":")
    assert getattr(importlib.import_module(module), name) is main
