"""Nodes of the real-time networks."""

from __future__ import annotations

from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io

from ..patchvsr_core.hosts.comfy import run_fast
from ..patchvsr_core.plan.target_size import CUSTOM, resolve_target, target_size
from ..patchvsr_core.realtime.gbuffers import RenderPasses
from ..patchvsr_core.resample import resize
from .bypass import check_matte
from .sockets import Flow, Stage
from .widgets import scale_widget, size_widget, target_widget

FOLDER = "model_patches"
SHIPPED = "small (shipped)"
SIZES = (
    "The upscaled frames. The network itself always upscales 4 times; other sizes are resampled from that "
    "and take just as long."
)


class DAPUpscale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_DAPUpscale",
            display_name="DAP Upscale",
            category=Stage.WHOLE,
            description="Upscales any video in a single pass, frame by frame, with a small recurrent network that "
            "finds the motion itself (DAP): far faster than diffusion, and it invents nothing. For "
            "previews, long footage, and footage that only lacks resolution.",
            search_aliases=["patchvsr", "dap", "real-time", "fast", "online upscale"],
            inputs=[
                io.Image.Input("image", tooltip="The clip; its alpha channel is upscaled too."),
                _weights_widget("DAP"),
                scale_widget(),
                _cuts_widget(),
                size_widget(),
                target_widget(),
            ],
            outputs=[io.Image.Output(tooltip=SIZES)],
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def execute(
        cls, image: io.Image.Type, weights: str, scale: float, find_cuts: bool, size: str = "", target: str = CUSTOM
    ) -> io.NodeOutput:
        check_matte(cls.hidden.prompt, image)
        return io.NodeOutput(
            run_fast(_network(weights, "dap"), "dap", image, _target(image, scale, size, target), find_cuts=find_cuts)
        )


class RDGUpscale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_RDGUpscale",
            display_name="RDG Upscale",
            category=Stage.WHOLE,
            description="Upscales rendered video in a single pass, frame by frame, with a small network that uses "
            "the render passes (RDG). Connect the passes you have; missing ones are estimated, and the "
            "result is softer.",
            search_aliases=["patchvsr", "rdg", "real-time", "fast", "render", "g-buffer", "blender"],
            inputs=[
                io.Image.Input("image", tooltip="The rendered frames; their alpha channel is upscaled too."),
                _weights_widget("RDG", " The authors' RDG_Small.pth and RDG_Base.pth work too."),
                scale_widget(),
                _cuts_widget(),
                Flow.Input(
                    "flow",
                    optional=True,
                    tooltip="From Load Render Passes, or from Optical Flow with the Vector pass. Without it, "
                    "motion is estimated on the CPU by dense inverse search (13 ms per 480x270 frame): "
                    "good, but unreliable at edges and where something comes into view, so fine detail "
                    "there is not carried over.",
                ),
                io.Image.Input(
                    "depth",
                    optional=True,
                    tooltip="Depth pass, or a depth estimator's image with depth_is_nearness on. Each frame is "
                    "normalised to 0 (near) to 1 (far). Without it, the scene is treated as flat: edges "
                    "between near and far get no help.",
                ),
                io.Boolean.Input(
                    "depth_is_nearness",
                    default=False,
                    optional=True,
                    tooltip="On: near is bright in the depth image, as depth estimators output it. Off: near is dark.",
                ),
                io.Image.Input(
                    "normal",
                    optional=True,
                    tooltip="Normal pass as an image, (normal + 1) / 2. Without it, normals are estimated from "
                    "the slope of the depth; if that is missing too, they face the camera everywhere, "
                    "and fine relief gets no help.",
                ),
                io.Image.Input(
                    "albedo",
                    optional=True,
                    tooltip="Material colours without lighting (Diffuse Color pass). Without it, the frame "
                    "divided by its low-frequency brightness is used instead; shadows and highlights "
                    "remain in it.",
                ),
                size_widget(),
                target_widget(),
            ],
            outputs=[io.Image.Output(tooltip=SIZES)],
            hidden=[io.Hidden.prompt],
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
        target: str = CUSTOM,
    ) -> io.NodeOutput:
        check_matte(cls.hidden.prompt, image)
        source = (int(image.shape[1]), int(image.shape[2]))
        distance = None if depth is None else _at(depth, source).mean(-1)
        passes = RenderPasses(
            None if flow is None else flow.resize(source),
            -distance if distance is not None and depth_is_nearness else distance,
            None if normal is None else 2 * _at(normal, source) - 1,
            None if albedo is None else _at(albedo, source),
        )
        result = _target(image, scale, size, target)
        return io.NodeOutput(run_fast(_network(weights, "rdg"), "rdg", image, result, passes, find_cuts=find_cuts))


def _weights_widget(kind: str, more: str = "") -> io.Combo.Input:
    return io.Combo.Input(
        "weights",
        options=[SHIPPED, *folder_paths.get_filename_list(FOLDER)],
        tooltip=f"Put other {kind} networks into ComfyUI's models/model_patches folder.{more}",
    )


def _cuts_widget() -> io.Boolean.Input:
    return io.Boolean.Input(
        "find_cuts", default=True, tooltip="Process every shot separately: the network's state is reset at each cut."
    )


def _network(weights: str, kind: str) -> str | Path:
    return kind if weights == SHIPPED else Path(folder_paths.get_full_path_or_raise(FOLDER, weights))


def _target(image: io.Image.Type, scale: float, size: str, target: str) -> tuple[int, int]:
    factor, exact = resolve_target(target, scale, size)
    return target_size((int(image.shape[1]), int(image.shape[2])), scale=factor, size=exact)


def _at(frames: io.Image.Type, size: tuple[int, int]) -> torch.Tensor:
    """A pass without transparency at the size of the clip; depth estimators round theirs."""
    return resize(frames[..., :3], size)
