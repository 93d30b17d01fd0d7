"""The stages in order with native objects: frames in, larger frames out, as :mod:`hosts.diffusers.pipeline`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...errors import PlanError
from ...finish.refine import Refiner
from ...plan.canvas import PatchPlan
from ...plan.chunks import ChunkState
from ...progress import OnProgress
from ...propagation.canvas import measured
from ...sampling.conditions import PatchConditions
from ...sampling.schedules import noise_levels
from ...settings import TINY, WAN, WAN_PLAIN, Settings
from ...stages import (
    Noise,
    attention_options,
    decode_frames,
    encode_input,
    make_plan,
    postprocess,
    propagation_options,
)
from ...vae.codec import Codec
from ...vae.encode import encode_global
from .adapter import attach_control
from .attention import attach_attention
from .codec import codec_of
from .input_guidance import EnhanceOptions, attach_enhancement
from .joint_modulation import FusionOptions, attach_joint_modulation
from .loading import adapter_of
from .propagation import attach_propagation, attach_rescale, check_no_propagation
from .refiner import estimate_input_degradation, run_refiner, shipped_refiner
from .run_times import timed_stage
from .tiny import is_tiny


@dataclass(frozen=True, eq=False)
class NativeModels:
    """Native objects of a run."""

    model: Any
    vae: Any
    positive: Any
    """CONDITIONING."""
    negative: Any = None
    """CONDITIONING, for classifier-free guidance."""
    adapter: Any = None
    """MODEL_PATCH."""

    @cached_property
    def codec(self) -> Codec:
        return codec_of(self.vae)

    @property
    def refiner(self) -> Refiner:
        return shipped_refiner()

    @property
    def device(self) -> torch.device:
        device = comfy.model_management.get_torch_device()
        return device if isinstance(device, torch.device) else torch.device(device)

    @property
    def defaults(self) -> Settings:
        """What suits the model."""
        if is_tiny(self.model):
            return TINY
        return WAN_PLAIN if self.adapter is None else WAN


@torch.inference_mode()
def upscale_native(
    frames: Tensor,
    target: tuple[int, int],
    models: NativeModels,
    settings: Settings,
    report: OnProgress,
    *,
    noise: Noise,
    chunk_state: ChunkState | None = None,
) -> Tensor:
    """Upscale one clip.

    Args:
        frames: (T, h, w, 3) in [0, 1]; not changed.
        target: (height, width) of the result.
        report: called with (stage, done, in all); raises to stop.
        noise: makes the noise that denoising starts from.
        chunk_state: takes propagation along the motion on from the clip before and to the one after.

    Returns:
        (T, height, width, 3) float32 in [0, 1] on the CPU.
    """
    source = (int(frames.shape[1]), int(frames.shape[2]))
    plan = make_plan(len(frames), source, target, models, settings)
    degradation = estimate_input_degradation(frames, settings.restore_strength)
    decoded = partial(_decoded, frames, plan, models, settings, report, noise, chunk_state)
    return postprocess(decoded(), frames, settings, report, models.codec, run_refiner, degradation).float().cpu()


def _decoded(
    frames: Tensor,
    plan: PatchPlan,
    models: NativeModels,
    settings: Settings,
    report: OnProgress,
    noise: Noise,
    chunk_state: ChunkState | None,
) -> Tensor:
    """What the base makes, as frames on the CPU; the latent is gone when they are there."""
    canvas, channels = plan.canvas, models.codec.channels
    with timed_stage("encode", canvas.frames, canvas.target, channels):
        latent = encode_input(frames, canvas, models.codec, settings, report)
    if settings.start > 0:
        model = _prepared(latent, frames, plan, models, settings, report, chunk_state)
        latent = _denoised(latent, model, models, settings, noise)
    with timed_stage("decode", canvas.frames, canvas.target, channels):
        return decode_frames(latent, frames, canvas, models.codec, settings, report).to(frames.device)


def _denoised(latent: Tensor, model: Any, models: NativeModels, settings: Settings, noise: Noise) -> Tensor:
    """ComfyUI's own sampling of the canvas, fused patch by patch."""
    guider = comfy.samplers.CFGGuider(model)
    conditions = {"positive": models.positive}
    if settings.guidance != 1:
        if models.negative is None:
            raise PlanError("Guidance compares two prompts; connect a negative prompt, or set guidance to 1.")
        conditions["negative"] = models.negative
    guider.inner_set_conds(conditions)
    guider.set_cfg(settings.guidance)
    return guider.sample(
        noise(latent.shape),
        latent,
        comfy.samplers.sampler_object(settings.solver),
        noise_levels(settings),
        disable_pbar=True,
        seed=settings.seed,
    )


def _prepared(
    latent: Tensor,
    frames: Tensor,
    plan: PatchPlan,
    models: NativeModels,
    settings: Settings,
    report: OnProgress,
    chunk_state: ChunkState | None,
) -> Any:
    """The model as the nodes make it."""
    codec = models.codec
    conditions = PatchConditions(latent, settings.noise_level, settings.seed, codec, frames)
    view = None
    if models.adapter is not None and adapter_of(models.adapter).global_ is not None:
        view = encode_global(codec, frames, plan.canvas, plan.patch_size[1:])
    model = models.model
    check_no_propagation(model)
    attention = attention_options(settings)
    if attention.active:
        model = attach_attention(model, **vars(attention))
    if settings.guidance_rescale > 0:
        model = attach_rescale(model, settings.guidance_rescale)
    along = propagation_options(settings)
    if along is not None:
        pixels = is_tiny(model)
        model = attach_propagation(model, measured(along, plan.canvas, frames, pixels=pixels, chunk_state=chunk_state))
    controlled = attach_control(
        model,
        plan,
        conditions,
        model_patch=models.adapter,
        view=view,
        patch_strength=settings.patch_strength,
        global_strength=settings.global_strength,
    )
    options = EnhanceOptions(settings.low_frequency_guidance, settings.projection_steps, settings.eta)
    held = attach_enhancement(controlled, plan, conditions, options)
    fusion = FusionOptions(
        settings.patches_at_once,
        (settings.auxiliary_start, settings.auxiliary_end),
        settings.skip_interval,
        report=lambda done, total: report("denoise", done, total),
    )
    return attach_joint_modulation(held, plan, fusion)
