"""Importing the core is cheap and pure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from patchvsr_core.version import VERSION

ROOT = Path(__file__).parents[1]
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


def test_only_hosts_and_training_know_the_frameworks() -> None:
    for path in (ROOT / "patchvsr_core").rglob("*.py"):
        name = path.relative_to(ROOT / "patchvsr_core").as_posix()
        text = path.read_text()
        if not name.startswith("hosts/comfy/"):
            assert "import comfy" not in text and "from comfy" not in text, name
        if not name.startswith(("hosts/", "training/")):
            assert "import diffusers" not in text and "from diffusers" not in text, name


def test_the_registry_is_told_the_same_version() -> None:
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text()
