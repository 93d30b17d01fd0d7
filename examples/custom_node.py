"""A node of one's own on PatchVSR's core: any upscaler's result in the colours of its input, and in agreement with it.

Install the core into ComfyUI's Python once (``pip install --no-deps ComfyUI/custom_nodes/PatchVSR``), save this file
as ``ComfyUI/custom_nodes/agree_with_input.py``, and start ComfyUI again.
"""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from patchvsr_core import back_project, match_colors
from patchvsr_core.finish.back_projection import check_pair


class AgreeWithInput(io.ComfyNode):
    """IMAGE of any upscaler and the clip it was made from, to IMAGE."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What the node looks like."""
        return io.Schema(
            node_id="Example_AgreeWithInput",
            display_name="Agree With Input",
            category="PatchVSR/examples",
            inputs=[
                io.Image.Input("image", tooltip="The upscaled frames."),
                io.Image.Input("source", tooltip="The clip before it was upscaled."),
                io.Int.Input("rounds", default=8, min=0, max=32, tooltip="More agree better."),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: io.Image.Type, source: io.Image.Type, rounds: int) -> io.NodeOutput:
        """What the node does; an error of the core is one sentence that ComfyUI shows."""
        frames, source = image[..., :3], source[..., :3]
        check_pair(frames, source)
        frames = match_colors(frames, source, "wavelet")
        return io.NodeOutput(back_project(frames, source, rounds=rounds).clamp(0, 1))


class Extension(ComfyExtension):
    """What ComfyUI asks for the nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of this file."""
        return [AgreeWithInput]


async def comfy_entrypoint() -> Extension:
    """Called by ComfyUI."""
    return Extension()
