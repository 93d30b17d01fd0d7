"""The node that loads a render together with what its renderer knew."""

from __future__ import annotations

import logging

import torch
from comfy_api.latest import io

from ..patchvsr_core.errors import MediaError
from ..patchvsr_core.hosts.comfy.progress import Progress
from ..patchvsr_core.realtime.exr_passes import frame_files, read_passes
from ..patchvsr_core.realtime.gbuffers import normalise_depth
from ..patchvsr_core.video.exr import openexr
from .paths import find_input
from .sockets import Flow, Stage

log = logging.getLogger("patchvsr")
EMPTY = (
    "Empty if the files lack this pass: nodes where it is optional then work without it, others report that "
    "it is missing."
)


class LoadRenderPasses(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_LoadRenderPasses",
            display_name="Load Render Passes",
            category=Stage.LOAD,
            description="Loads a rendered sequence of multi-layer EXR files from Blender or another renderer, with "
            "its motion, depth, normal and albedo passes. RDG Upscale uses all of them, Flow "
            "Propagation the motion.",
            search_aliases=["patchvsr", "exr", "openexr", "multilayer", "blender", "aov", "g-buffer", "vector pass"],
            inputs=[
                io.String.Input(
                    "path",
                    default="",
                    placeholder="render or render/shot_%04d.exr",
                    tooltip="A folder of .exr files, a pattern (shot_%04d.exr or shot_####.exr) or one file: within "
                    "ComfyUI's input folder, or by its full path in ComfyUI's folders or those of PATCHVSR_FOLDERS.",
                ),
                io.Int.Input(
                    "first_frame",
                    default=0,
                    min=0,
                    max=10**7,
                    tooltip="Number of the first frame, as in the file names. 0: from the beginning.",
                ),
                io.Int.Input(
                    "frame_count",
                    default=0,
                    min=0,
                    max=10**6,
                    tooltip="Maximum number of frames to load. 0: all. With every pass, a 1920x1080 frame takes "
                    "200 MB of memory.",
                ),
                io.Float.Input(
                    "exposure",
                    default=0.0,
                    min=-10.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Exposure in stops, as under Color Management in Blender. The Standard view "
                    "transform (sRGB) is applied afterwards, and values above white are clipped.",
                ),
                io.String.Input(
                    "view_layer",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="View layer to read if the files have several. Empty: the one with the most passes.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image",
                    tooltip="Combined pass, converted from scene-linear to sRGB; transparent areas over black.",
                ),
                Flow.Output(display_name="flow", tooltip=f"Motion, from Blender's Vector pass. {EMPTY}"),
                io.Image.Output(
                    display_name="depth",
                    tooltip=f"0 at the nearest point of each frame, 1 at the farthest and in the background. {EMPTY}",
                ),
                io.Image.Output(
                    display_name="normal", tooltip=f"Directions from -1 to 1 as colours from 0 to 1. {EMPTY}"
                ),
                io.Image.Output(
                    display_name="albedo",
                    tooltip=f"Material colours without lighting: Diffuse Color plus Glossy Color, in sRGB. {EMPTY}",
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="1 where the image is transparent, as from Load Image; 0 everywhere if it has no alpha.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, path: str | None) -> bool | str:
        if path is None:
            return True
        try:
            openexr()
            frame_files(find_input(path), count=1)
        except MediaError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(
        cls, path: str | None = None, first_frame: int | None = None, frame_count: int | None = None, **others: object
    ) -> object:
        """Another one when files were rendered again. What comes through a link is not known here: then always."""
        if path is None or first_frame is None or frame_count is None:
            return float("nan")
        states = ((file.name, file.stat()) for file in frame_files(find_input(path), first_frame, frame_count))
        return [(name, state.st_mtime_ns, state.st_size) for name, state in states]

    @classmethod
    def execute(
        cls, path: str, first_frame: int, frame_count: int, exposure: float, view_layer: str = ""
    ) -> io.NodeOutput:
        image, alpha, passes = read_passes(
            find_input(path), first_frame, frame_count, exposure, view_layer.strip(), Progress()
        )
        depth = None if passes.depth is None else normalise_depth(passes.depth).movedim(1, -1).repeat(1, 1, 1, 3)
        normal = None if passes.normal is None else (passes.normal + 1) / 2
        albedo = None if passes.albedo is None else passes.albedo.clamp(max=1)
        mask = torch.zeros(image.shape[:3]) if alpha is None else 1 - alpha
        outputs = {"flow": passes.flows, "depth": depth, "normal": normal, "albedo": albedo}
        empty = [name for name, value in outputs.items() if value is None]
        if empty:
            log.warning("%s holds nothing for %s; these outputs are empty.", path, ", ".join(empty))
        return io.NodeOutput(image, *outputs.values(), mask)
