"""Nodes that make patches and frames agree: along the motion, through attention, and through guidance."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..patchvsr_core.errors import PlanError
from ..patchvsr_core.hosts.comfy import attach_attention, attach_propagation, attach_rescale, is_tiny
from ..patchvsr_core.propagation.attention_options import parse_layers
from ..patchvsr_core.propagation.canvas import CanvasPropagation, PropagationOptions
from ..patchvsr_core.propagation.frame_selection import CHOICES
from ..patchvsr_core.propagation.latent import INTERPOLATIONS
from .sockets import Flow, Plan, Stage
from .validation import in_order
from .widgets import setting_widget, span_widgets


class FlowPropagation(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_FlowPropagation",
            display_name="Deflicker along Motion (Flow Propagation)",
            category=Stage.MODEL,
            description="Blends every frame with its neighbours along the motion while the model denoises "
            "(Upscale-A-Video): less flicker, and detail that stays in place. Takes 0.1 s per frame and "
            "step at 960x540 on one CPU core with the tiny default, 0.001 s with a Wan, plus the time "
            "for Optical Flow.",
            search_aliases=["patchvsr", "upscale-a-video", "deflicker", "flicker", "temporal consistency"],
            inputs=[
                io.Model.Input("model", tooltip="A Wan, or the tiny default; before or after Apply PatchVSR."),
                Plan.Input("plan", tooltip="From Patch Planner."),
                Flow.Input(
                    "flow",
                    tooltip="From Optical Flow, or for renders from Load Render Passes. For a Wan, estimate it "
                    "on the input clip; for the tiny default, which needs sub-pixel accuracy, on the "
                    "clip upscaled to 1280 pixels or so.",
                ),
                setting_widget(
                    "propagation",
                    "weight",
                    default=0.5,
                    tooltip="Weight of the neighbouring frame in the blend. 0 is off; 0.5 is usual for a Wan, "
                    "0.25 for the tiny default; 1 copies the neighbour.",
                ),
                *span_widgets(
                    "Fraction of this run's steps after which it starts. Use late steps only: earlier "
                    "ones cost detail. A single-step run, as with the tiny default, always counts.",
                    "Fraction of this run's steps after which it stops.",
                    start=0.8,
                    advanced=False,
                ),
                io.Combo.Input(
                    "interpolation",
                    options=["auto", *INTERPOLATIONS],
                    default="auto",
                    advanced=True,
                    tooltip="How a neighbouring frame is warped. auto: nearest on VAE latents, bicubic on the "
                    "pixels of the tiny default.",
                ),
                io.Float.Input(
                    "alpha1",
                    default=0.001,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    advanced=True,
                    tooltip="How much forward and backward flow may disagree, relative to the motion. Higher "
                    "trusts the flow more.",
                ),
                io.Float.Input(
                    "alpha2",
                    default=0.05,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    advanced=True,
                    tooltip="How much they may disagree in addition, whatever the motion, in squared cells of "
                    "the flow. Higher trusts the flow more.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with this switched on.")],
        )

    @classmethod
    def validate_inputs(cls, start_percent: float | None, end_percent: float | None) -> bool | str:
        return in_order(cls, start_percent=start_percent, end_percent=end_percent)

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        plan: Plan.Type,
        flow: Flow.Type | None,
        weight: float,
        start_percent: float,
        end_percent: float,
        interpolation: str,
        alpha1: float,
        alpha2: float,
    ) -> io.NodeOutput:
        if flow is None:
            raise PlanError("There is no motion on the flow socket; connect Optical Flow, which measures it.")
        fetched = None if interpolation == "auto" else interpolation
        options = PropagationOptions(weight, interpolation=fetched, alpha1=alpha1, alpha2=alpha2)
        propagation = CanvasPropagation(options, plan.canvas, flow, pixels=is_tiny(model))
        return io.NodeOutput(attach_propagation(model, propagation, (start_percent, end_percent)))


class AttentionPropagation(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_AttentionPropagation",
            display_name="Match Patches (Attention Propagation)",
            category=Stage.MODEL,
            description="Lets patches attend to one another while the model denoises (DC-VSR): the same grass in "
            "every patch, the same face in every temporal window. It needs no training and works with "
            "Wan, HunyuanVideo, Cosmos Predict2, Qwen-Image and Flux. If both are on, they alternate from "
            "step to step. SAP makes its steps take 2.3 times as long (lazy: 1.5 times), TAP 1.1 times. "
            "With Wan 2.1 1.3B, 512 px and 77 frames, SAP stores 3.5 GiB per guidance branch, TAP 0.7 GiB per branch "
            "and patch position. Connect it before Joint-Modulation Merger or Upscale Video.",
            search_aliases=["patchvsr", "dc-vsr", "sap", "tap", "attention", "consistency"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Wan, HunyuanVideo, Cosmos Predict2, Qwen-Image, Flux, or the tiny default; before or "
                    "after Apply PatchVSR.",
                ),
                setting_widget("spatial_attention", "spatial", default=True),
                setting_widget("temporal_attention", "temporal", default=True),
                setting_widget("lazy_attention", "lazy"),
                setting_widget("attention_frames", "frames"),
                io.Combo.Input(
                    "choice",
                    options=list(CHOICES),
                    default="rich",
                    advanced=True,
                    tooltip="Which frames these are. rich: those with the most detail. nearest, farthest: those "
                    "closest to this window, or farthest from it.",
                ),
                setting_widget("attention_layers", "layers"),
                io.Float.Input(
                    "reach",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.5,
                    advanced=True,
                    tooltip="Largest distance, in patches, at which SAP places tokens; those farther away are "
                    "treated as if they were at that distance. 0: no limit. 1 helps if the model was "
                    "never trained on frames this large.",
                ),
                setting_widget("attention_offload", "offload"),
            ],
            outputs=[io.Model.Output(tooltip="The model with this switched on.")],
        )

    @classmethod
    def validate_inputs(cls, layers: str | None) -> bool | str:
        try:
            parse_layers(layers or "all")
        except PlanError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        spatial: bool,
        temporal: bool,
        lazy: bool,
        frames: int,
        choice: str,
        layers: str,
        reach: float,
        offload: bool,
    ) -> io.NodeOutput:
        return io.NodeOutput(
            attach_attention(
                model,
                spatial=spatial,
                temporal=temporal,
                lazy=lazy,
                frames=frames,
                choice=choice,
                layers=parse_layers(layers),
                reach=reach or None,
                offload=offload,
            )
        )


class DetailGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_DetailGuidance",
            display_name="Sharpen by Guidance (Detail Guidance)",
            category=Stage.MODEL,
            description="Guides the result towards more detail: the negative branch runs with softened attention "
            "(DC-VSR's DSSAG). Needs a guider with cfg above 1, and then adds no time.",
            search_aliases=["patchvsr", "dc-vsr", "dssag", "guidance", "cfg rescale", "sharpness"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="Wan, HunyuanVideo, Cosmos Predict2, Qwen-Image, Flux, or the tiny default; before or "
                    "after Apply PatchVSR.",
                ),
                setting_widget(
                    "softening",
                    "softening_start",
                    tooltip="Softness of the negative branch's attention at the first step; 1 is off.",
                ),
                setting_widget(
                    "softening",
                    "softening_end",
                    default=1.5,
                    tooltip="Softness at the last step. Higher gives more detail, and more of it is invented.",
                ),
                setting_widget("guidance_rescale", "rescale"),
            ],
            outputs=[io.Model.Output(tooltip="The model with this switched on.")],
        )

    @classmethod
    def execute(
        cls, model: io.Model.Type, softening_start: float, softening_end: float, rescale: float
    ) -> io.NodeOutput:
        guided: Any = attach_attention(model, softening=(softening_start, softening_end))
        return io.NodeOutput(attach_rescale(guided, rescale) if rescale > 0 else guided)
