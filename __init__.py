"""PatchVSR for ComfyUI: upscale video by jointly restored patches."""

from __future__ import annotations

import importlib.util
import re

NEEDED = "0.18.0"
WEB_DIRECTORY = "./web"
"""What ComfyUI serves to the browser: the help pages of the nodes, ``web/docs/<node id>.md``, and its scripts."""


def _check_comfyui() -> None:
    """Raise unless this ComfyUI has what the nodes use; import errors are shown in full, later ones are not."""
    if importlib.util.find_spec("comfyui_version") is None:
        return  # imported outside ComfyUI, for example by a packaging tool
    from comfyui_version import __version__ as found

    def numbers(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", f"{version}.0.0")[:3]]

    if numbers(found) < numbers(NEEDED):
        raise ImportError(f"PatchVSR needs ComfyUI >= {NEEDED}; found {found}. Update ComfyUI and start it again.")
    missing = [name for name in ("cv2", "einops", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"PatchVSR needs the packages {', '.join(missing)}; run pip install -r requirements.txt in its folder."
        )


_check_comfyui()


async def comfy_entrypoint():  # type: ignore[no-untyped-def]
    """Called by ComfyUI; the nodes are imported only here."""
    from comfy_api.latest import ComfyExtension, io

    class PatchVSRExtension(ComfyExtension):
        async def on_load(self) -> None:
            from .nodes.desk import register
            from .nodes.renames import RENAMES, register_renames
            from .nodes.templates import register_special
            from .patchvsr_core.errors import speak_inside_comfyui
            from .patchvsr_core.hosts.comfy.language import translate

            speak_inside_comfyui(translate)
            register()
            register_special()
            await register_renames(RENAMES)

        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            from .nodes import NODES

            return NODES

    return PatchVSRExtension()
