"""Runs inside a real ComfyUI's Python: writes down signatures and node entries, to hold the stand-in against.

python real_comfyui.py COMFYUI_DIR PACK_DIR names.json out.json
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import importlib.util
import inspect
import json
import sys
from typing import Any

CORE_MODULES = (
    "nodes_upscale_model",
    *("nodes_video", "nodes_custom_sampler", "nodes_model_advanced", "nodes_preview_any"),
    *("nodes_post_processing", "nodes_images", "nodes_lt", "nodes_seedvr"),
)


def main() -> None:
    comfyui, pack, names, out = sys.argv[1:]
    sys.path.insert(0, comfyui)
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    with open(names) as file:
        wanted = json.load(file)
    answer = {
        "signatures": {module: signatures(module, found) for module, found in wanted["signatures"].items()},
        "core": core_entries(wanted["core"]),
        "pack": pack_entries(pack),
    }
    with open(out, "w") as file:
        json.dump(answer, file)


def signatures(module: str, names: list[str]) -> dict[str, list[str] | None]:
    """Parameter names of functions and methods; None where there is no such name."""
    return {name: parameters(importlib.import_module(module), name) for name in names}


def parameters(owner: Any, name: str) -> list[str] | None:
    for part in name.split("."):
        owner = inspect.getattr_static(owner, part, None) if inspect.isclass(owner) else getattr(owner, part, None)
        if owner is None:
            return None
    owner = owner.fget if isinstance(owner, property) else getattr(owner, "__func__", owner)
    if inspect.isclass(owner) or not callable(owner):
        return []
    return [f"*{p.name}" if p.kind in (2, 4) else p.name for p in inspect.signature(owner).parameters.values()]


def core_entries(names: list[str]) -> dict[str, Any]:
    import nodes

    classes = dict(nodes.NODE_CLASS_MAPPINGS)
    for module in CORE_MODULES:
        for value in vars(importlib.import_module(f"comfy_extras.{module}")).values():
            if inspect.isclass(value) and hasattr(value, "define_schema") and value.__module__.endswith(module):
                classes[value.GET_SCHEMA().node_id] = value
        classes |= getattr(importlib.import_module(f"comfy_extras.{module}"), "NODE_CLASS_MAPPINGS", {})
    return {
        name: {
            "input": classes[name].INPUT_TYPES(),
            "output": list(classes[name].RETURN_TYPES),
            "output_name": list(getattr(classes[name], "RETURN_NAMES", None) or classes[name].RETURN_TYPES),
        }
        for name in names
    }


def pack_entries(folder: str) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("pack", f"{folder}/__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)

    async def entries() -> dict[str, Any]:
        extension = await module.comfy_entrypoint()
        infos = [node.GET_SCHEMA().get_v1_info(node) for node in await extension.get_node_list()]
        return {info.name: dataclasses.asdict(info) for info in infos}

    return asyncio.run(entries())


if __name__ == "__main__":
    main()
