"""The names that a node pack imports."""

from __future__ import annotations

from typing import ClassVar

from . import _input_impl as InputImpl
from . import _io as io
from . import _ui as ui


class ComfyAPI:
    """What a pack asks of the server."""

    class NodeReplacement:
        registered: ClassVar[list[io.NodeReplace]] = []

        async def register(self, node_replace: io.NodeReplace) -> None:
            self.registered.append(node_replace)

    def __init__(self) -> None:
        self.node_replacement = self.NodeReplacement()


class ComfyExtension:
    """What ``comfy_entrypoint`` answers."""

    async def on_load(self) -> None:
        """Called once, before the nodes are asked for."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        raise NotImplementedError


__all__ = ["ComfyAPI", "ComfyExtension", "InputImpl", "io", "ui"]
