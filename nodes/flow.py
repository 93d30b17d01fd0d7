"""The node that measures motion."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..patchvsr_core.errors import MediaError
from ..patchvsr_core.hosts.comfy.optical_flow import measure_flows
from ..patchvsr_core.optical_flow.estimators import ESTIMATORS, QUALITIES
from ..patchvsr_core.optical_flow.flow import ClipFlows, consistency
from ..patchvsr_core.optical_flow.motion_vectors import flows_from_vectors
from ..patchvsr_core.preview.draw import draw_flow
from .sockets import Flow, FlowModel, Stage


class OpticalFlow(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_OpticalFlow",
            display_name="Optical Flow",
            category=Stage.PLAN,
            description="Estimates the motion from frame to frame, forward and backward, or takes it from a render. "
            "Nodes that work along the motion need it. The method dis suits most clips.",
            search_aliases=["patchvsr", "motion vectors", "optical flow", "raft", "dis"],
            inputs=[
                io.Image.Input("image", tooltip="The clip, at least 2 frames; the input's own size is enough."),
                io.Combo.Input(
                    "method",
                    options=list(ESTIMATORS),
                    default="dis",
                    tooltip="Times are per 480x270 frame, forward and backward, on one CPU core. dis (26 ms): "
                    "accurate and fast, even for large motion; the choice for most clips. farneback (56 "
                    "ms): smoother, for soft footage with little detail. pyramid (190 ms): runs on the "
                    "GPU if there is one; for motion of up to about 10 pixels. raft (5 s; meant for a "
                    "GPU): a neural network, best for large and fast motion; connect one to "
                    "optical_flow.",
                ),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default="medium",
                    advanced=True,
                    tooltip="For the method dis only: ultrafast takes 10 ms, fast 16 ms, medium 26 ms and is "
                    "the most accurate.",
                ),
                FlowModel.Input(
                    "optical_flow",
                    optional=True,
                    tooltip="From ComfyUI's Load Optical Flow Model; used by the method raft.",
                ),
                io.Image.Input(
                    "motion",
                    optional=True,
                    tooltip="Blender's Vector pass for every frame, as stored in the EXR file: unclamped, in "
                    "pixels. If connected, it is used and nothing is estimated. With 3 channels, x and "
                    "y are read.",
                ),
            ],
            outputs=[
                Flow.Output(display_name="flow", tooltip="Motion to the next frame and to the previous one."),
                io.Image.Output(
                    display_name="preview",
                    tooltip="Motion from each frame to the next, so one image fewer than frames: the hue shows "
                    "the direction (right red, down yellow, left cyan, up violet), the saturation the "
                    "distance. Black: nothing to follow.",
                ),
                io.Mask.Output(
                    display_name="consistency",
                    tooltip="1 where forward and backward motion agree; 0 where something is occluded, leaves "
                    "the frame or was estimated wrongly.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: io.Image.Type,
        method: str,
        quality: str,
        optical_flow: Any = None,
        motion: io.Image.Type | None = None,
    ) -> io.NodeOutput:
        if len(image) < 2:
            raise MediaError("Motion lies between frames, and this clip has only 1; connect at least 2 frames.")
        if motion is None:
            flows = measure_flows(image[..., :3], method, quality, optical_flow)
        else:
            flows = _rendered(motion, image)
        seen = consistency(flows.to_next, flows.to_previous)
        return io.NodeOutput(flows, draw_flow(flows.to_next), seen[:, 0])


def _rendered(motion: torch.Tensor, image: torch.Tensor) -> ClipFlows:
    """The vectors of a render, at the size of the clip."""
    if len(motion) != len(image):
        raise MediaError(
            f"There are {len(motion)} frames of motion for {len(image)} of the clip; connect a Vector pass of the same "
            "frames."
        )
    return flows_from_vectors(motion).resize((int(image.shape[1]), int(image.shape[2])))
