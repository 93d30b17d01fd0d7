"""Nodes that hand single patches to other nodes, and put them together again."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.plan.positions import list_positions
from ..patchvsr_core.plan.split_patches import PLANNED, WINDOWS, join_patches, split_patches
from .sockets import Plan, Stage


class SplitPatches(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_SplitPatches",
            display_name="Split into Patches",
            category=Stage.PATCHES,
            description="Splits upscaled frames into the patches of the plan, so that any other node can process or "
            "save them one by one. Join Patches puts them back together.",
            search_aliases=["patchvsr", "split image", "crop tiles", "export patches"],
            inputs=[
                io.Image.Input("image", tooltip="Frames of the planned size, for example from Refine & Fidelity."),
                Plan.Input("plan", tooltip="The plan the frames were made with."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="patches",
                    is_output_list=True,
                    tooltip="A list: every patch with all its frames. The nodes that follow run once per patch.",
                ),
                io.Int.Output(display_name="x", is_output_list=True, tooltip="Left edge of every patch, in pixels."),
                io.Int.Output(display_name="y", is_output_list=True, tooltip="Top edge of every patch, in pixels."),
            ],
        )

    @classmethod
    def execute(cls, image: io.Image.Type, plan: Plan.Type) -> io.NodeOutput:
        where = list_positions(plan)
        return io.NodeOutput(split_patches(image, plan), [place.x for place in where], [place.y for place in where])


class JoinPatches(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_JoinPatches",
            display_name="Join Patches",
            category=Stage.PATCHES,
            description="Blends the patches from Split into Patches back into frames of the planned size, without "
            "seams.",
            search_aliases=["patchvsr", "merge tiles", "blend patches"],
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "patches", tooltip="All patches from Split into Patches, in the same order and at the same size."
                ),
                Plan.Input("plan", tooltip="The plan they were split with."),
                io.Combo.Input(
                    "window",
                    options=list(WINDOWS),
                    default=PLANNED,
                    tooltip="How patches cross-fade. plan: with the plan's own fusion weights. linear, cosine: "
                    "fading from the centre of a patch to its edges.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="Frames of the planned size.")],
        )

    @classmethod
    def execute(cls, patches: list[io.Image.Type], plan: list[Plan.Type], window: list[str]) -> io.NodeOutput:
        return io.NodeOutput(join_patches(patches, plan[0], window[0]))
