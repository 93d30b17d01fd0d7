"""Nodes to look at results with: one patch before the whole run, and results beside one another."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io, ui

from ..patchvsr_core.degradation import estimate_input_degradation
from ..patchvsr_core.hosts.comfy import (
    as_canvas,
    clip_of,
    codec_of,
    connected,
    is_tiny,
    plan_in,
    run_refiner,
    sample_focus,
    shipped_refiner,
    vae_of,
)
from ..patchvsr_core.preview.compare import DIRECTIONS, Version, crop_grid, same_size, split_view
from ..patchvsr_core.preview.patch_preview import preview_patch
from ..patchvsr_core.preview.region import most_detailed_position, select_region
from ..patchvsr_core.sampling.joint_modulation import check_canvas
from ..patchvsr_core.stages import defaults_for
from ..patchvsr_core.vae.encode import check_frames
from .bypass import check_conditioned
from .finishing import halo_notice
from .sampling import sampling_sockets
from .sockets import Plan, Stage
from .widgets import finishing_widgets, setting_widget


class PatchPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_PatchPreview",
            display_name="Patch Preview",
            category=Stage.LOOK,
            description="Restores one patch of a few frames in seconds, just as the full run will, and shows it "
            "next to the input and a bicubic upscale. Connect the same inputs as for Patch Sampler.",
            search_aliases=["patchvsr", "preview", "test patch", "region", "crop"],
            is_output_node=True,
            inputs=[
                *sampling_sockets("The same as for the full run: the same seed gives the same patch."),
                io.Vae.Input("vae", optional=True, tooltip="The VAE of the model, the same everywhere."),
                io.Image.Input("source", optional=True, tooltip="The input clip."),
                io.Int.Input(
                    "patch",
                    default=0,
                    min=0,
                    max=9999,
                    tooltip="Number of the patch, as drawn by Patch Planner; clicking a patch on the plan there "
                    "sets it. 0: the patch with the most detail.",
                ),
                io.Int.Input(
                    "first_frame", default=0, min=0, max=10**6, tooltip="First frame to show, counted from 0."
                ),
                io.Int.Input("frames", default=4, min=1, max=1000, tooltip="How many frames to show."),
                io.Boolean.Input(
                    "neighbours",
                    default=False,
                    tooltip="Also run the patches that overlap it, so that its borders look as they will in the "
                    "full run: up to nine times the work.",
                ),
                setting_widget("refine_strength", tooltip="As in Refine & Fidelity."),
                *finishing_widgets(),
            ],
            outputs=[
                io.Image.Output(display_name="comparison", tooltip="Input, bicubic and result side by side."),
                io.Image.Output(display_name="result", tooltip="The patch alone, at the size of the result."),
                io.Int.Output(display_name="patch", tooltip="Number of the patch that is shown."),
            ],
        )

    @classmethod
    def execute(
        cls,
        noise: io.Noise.Type,
        guider: io.Guider.Type,
        sampler: io.Sampler.Type,
        sigmas: io.Sigmas.Type,
        latent: io.Latent.Type,
        patch: int,
        first_frame: int,
        frames: int,
        neighbours: bool,
        refine_strength: float,
        rounds: int,
        fidelity: float,
        detail: float,
        cleanup: float,
        plan: Plan.Type | None = None,
        vae: io.Vae.Type | None = None,
        source: io.Image.Type | None = None,
    ) -> io.NodeOutput:
        if is_tiny(guider.model_patcher):
            check_conditioned(cls.hidden.prompt)
        plan = connected("plan", plan, plan_in(latent))
        source, codec = clip_of(source, plan)[..., :3], codec_of(vae_of(vae, plan))
        check_canvas(as_canvas(latent["samples"]), plan)
        check_frames(source, plan.canvas)
        reach = shipped_refiner().reach_frames if refine_strength > 0 else 0
        number = patch or most_detailed_position(plan, source[min(first_frame, len(source) - 1)])
        focus = select_region(plan, number, first_frame, frames, reach_frames=reach, neighbours=neighbours)
        settings = replace(
            defaults_for(codec),
            refine_strength=refine_strength,
            fidelity_rounds=rounds,
            fidelity_strength=fidelity,
            detail=detail,
            restore_strength=cleanup,
        )
        sampled = sample_focus(noise, guider, sampler, sigmas, latent, focus)
        look = preview_patch(
            as_canvas(sampled["samples"]),
            source,
            plan,
            codec,
            focus,
            settings,
            refine=run_refiner,
            reach_frames=reach,
            degradation=estimate_input_degradation(source, cleanup),
        )
        comparison = look.side_by_side()
        shown = ui.PreviewImage(comparison, cls=cls).as_dict()
        if refine_strength > 0 and not is_tiny(guider.model_patcher):
            shown |= halo_notice().as_dict()
        return io.NodeOutput(comparison, look.result, number, ui=shown)


class Compare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_Compare",
            display_name="Compare",
            category=Stage.LOOK,
            description="Before and after in one image: a split view, and 1:1 crops of the areas that differ most. "
            "For all frames, ready to save and share.",
            search_aliases=["patchvsr", "before after", "split view", "side by side", "difference", "crop grid"],
            inputs=[
                io.Image.Input(
                    "before", tooltip="The input clip or another result; upscaled bicubically if it is smaller."
                ),
                io.Image.Input("after", tooltip="The result."),
                io.Image.Input("third", optional=True, tooltip="Another result, beside or below the second."),
                io.Float.Input(
                    "position",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="Where the first clip ends in the split view.",
                ),
                io.Combo.Input(
                    "direction", options=list(DIRECTIONS), default=DIRECTIONS[0], tooltip="How the frame is split."
                ),
                io.Int.Input("crop_px", default=192, min=32, max=2048, step=16, tooltip="Side of a crop in pixels."),
                io.Int.Input(
                    "crops", default=3, min=1, max=16, tooltip="Maximum number of crops; fewer if they do not fit."
                ),
                io.String.Input(
                    "names",
                    default="before, after",
                    tooltip="Labels to write into the images, separated by commas. Empty: no labels.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="split", tooltip="Whole frames, split between the clips."),
                io.Image.Output(display_name="crops", tooltip="A row for each crop, a column for each clip, at 1:1."),
            ],
        )

    @classmethod
    def execute(
        cls,
        before: io.Image.Type,
        after: io.Image.Type,
        position: float,
        direction: str,
        crop_px: int,
        crops: int,
        names: str,
        third: io.Image.Type | None = None,
    ) -> io.NodeOutput:
        clips = [clip for clip in (before, after, third) if clip is not None]
        given = [name.strip() for name in names.split(",")]
        versions = same_size([Version(given[k] if k < len(given) else "", clip) for k, clip in enumerate(clips)])
        return io.NodeOutput(
            split_view(versions, position=position, direction=direction),
            crop_grid(versions, crop_px=crop_px, crops=crops),
        )
