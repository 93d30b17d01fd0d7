"""The names that a node pack imports."""

from __future__ import annotations

from . import _input_impl as InputImpl
from . import _io as io
from . import _ui as ui
from . import _util as Types


class ComfyExtension:
    """What ``comfy_entrypoint`` answers."""

    async def on_load(self) -> None:
        """Called once, before the nodes are asked for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        raise NotImplementedError


__all__ = ["ComfyExtension", "InputImpl", "Types", "io", "ui"]
