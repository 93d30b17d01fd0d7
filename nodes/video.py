"""The whole pipeline as one node, for files of any length."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io, ui

from ..patchvsr_core.errors import PlanError
from ..patchvsr_core.finish.strength_map import StrengthMap
from ..patchvsr_core.hosts.comfy import NativeModels, as_video, upscale_video
from ..patchvsr_core.plan.planner import LAYOUTS
from ..patchvsr_core.settings import BASE_LAYERS, BICUBIC
from ..patchvsr_core.video.chunk_files import Encoding
from ..patchvsr_core.video.encoders import CODECS, CRF
from .sockets import CATEGORY
from .widgets import AUTO, economy_widget, scale_widget, size_widget

OWN = "0: what suits the model."


class UpscaleVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_UpscaleVideo",
            display_name="Upscale Video",
            category=CATEGORY,
            description="The whole pipeline for files of any length: memory does not grow with the video, sound and "
            "subtitles are kept, and a run that was cancelled or crashed goes on where it was when queued again.",
            search_aliases=["patchvsr", "video super resolution", "long video", "upscale"],
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="A file of any length; it is read piece by piece."),
                io.Model.Input("model", tooltip="The tiny default, or a Wan 2.1 or 2.2 text-to-video model."),
                io.Vae.Input("vae", tooltip="The VAE of the model, the same everywhere."),
                io.Conditioning.Input("positive", tooltip="The prompt of Load Tiny Default or Load Adapter."),
                io.ModelPatch.Input("adapter", optional=True, tooltip="An adapter made for this model."),
                io.Conditioning.Input("negative", optional=True, tooltip="For any guidance but 1."),
                scale_widget(),
                io.Float.Input(
                    "detail",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="The most probable picture (0) or one as crisp as the original may have been (1).",
                ),
                io.Float.Input(
                    "cleanup",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="Noise and compression are measured and removed. 1: as measured. 0 keeps them, grain too.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**63 - 1,
                    control_after_generate=False,
                    tooltip="Another seed gives other noise; the tiny default hardly depends on it.",
                ),
                io.String.Input(
                    "filename_prefix", default="video/PatchVSR", tooltip="Where in ComfyUI's output folder."
                ),
                io.Combo.Input(
                    "format",
                    options=["auto", "mp4", "mov", "mkv", "webm"],
                    default="auto",
                    tooltip="auto: that of the input; mov where it has transparency that its own cannot hold.",
                ),
                io.Combo.Input(
                    "codec",
                    options=["auto", *CODECS],
                    default="auto",
                    tooltip="auto: H.264; in webm VP9, or AV1 for 10 bits; ProRes or FFV1 for transparency.",
                ),
                io.Int.Input("crf", default=CRF, min=0, max=51, tooltip="Quality; lower is better and larger."),
                io.Combo.Input(
                    "when_unfinished",
                    options=["continue", "start again"],
                    default="continue",
                    tooltip="What to do when an earlier run for this name was not finished.",
                ),
                size_widget(),
                io.Int.Input("steps", default=0, min=0, max=200, advanced=True, tooltip=f"Denoising steps. {OWN}"),
                io.Float.Input(
                    "guidance",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    advanced=True,
                    tooltip="Classifier-free guidance; 1 is off and saves half the work.",
                ),
                io.Int.Input(
                    "patch_px", default=0, min=0, max=2048, step=16, advanced=True, tooltip=f"Side of a patch. {OWN}"
                ),
                io.Combo.Input(
                    "layout",
                    options=[AUTO, *LAYOUTS],
                    default=AUTO,
                    advanced=True,
                    tooltip="Where patches lie. auto: what suits the model; see Patch Planner.",
                ),
                io.Int.Input(
                    "patches_at_once",
                    default=0,
                    min=0,
                    max=64,
                    advanced=True,
                    tooltip="Patches per model call. 0: as many as fit and are of use.",
                ),
                io.Int.Input(
                    "chunk_frames",
                    default=0,
                    min=0,
                    max=100000,
                    advanced=True,
                    tooltip="Frames in memory at once. 0: what memory allows.",
                ),
                io.Int.Input(
                    "overlap_frames",
                    default=2,
                    min=0,
                    max=64,
                    advanced=True,
                    tooltip="Frames in which chunks fade into one another.",
                ),
                io.Boolean.Input(
                    "find_cuts", default=True, advanced=True, tooltip="Treat every shot on its own; nothing crosses."
                ),
                io.Boolean.Input("keep_alpha", default=True, advanced=True, tooltip="Keep transparency."),
                io.Boolean.Input(
                    "keep_subtitles", default=True, advanced=True, tooltip="Copy subtitles and their fonts."
                ),
                io.Float.Input(
                    "propagation",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Mixes every frame with its neighbours along the motion, see Flow Propagation: less "
                    "flicker. 0 is off; 0.5 is usual for a Wan, 0.25 for the tiny default.",
                ),
                io.Float.Input(
                    "guidance_rescale",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Brings guidance back to the contrast of the positive prompt; 0.2 oversaturates less.",
                ),
                io.Combo.Input(
                    "base_layer",
                    options=list(BASE_LAYERS),
                    default=BICUBIC,
                    optional=True,
                    advanced=True,
                    tooltip="What enlarges the input for the patches to refine: bicubic, or a real-time network. "
                    "dap suits footage, rdg suits renders.",
                ),
                economy_widget(),
                io.Mask.Input(
                    "strength_map",
                    optional=True,
                    tooltip="Protects logos, titles, faces that stand still: black keeps the enlarged input, white is "
                    "the full result. One mask for the whole video, of any size.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="The finished file, which lies in ComfyUI's output folder.")],
        )

    @classmethod
    def execute(
        cls,
        video: Any,
        model: Any,
        vae: Any,
        positive: Any,
        scale: float,
        detail: float,
        cleanup: float,
        seed: int,
        filename_prefix: str,
        format: str,
        codec: str,
        crf: int,
        when_unfinished: str,
        steps: int,
        guidance: float,
        patch_px: int,
        layout: str,
        patches_at_once: int,
        chunk_frames: int,
        overlap_frames: int,
        find_cuts: bool,
        keep_alpha: bool,
        keep_subtitles: bool,
        adapter: Any = None,
        negative: Any = None,
        size: str = "",
        propagation: float = 0.0,
        guidance_rescale: float = 0.0,
        base_layer: str = BICUBIC,
        economy: int = 1,
        strength_map: Any = None,
    ) -> io.NodeOutput:
        if strength_map is not None and len(strength_map) != 1:
            raise PlanError(
                f"The strength map has {len(strength_map)} frames; Upscale Video takes one mask for the whole video."
            )
        models = NativeModels(model, vae, positive, negative, adapter)
        given = {"steps": steps, "patch_px": patch_px, "layout": layout}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value not in (0, AUTO)}
        settings = replace(
            models.defaults,
            detail=detail,
            restore_strength=cleanup,
            seed=seed,
            guidance=guidance,
            guidance_rescale=guidance_rescale,
            propagation=propagation,
            base_layer=base_layer,
            patches_at_once=patches_at_once,
            skip_interval=economy,
            **chosen,
        )
        path = upscale_video(
            video,
            models,
            settings,
            scale=scale,
            size=size.strip() or None,
            prefix=filename_prefix,
            suffix=format,
            encoding=Encoding(crf, None if codec == "auto" else codec, None, keep_alpha, keep_subtitles),
            chunk=chunk_frames,
            overlap=overlap_frames,
            find_cuts=find_cuts,
            fresh=when_unfinished == "start again",
            strength=StrengthMap(map=strength_map),
            notes=workflow_tags(cls.hidden),
        )
        return io.NodeOutput(as_video(path), ui=ui.PreviewVideo([saved(path)]))


def workflow_tags(hidden: Any) -> dict[str, str]:
    """The graph, written into the file as ComfyUI's own Save Video does: dropped on the canvas it opens."""
    if args.disable_metadata:
        return {}
    tags = {"prompt": hidden.prompt, **(hidden.extra_pnginfo or {})}
    return {name: json.dumps(value) for name, value in tags.items() if value is not None}


def saved(path: Any) -> ui.SavedResult:
    """Where the frontend finds a file of the output folder."""
    folder = path.parent.relative_to(folder_paths.get_output_directory())
    return ui.SavedResult(path.name, str(folder) if str(folder) != "." else "", io.FolderType.output)
