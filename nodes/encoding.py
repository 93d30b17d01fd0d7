"""Nodes from pixels to conditions."""

from __future__ import annotations

from comfy_api.latest import io

from ..patchvsr_core.errors import AdapterError, PlanError
from ..patchvsr_core.finish.base_layer import starts_from_base
from ..patchvsr_core.hosts.comfy import (
    Progress,
    clip_of,
    codec_of,
    connected,
    latent_of,
    latent_with_plan,
    run_image_upscaler,
    timed_stage,
    vae_of,
)
from ..patchvsr_core.hosts.comfy.loading import adapter_of
from ..patchvsr_core.sampling.conditions import PatchConditions
from ..patchvsr_core.stages.families import family_of_codec
from ..patchvsr_core.vae.encode import encode_canvas, encode_global, encode_noised
from .sockets import GlobalContext, PatchCond, Plan, Stage
from .widgets import setting_widget, upscaler_socket


class PatchEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_PatchEncoder",
            display_name="Patch Encoder",
            category=Stage.PLAN,
            description="Upsamples the clip to the canvas and encodes it: the condition that every patch gets.",
            search_aliases=["patchvsr", "encode video"],
            inputs=[
                io.Vae.Input("vae", optional=True, tooltip="The VAE of the model, the same everywhere."),
                io.Image.Input("image", optional=True, tooltip="The same clip as in Patch Planner."),
                Plan.Input("plan", optional=True, tooltip="From Patch Planner."),
                setting_widget("noise_level"),
                io.Int.Input(
                    "noise_seed",
                    default=0,
                    min=0,
                    max=2**32 - 1,
                    control_after_generate=False,
                    tooltip="Seed of that noise; unused at level 0.",
                ),
                io.Image.Input(
                    "base_layer",
                    optional=True,
                    tooltip="For a Wan: the clip, already upscaled by DAP Upscale, RDG Upscale or any other "
                    "node to any size, for the patches to refine. Not connected: bicubic. With the tiny "
                    "default, connect it to Refine & Fidelity instead.",
                ),
                upscaler_socket("Instead of base_layer."),
                setting_widget("noise_form", optional=True),
            ],
            outputs=[
                PatchCond.Output(display_name="patch_cond", tooltip="For Apply PatchVSR."),
                io.Latent.Output(tooltip="The upsampled clip on the canvas: what a run from the input starts from."),
            ],
        )

    @classmethod
    def execute(
        cls,
        noise_level: float,
        noise_seed: int,
        vae: io.Vae.Type | None = None,
        image: io.Image.Type | None = None,
        plan: Plan.Type | None = None,
        base_layer: io.Image.Type | None = None,
        upscale_model: io.UpscaleModel.Type | None = None,
        noise_form: str = "latent",
    ) -> io.NodeOutput:
        plan = connected("plan", plan)
        vae, source = vae_of(vae, plan), clip_of(image, plan)[..., :3]
        codec = codec_of(vae)
        if base_layer is not None and upscale_model is not None:
            raise PlanError("base_layer and upscale_model both make the base layer; disconnect one of them.")
        if (base_layer is not None or upscale_model is not None) and not starts_from_base(codec):
            raise PlanError(
                "The tiny default adds to bicubic what bicubic lacks; connect base_layer to Refine & Fidelity instead."
            )
        if upscale_model is not None:
            base_layer = run_image_upscaler(upscale_model, source, plan.canvas.target, on_frames=Progress())
        with timed_stage("encode", plan.canvas.frames, plan.canvas.target, family_of_codec(codec)):
            latent = encode_canvas(codec, source, plan.canvas, base=base_layer, on_tile=Progress())
            noised = encode_noised(
                codec, source, plan.canvas, noise_level, noise_seed, form=noise_form, on_tile=Progress()
            )
        conditions = PatchConditions(latent, noise_level, noise_seed, codec, source, plan, noised)
        return io.NodeOutput(conditions, latent_with_plan(latent_of(vae, latent), plan))


class GlobalContextEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_GlobalContextEncoder",
            display_name="Global Context Encoder",
            category=Stage.PLAN,
            description="Encodes the whole video at the size of one patch, to give every patch the context of the "
            "whole frame.",
            search_aliases=["patchvsr", "global branch"],
            inputs=[
                io.Vae.Input("vae", optional=True, tooltip="The VAE of the model, the same everywhere."),
                io.ModelPatch.Input(
                    "adapter", optional=True, tooltip="An adapter with a global branch, made for the model."
                ),
                io.Image.Input("image", optional=True, tooltip="The same clip as in Patch Planner."),
                Plan.Input("plan", optional=True, tooltip="From Patch Planner."),
            ],
            outputs=[GlobalContext.Output(display_name="global_context", tooltip="For Apply PatchVSR.")],
        )

    @classmethod
    def execute(
        cls,
        vae: io.Vae.Type | None = None,
        adapter: io.ModelPatch.Type | None = None,
        image: io.Image.Type | None = None,
        plan: Plan.Type | None = None,
    ) -> io.NodeOutput:
        plan, adapter = connected("plan", plan), connected("adapter", adapter)
        if adapter_of(adapter).global_ is None:
            raise AdapterError("This adapter has no global branch; leave the Global Context Encoder out.")
        codec, source = codec_of(vae_of(vae, plan)), clip_of(image, plan)[..., :3]
        return io.NodeOutput(encode_global(codec, source, plan.canvas, plan.patch_size[1:]))
