"""A real ComfyUI on the CPU, started once for all tests that ask for it.

Set COMFYUI_DIR to a checkout, and COMFYUI_PYTHON to the Python of its environment when that is
not the one that runs the tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_server import Server

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("COMFYUI_DIR"):
        return
    skip = pytest.mark.skip(reason="set COMFYUI_DIR to a ComfyUI checkout (and COMFYUI_PYTHON to its Python)")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI data folder with the pack linked into it, and small random files that core's loaders read."""
    base = tmp_path_factory.mktemp("comfyui")
    for name in ("custom_nodes", "input", "output", "models/diffusion_models", "models/vae", "models/model_patches"):
        (base / name).mkdir(parents=True)
    (base / "custom_nodes" / "PatchVSR").symlink_to(ROOT)
    (base / "custom_nodes" / "small_files").symlink_to(Path(__file__).with_name("small_files"))
    shutil.copy(ROOT / "examples" / "sample.mp4", base / "input" / "patchvsr_sample.mp4")
    shutil.copytree(ROOT / "examples" / "render", base / "input" / "patchvsr_render")
    return base


@pytest.fixture(scope="session")
def server(base_folder: Path) -> Iterator[Server]:
    with Server(base_folder) as running:
        yield running
