"""Puts the stand-in in place, and loads the pack the way ComfyUI loads a folder of custom nodes."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "comfyui"
TOP_LEVEL = {path.stem for path in STAND_IN.iterdir() if path.stem != "__pycache__"}


@dataclass(frozen=True)
class Pack:
    """The loaded pack."""

    module: ModuleType
    nodes: dict[str, Any]
    """Node classes by id."""

    def __getitem__(self, name: str) -> Any:
        """The node class ``PatchVSR_<name>``."""
        return self.nodes[f"PatchVSR_{name}"]

    def part(self, name: str) -> ModuleType:
        """One of the pack's modules as its nodes see it, such as ``patchvsr_core.errors``."""
        return importlib.import_module(f"{self.module.__name__}.{name}")

    def object_info(self) -> dict[str, Any]:
        """What the server would answer at ``/object_info`` about these nodes."""
        return {name: node.GET_SCHEMA().get_v1_info(node) for name, node in self.nodes.items()}


@contextmanager
def fake_comfyui(version: str = "0.33.0") -> Iterator[None]:
    """ComfyUI's module names lead to the stand-in, and afterwards to nothing again."""
    clash = [name for name in TOP_LEVEL if name in sys.modules]
    assert not clash, f"already imported: {clash}"
    sys.path.insert(0, str(STAND_IN))
    try:
        importlib.invalidate_caches()
        importlib.import_module("comfyui_version").__version__ = version
        yield
    finally:
        sys.path.remove(str(STAND_IN))
        for name in [name for name in sys.modules if name.partition(".")[0] in TOP_LEVEL]:
            del sys.modules[name]


def load_pack(folder: Path = ROOT) -> Pack:
    """Import the folder's ``__init__.py`` under the folder's own path as its name, as ComfyUI does.

    Relative imports work under such a name, absolute imports of the pack's parts do not.
    """
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _forget(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        assert not hasattr(module, "NODE_CLASS_MAPPINGS"), "ComfyUI would load the old mappings and nothing else"
        nodes = asyncio.run(_nodes(module))
    except BaseException:
        _forget(name)
        raise
    for node in nodes.values():
        node.RELATIVE_PYTHON_MODULE = "custom_nodes.PatchVSR"
    return Pack(module, nodes)


async def _nodes(module: ModuleType) -> dict[str, Any]:
    extension = await module.comfy_entrypoint()
    await extension.on_load()
    return {node.GET_SCHEMA().node_id: node for node in await extension.get_node_list()}


def _forget(name: str) -> None:
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[known]
