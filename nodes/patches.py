"""Nodes that hand single patches to other nodes, and put them together again."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.plan.positions import list_positions
from ..patchvsr_core.plan.split_patches import PLANNED, WINDOWS, join_patches, split_patches
from .sockets import CATEGORY, Plan


class SplitPatches(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_SplitPatches",
            display_name="Split into Patches",
            category=CATEGORY,
            description="Cuts enlarged frames into the patches of the plan, so that any other node can work on each, "
            "or save them one by one. Join Patches puts them together again.",
            search_aliases=["patchvsr", "split image", "crop tiles", "export patches"],
            inputs=[
                io.Image.Input("image", tooltip="Frames of the planned size, such as those of Refine & Fidelity."),
                Plan.Input("plan", tooltip="The plan that made the frames."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="patches",
                    is_output_list=True,
                    tooltip="A list: every patch with all its frames. Nodes that follow run once for each patch.",
                ),
                io.Int.Output(display_name="x", is_output_list=True, tooltip="Left edge of every patch, pixels."),
                io.Int.Output(display_name="y", is_output_list=True, tooltip="Top edge of every patch, pixels."),
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
            category=CATEGORY,
            description="Puts the patches of Split into Patches together to frames of the planned size, without seams.",
            search_aliases=["patchvsr", "merge tiles", "blend patches"],
            is_input_list=True,
            inputs=[
                io.Image.Input("patches", tooltip="All patches of Split into Patches, in their order and size."),
                Plan.Input("plan", tooltip="The plan that they were split by."),
                io.Combo.Input(
                    "window",
                    options=list(WINDOWS),
                    default=PLANNED,
                    tooltip="How patches fade into one another. plan: with the weights that the plan has for fusing. "
                    "linear, cosine: from the middle of a patch to its edges.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="Frames of the planned size.")],
        )

    @classmethod
    def execute(cls, patches: list[io.Image.Type], plan: list[Plan.Type], window: list[str]) -> io.NodeOutput:
        return io.NodeOutput(join_patches(patches, plan[0], window[0]))
