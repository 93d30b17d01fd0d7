"""Ids that nodes had in earlier versions: workflows saved with them keep working."""

from __future__ import annotations

from collections.abc import Iterable

from comfy_api.latest import ComfyAPI, io

RENAMES: tuple[io.NodeReplace, ...] = ()
"""One for each id that an earlier version had and this one has not.

What an entry does not name is lost: ``old_widget_ids`` lists all widgets in the order in which their values were
saved, ``input_mapping`` all inputs and ``output_mapping`` all outputs. ComfyUI uses the first entry of an id alone.
"""


async def register_renames(renames: Iterable[io.NodeReplace]) -> None:
    """Tell ComfyUI which nodes replace which: the page offers to replace them, the server does."""
    api = ComfyAPI()
    for rename in renames:
        await api.node_replacement.register(rename)
