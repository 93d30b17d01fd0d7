"""Nodes that run the denoising, and its noise levels."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..patchvsr_core.hosts.comfy import as_canvas, connected, is_tiny, plan_in, sample_latent
from ..patchvsr_core.sampling.joint_modulation import check_canvas
from ..patchvsr_core.sampling.schedules import star_schedule
from .bypass import check_conditioned
from .sockets import Plan, Stage


def sampling_sockets(noise: str) -> list[Any]:
    """What a run of the sampler takes.

    Args:
        noise: tooltip.
    """
    return [
        io.Noise.Input("noise", tooltip=noise),
        io.Guider.Input("guider", tooltip="A guider that uses the model from Joint-Modulation Merger."),
        io.Sampler.Input("sampler", tooltip="From KSamplerSelect; any will do."),
        io.Sigmas.Input("sigmas", tooltip="From a scheduler that uses the model from Joint-Modulation Merger."),
        io.Latent.Input("latent", tooltip="The latent from Patch Encoder."),
        Plan.Input("plan", optional=True, tooltip="From Patch Planner."),
    ]


class PatchSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_PatchSampler",
            display_name="Patch Sampler",
            category=Stage.SAMPLE,
            description="Runs the denoising. KSampler and SamplerCustomAdvanced work too; this one checks the plan.",
            search_aliases=["patchvsr", "sampler"],
            inputs=sampling_sockets(
                "From RandomNoise; it covers the whole canvas, so that overlapping patches share the same noise."
            ),
            outputs=[io.Latent.Output(tooltip="The fused latent of the whole canvas.")],
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def execute(
        cls,
        noise: io.Noise.Type,
        guider: io.Guider.Type,
        sampler: io.Sampler.Type,
        sigmas: io.Sigmas.Type,
        latent: io.Latent.Type,
        plan: Plan.Type | None = None,
    ) -> io.NodeOutput:
        if is_tiny(guider.model_patcher):
            check_conditioned(cls.hidden.prompt)
        plan = connected("plan", plan, plan_in(latent))
        check_canvas(as_canvas(latent["samples"]), plan)
        return io.NodeOutput(sample_latent(noise, guider, sampler, sigmas, latent))


class StarSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_StarSchedule",
            display_name="STAR Schedule",
            category=Stage.SAMPLE,
            description="The noise levels of STAR's fast mode: big steps through structure, small ones through detail. "
            "14 steps from its own start, fewer from a lower one. For Wan; the tiny default needs one step.",
            search_aliases=["patchvsr", "star", "sigmas", "scheduler", "denoise"],
            inputs=[
                io.Float.Input(
                    "start",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Noise level at which the run starts. 1: STAR's own (0.96). Lower keeps more of the "
                    "input, like a lower denoise; 0.3 only enhances.",
                ),
            ],
            outputs=[io.Sigmas.Output(tooltip="Noise levels, for a sampler.")],
        )

    @classmethod
    def execute(cls, start: float) -> io.NodeOutput:
        return io.NodeOutput(star_schedule(None if start == 1 else start))
