"""Nodes that change how a model runs."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.errors import PatchVSRError
from ..patchvsr_core.finish.strength_map import StrengthMap
from ..patchvsr_core.hosts.comfy import (
    EnhanceOptions,
    FusionOptions,
    attach_control,
    attach_enhancement,
    attach_joint_modulation,
    attach_strength,
    connected,
    model_with_plan,
    plan_in,
)
from .sockets import GlobalContext, PatchCond, Plan, Stage
from .validation import in_order
from .widgets import setting_widget, span_sigmas, span_widgets, strength_widgets


class ApplyPatchVSR(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_ApplyPatchVSR",
            display_name="Apply PatchVSR",
            category=Stage.MODEL,
            description="Conditions the model on every patch: its content, and its position in the whole video.",
            search_aliases=["patchvsr", "adapter", "control"],
            inputs=[
                io.Model.Input("model", tooltip="Any video or image model; with an adapter the one it was made for."),
                Plan.Input("plan", optional=True, tooltip="From Patch Planner."),
                PatchCond.Input("patch_cond", optional=True, tooltip="From Patch Encoder."),
                io.ModelPatch.Input("adapter", optional=True, tooltip="An adapter made for this model."),
                GlobalContext.Input(
                    "global_context", optional=True, tooltip="From Global Context Encoder; acts through an adapter."
                ),
                setting_widget("patch_strength"),
                setting_widget("global_strength"),
                *span_widgets(
                    "Point in the denoising (0 to 1) at which the adapter starts to act.",
                    "Point in the denoising (0 to 1) at which the adapter stops acting.",
                ),
                setting_widget("low_frequency_guidance", "structure_lock"),
                setting_widget("projection_steps"),
                setting_widget("eta", "churn"),
                io.Float.Input(
                    "fidelity",
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    optional=True,
                    tooltip="1: the upsampled input as it is. 0: all the detail that the model adds. -1: twice "
                    "as much of it.",
                ),
                *strength_widgets("the upsampled input", "If Refine & Fidelity follows, connect it there instead."),
            ],
            outputs=[io.Model.Output(tooltip="The model, conditioned on the patches.")],
        )

    @classmethod
    def validate_inputs(cls, start_percent: float | None, end_percent: float | None) -> bool | str:
        return in_order(cls, start_percent=start_percent, end_percent=end_percent)

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        patch_strength: float,
        global_strength: float,
        start_percent: float,
        end_percent: float,
        structure_lock: float,
        projection_steps: int,
        churn: float,
        plan: Plan.Type | None = None,
        patch_cond: PatchCond.Type | None = None,
        adapter: io.ModelPatch.Type | None = None,
        global_context: GlobalContext.Type | None = None,
        fidelity: float = 0.0,
        strength_map: io.Mask.Type | None = None,
        map_white: float = 1.0,
    ) -> io.NodeOutput:
        patch_cond = connected("patch_cond", patch_cond)
        plan = connected("plan", plan, patch_cond.plan)
        if global_context is not None and adapter is None:
            raise PatchVSRError("The global context acts through an adapter; connect one, or disconnect the context.")
        patched = attach_control(
            model,
            plan,
            patch_cond,
            model_patch=adapter,
            view=global_context,
            patch_strength=patch_strength,
            global_strength=global_strength,
            sigma_range=span_sigmas(model, start_percent, end_percent),
        )
        held = EnhanceOptions(structure_lock, projection_steps, churn)
        enhanced = attach_enhancement(patched, plan, patch_cond, held)
        strength = StrengthMap(fidelity, strength_map, map_white)
        return io.NodeOutput(model_with_plan(attach_strength(enhanced, plan.canvas, patch_cond, strength), plan))


class JointModulationMerger(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_JointModulationMerger",
            display_name="Denoise Patches (Joint-Modulation Merger)",
            category=Stage.MODEL,
            description="Makes any sampler denoise the canvas patch by patch and fuse all patches at every step.",
            search_aliases=["patchvsr", "multi-patch", "tiled diffusion"],
            inputs=[
                io.Model.Input("model", tooltip="The model from Apply PatchVSR, or any other."),
                Plan.Input("plan", optional=True, tooltip="From Patch Planner."),
                setting_widget("patches_at_once", more="Halved automatically when memory runs out."),
                *span_widgets(
                    "Point in the denoising (0 to 1) from which auxiliary and corner patches run.",
                    "Point up to which they run; outside this range only the primary grid runs: faster, "
                    "but with seams.",
                    names=("auxiliary_start", "auxiliary_end"),
                ),
                setting_widget("skip_interval", "economy", optional=True),
            ],
            outputs=[io.Model.Output(tooltip="The model that denoises the whole canvas.")],
        )

    @classmethod
    def validate_inputs(cls, auxiliary_start: float | None, auxiliary_end: float | None) -> bool | str:
        return in_order(cls, auxiliary_start=auxiliary_start, auxiliary_end=auxiliary_end)

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        patches_at_once: int,
        auxiliary_start: float,
        auxiliary_end: float,
        plan: Plan.Type | None = None,
        economy: int = 1,
    ) -> io.NodeOutput:
        plan = connected("plan", plan, plan_in(model))
        sigma_range = span_sigmas(model, auxiliary_start, auxiliary_end)
        return io.NodeOutput(attach_joint_modulation(model, plan, FusionOptions(patches_at_once, sigma_range, economy)))
