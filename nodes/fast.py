"""Nodes of the real-time networks."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io

from ..patchvsr_core.hosts.comfy import run_fast
from ..patchvsr_core.plan.target_size import target_size
from ..patchvsr_core.realtime.gbuffers import RenderPasses
from ..patchvsr_core.resample import resize
from .sockets import CATEGORY, Flow
from .widgets import scale_widget, size_widget

FOLDER = "model_patches"
SHIPPED = "small (shipped)"
SIZES = "The network makes four times the size; any other is resampled from that, and costs as much."


class DAPUpscale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_DAPUpscale",
            display_name="DAP Upscale",
            category=CATEGORY,
            description="Upscales any video in one go, frame after frame, with a small network that follows the motion "
            "by itself (DAP): far faster than diffusion, and it invents nothing. For previews, for long footage, and "
            "for footage that only lacks resolution.",
            search_aliases=["patchvsr", "dap", "real-time", "fast", "online upscale"],
            inputs=[
                io.Image.Input("image", tooltip="The clip; transparency is enlarged with it."),
                _weights_widget("DAP"),
                scale_widget(),
                _cuts_widget(),
                size_widget(),
            ],
            outputs=[io.Image.Output(tooltip=SIZES)],
        )

    @classmethod
    def execute(
        cls, image: io.Image.Type, weights: str, scale: float, find_cuts: bool, size: str = ""
    ) -> io.NodeOutput:
        return io.NodeOutput(
            run_fast(_network(weights, "dap"), "dap", image, _target(image, scale, size), find_cuts=find_cuts)
        )


class RDGUpscale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_RDGUpscale",
            display_name="RDG Upscale",
            category=CATEGORY,
            description="Upscales rendered video in one go, frame after frame, with a small network that is told what "
            "the renderer knows (RDG). Connect the passes that there are; what is missing is estimated, and the "
            "result is the softer for it.",
            search_aliases=["patchvsr", "rdg", "real-time", "fast", "render", "g-buffer", "blender"],
            inputs=[
                io.Image.Input("image", tooltip="The rendered frames; transparency is enlarged with them."),
                _weights_widget("RDG", " RDG_Small.pth and RDG_Base.pth of its authors work too."),
                scale_widget(),
                _cuts_widget(),
                Flow.Input(
                    "flow",
                    optional=True,
                    tooltip="From Load Render Passes, or from Optical Flow with the Vector pass. Without it motion is "
                    "measured on the CPU by dense inverse search (13 ms a frame of 480x270): good, but unsure at "
                    "edges and where something comes into view, so that fine detail there is not carried on.",
                ),
                io.Image.Input(
                    "depth",
                    optional=True,
                    tooltip="Depth pass, or a depth estimator's picture with depth_is_nearness on. Every frame is "
                    "brought to 0 (near) to 1 (far). Without it the scene is taken for flat: edges between near and "
                    "far get no help.",
                ),
                io.Boolean.Input(
                    "depth_is_nearness",
                    default=False,
                    optional=True,
                    tooltip="On: near is bright in the depth picture, as depth estimators have it. Off: near is dark.",
                ),
                io.Image.Input(
                    "normal",
                    optional=True,
                    tooltip="Normal pass as a picture, (normal + 1) / 2. Without it normals are told from the slope "
                    "of the depth; where that is missing too they face the camera everywhere, and fine relief gets no "
                    "help.",
                ),
                io.Image.Input(
                    "albedo",
                    optional=True,
                    tooltip="Colour of the materials without light (Diffuse Color pass). Without it the frame, "
                    "divided by its brightness at large, stands in; shadows and highlights remain in it.",
                ),
                size_widget(),
            ],
            outputs=[io.Image.Output(tooltip=SIZES)],
        )

    @classmethod
    def execute(
        cls,
        image: io.Image.Type,
        weights: str,
        scale: float,
        find_cuts: bool,
        flow: Flow.Type | None = None,
        depth: io.Image.Type | None = None,
        depth_is_nearness: bool = False,
        normal: io.Image.Type | None = None,
        albedo: io.Image.Type | None = None,
        size: str = "",
    ) -> io.NodeOutput:
        source = (int(image.shape[1]), int(image.shape[2]))
        distance = None if depth is None else _at(depth, source).mean(-1)
        passes = RenderPasses(
            None if flow is None else flow.resize(source),
            -distance if distance is not None and depth_is_nearness else distance,
            None if normal is None else 2 * _at(normal, source) - 1,
            None if albedo is None else _at(albedo, source),
        )
        target = _target(image, scale, size)
        return io.NodeOutput(run_fast(_network(weights, "rdg"), "rdg", image, target, passes, find_cuts=find_cuts))


def _weights_widget(kind: str, more: str = "") -> io.Combo.Input:
    return io.Combo.Input(
        "weights",
        options=[SHIPPED, *folder_paths.get_filename_list(FOLDER)],
        tooltip=f"Put other files of {kind} networks into ComfyUI's models/model_patches folder.{more}",
    )


def _cuts_widget() -> io.Boolean.Input:
    return io.Boolean.Input(
        "find_cuts", default=True, tooltip="Treat every shot on its own; nothing that is remembered crosses a cut."
    )


def _network(weights: str, kind: str) -> str | Path:
    return kind if weights == SHIPPED else Path(folder_paths.get_full_path_or_raise(FOLDER, weights))


def _target(image: io.Image.Type, scale: float, size: str) -> tuple[int, int]:
    return target_size((int(image.shape[1]), int(image.shape[2])), scale=scale, size=size.strip() or None)


def _at(frames: io.Image.Type, size: tuple[int, int]) -> torch.Tensor:
    """A pass without transparency at the size of the clip; depth estimators round theirs."""
    return resize(frames[..., :3], size)
