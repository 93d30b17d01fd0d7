"""The whole pipeline as one node, for files of any length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io, ui

from ..patchvsr_core.errors import PlanError
from ..patchvsr_core.finish.strength_map import StrengthMap
from ..patchvsr_core.hosts.comfy import FileChoices, as_video, complete_models, upscale_video
from ..patchvsr_core.plan.target_size import CUSTOM, resolve_target
from ..patchvsr_core.settings import QUALITIES, TINY, Settings, with_quality
from ..patchvsr_core.video.chunk_files import Encoding
from ..patchvsr_core.video.encoders import CODECS, CRF, CRF_RANGE
from ..patchvsr_core.video.fields import AUTO as FIELDS_AUTO
from ..patchvsr_core.video.fields import CHOICES
from .sockets import ModelParts, Stage
from .widgets import AUTO, scale_widget, setting_widget, size_widget, target_widget, upscaler_socket

MODEL_DECIDES = ("steps", "patch_px", "layout", "base_layer", "color_fix")
"""Widgets that leave the choice to the model: 0, or auto."""
PARTS = {
    **{name: name for name in ("model", "vae", "positive", "negative", "adapter")},
    "upscale_model": "upscaler",
    "models": "whole",
}
"""Sockets of a model's parts, and what :func:`complete_models` calls them."""
SETTING_OF = {"cleanup": "restore_strength", "economy": "skip_interval", "color_fix": "color"}
"""Settings whose widgets keep the ids of earlier versions."""


class UpscaleVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_UpscaleVideo",
            display_name="Upscale Video",
            category=Stage.WHOLE,
            description="The whole pipeline for files of any length: memory use does not grow with the video, audio "
            "and subtitles are kept, and a run that was cancelled or crashed resumes where it stopped "
            "when queued again.",
            search_aliases=[
                *("patchvsr", "video upscale", "super resolution", "long video", "upscaler", "4k", "8k", "hd"),
                *("restore", "enhance", "denoise", "sharpen", "deinterlace", "interlace", "deflicker", "old film"),
            ],
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="A file of any length; it is read chunk by chunk."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Not connected: the model that ships with PatchVSR. Or any video or image model, such as "
                    "SeedVR2, Wan, LTX or Flux.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The VAE of the model; the built-in model brings its own."),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="The prompt; not needed with an adapter, SeedVR2 or the built-in model.",
                ),
                io.ModelPatch.Input("adapter", optional=True, tooltip="An adapter made for this model."),
                io.Conditioning.Input("negative", optional=True, tooltip="Needed if guidance is not 1."),
                scale_widget(),
                setting_widget("detail", more="With another model it counts only where base_layer is restorer."),
                setting_widget("restore_strength", "cleanup"),
                setting_widget(
                    "seed",
                    more="A run resumes only with the seed that it was started with.",
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    advanced=True,
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/PatchVSR",
                    tooltip="Path and file name in ComfyUI's output folder.",
                ),
                io.Combo.Input(
                    "format",
                    options=["auto", "mp4", "mov", "mkv", "webm"],
                    default="auto",
                    tooltip="auto: same as the input; mov if the input has transparency that its own format "
                    "cannot hold.",
                ),
                io.Combo.Input(
                    "codec",
                    options=["auto", *CODECS],
                    default="auto",
                    advanced=True,
                    tooltip="auto: H.264, for HDR HEVC; in webm VP9, or AV1 for 10 bits; ProRes or FFV1 for "
                    "transparency.",
                ),
                io.Int.Input(
                    "crf",
                    default=CRF,
                    min=CRF_RANGE[0],
                    max=CRF_RANGE[1],
                    advanced=True,
                    tooltip="Quality: lower is better, but the file is larger.",
                ),
                io.Combo.Input(
                    "when_unfinished",
                    options=["continue", "start again"],
                    default="continue",
                    tooltip="What to do if an earlier run with this name was not finished.",
                ),
                size_widget(),
                setting_widget("steps", own=True),
                setting_widget("guidance"),
                setting_widget("patch_px", own=True, advanced=True),
                setting_widget(
                    "layout",
                    own=True,
                    tooltip="How patches are laid out. auto: what suits the model; see Patch Planner.",
                    advanced=True,
                ),
                setting_widget("patches_at_once", advanced=True),
                io.Int.Input(
                    "chunk_frames",
                    default=0,
                    min=0,
                    max=100000,
                    advanced=True,
                    tooltip="Frames in memory at once. 0: as many as memory allows.",
                ),
                io.Int.Input(
                    "overlap_frames",
                    default=2,
                    min=0,
                    max=64,
                    advanced=True,
                    tooltip="Frames over which neighbouring chunks cross-fade.",
                ),
                io.Boolean.Input(
                    "find_cuts",
                    default=True,
                    advanced=True,
                    tooltip="Process every shot separately; nothing carries over a cut.",
                ),
                io.Boolean.Input("keep_alpha", default=True, advanced=True, tooltip="Keep transparency."),
                io.Boolean.Input(
                    "keep_subtitles", default=True, advanced=True, tooltip="Copy subtitles and their fonts."
                ),
                setting_widget(
                    "propagation",
                    more="See Flow Propagation. No effect on the restorer, which alone makes the picture by default.",
                    optional=True,
                    advanced=True,
                ),
                setting_widget("guidance_rescale", optional=True, advanced=True),
                setting_widget("base_layer", own=True, optional=True),
                setting_widget("skip_interval", "economy", optional=True),
                io.Mask.Input(
                    "strength_map",
                    optional=True,
                    tooltip="Protects logos, titles and static faces: black keeps the upsampled input, white "
                    "gives the full result. One mask for the whole video, of any size.",
                ),
                io.Combo.Input(
                    "fields",
                    options=list(CHOICES),
                    default=FIELDS_AUTO,
                    optional=True,
                    advanced=True,
                    tooltip="Of interlaced video. auto: found and made progressive, film frames of telecined video are "
                    "restored. keep: frames as they are. frame, field: one frame of each frame, or of each field.",
                ),
                target_widget(),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default=QUALITIES[0],
                    optional=True,
                    tooltip="balanced: the restorer alone, or the connected model. fast: a real-time network alone, "
                    "whatever model is connected. best: patches are denoised too, at detail 0.5 if it is 0; several "
                    "times as slow as balanced.",
                ),
                upscaler_socket("With base_layer at auto or upscaler."),
                setting_widget("color", "color_fix", own=True, optional=True, advanced=True),
                ModelParts.Input(
                    "models",
                    optional=True,
                    tooltip="All of Load PatchVSR Model in one wire, in place of model, vae, positive and adapter.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="The finished file in ComfyUI's output folder.")],
        )

    @classmethod
    def execute(
        cls,
        video: Any,
        scale: float,
        filename_prefix: str,
        format: str,
        codec: str,
        crf: int,
        when_unfinished: str,
        chunk_frames: int,
        overlap_frames: int,
        find_cuts: bool,
        keep_alpha: bool,
        keep_subtitles: bool,
        size: str = "",
        strength_map: Any = None,
        fields: str = FIELDS_AUTO,
        target: str = CUSTOM,
        quality: str = QUALITIES[0],
        **others: Any,
    ) -> io.NodeOutput:
        if strength_map is not None and len(strength_map) != 1:
            raise PlanError(
                f"The strength map has {len(strength_map)} frames; Upscale Video takes one mask for the whole video."
            )
        parts = {argument: others.pop(name, None) for name, argument in PARTS.items()}
        models = None if quality == "fast" else complete_models(**parts)
        settings = with_quality(_settings(models.defaults if models else TINY, others), quality)
        factor, exact = resolve_target(target, scale, size)
        choices = FileChoices(
            scale=factor,
            size=exact,
            prefix=filename_prefix,
            suffix=format,
            encoding=Encoding(crf, None if codec == "auto" else codec, None, keep_alpha, keep_subtitles),
            chunk=chunk_frames,
            overlap=overlap_frames,
            find_cuts=find_cuts,
            fresh=when_unfinished == "start again",
            strength=StrengthMap(map=strength_map),
            fields=fields,
        )
        notices: list[str] = []
        tags = workflow_tags(cls.hidden)
        path = upscale_video(video, models, settings, choices, notes=tags, on_notice=notices.append)
        return io.NodeOutput(as_video(path), ui=_Shown([saved(path)], notices))


class _Shown(ui.PreviewVideo):
    """The result, and a sentence about each thing that was wrong with the input."""

    def __init__(self, values: list[Any], notices: list[str]) -> None:
        super().__init__(values)
        self.notices = tuple(notices)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), **({"text": self.notices} if self.notices else {})}


def _settings(defaults: Settings, choices: Mapping[str, Any]) -> Settings:
    """The model's defaults with what the widgets choose; some leave a choice to the model."""
    chosen = {name: value for name, value in choices.items() if name not in MODEL_DECIDES or value not in (0, AUTO)}
    return replace(defaults, **{SETTING_OF.get(name, name): value for name, value in chosen.items()})


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
