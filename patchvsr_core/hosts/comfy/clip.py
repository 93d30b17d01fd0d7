"""The stages in order with native objects: frames in, larger frames out, as :func:`patchvsr_core.pipeline.upscale`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...codec import Codec
from ...conditions import PatchConditions
from ...encode import encode_canvas, encode_global
from ...errors import PlanError
from ...layout import PatchPlan
from ...refine import Refiner
from ...sampling import sigma_schedule
from ...settings import TINY, WAN, WAN_PLAIN, Settings
from ...stages import Noise, OnProgress, decoded_frames, finished, make_plan
from .codec import codec_of
from .control import attach_control
from .enhance import EnhanceOptions, attach_enhancement
from .joint import FusionOptions, attach_joint_modulation
from .loading import adapter_of
from .refining import run_refiner, shipped_damage, shipped_refiner
from .tiny import TinyConfig


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
        if isinstance(self.model.model.model_config, TinyConfig):
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
) -> Tensor:
    """Upscale one clip.

    Args:
        frames: (T, h, w, 3) in [0, 1]; not changed.
        target: (height, width) of the result.
        report: called with (stage, done, in all); raises to stop.
        noise: makes the noise that denoising starts from.

    Returns:
        (T, height, width, 3) float32 in [0, 1] on the CPU.
    """
    source = (int(frames.shape[1]), int(frames.shape[2]))
    plan = make_plan(len(frames), source, target, models, settings)
    damage = shipped_damage(frames, settings.cleanup)
    result = finished(
        _decoded(frames, plan, models, settings, report, noise), frames, settings, report, run_refiner, damage
    )
    return result.float().cpu()


def _decoded(
    frames: Tensor, plan: PatchPlan, models: NativeModels, settings: Settings, report: OnProgress, noise: Noise
) -> Tensor:
    """What the base makes, as frames on the CPU; the latent is gone when they are there."""
    latent = encode_canvas(
        models.codec,
        frames,
        plan.canvas,
        tile_px=settings.tile_px,
        overlap_px=settings.tile_overlap_px,
        on_tile=lambda done, total: report("encode", done, total),
    )
    if settings.start > 0:
        latent = _denoised(latent, frames, plan, models, settings, report, noise)
    return decoded_frames(latent, frames, plan.canvas, models.codec, settings, report).to(frames.device)


def _denoised(
    latent: Tensor,
    frames: Tensor,
    plan: PatchPlan,
    models: NativeModels,
    settings: Settings,
    report: OnProgress,
    noise: Noise,
) -> Tensor:
    """ComfyUI's own sampling of the canvas, fused patch by patch."""
    guider = comfy.samplers.CFGGuider(_prepared(latent, frames, plan, models, settings, report))
    conditions = {"positive": models.positive}
    if settings.guidance != 1:
        if models.negative is None:
            raise PlanError("Guidance compares two prompts; connect a negative prompt, or set guidance to 1.")
        conditions["negative"] = models.negative
    guider.inner_set_conds(conditions)
    guider.set_cfg(settings.guidance)
    sigmas = sigma_schedule(settings.steps, shift=settings.shift, start=settings.start)
    return guider.sample(
        noise(latent.shape),
        latent,
        comfy.samplers.sampler_object(settings.solver),
        sigmas,
        disable_pbar=True,
        seed=settings.seed,
    )


def _prepared(
    latent: Tensor, frames: Tensor, plan: PatchPlan, models: NativeModels, settings: Settings, report: OnProgress
) -> Any:
    """The model as Apply PatchVSR and Joint-Modulation Merger make it."""
    codec = models.codec
    conditions = PatchConditions(latent, settings.noise_level, settings.seed, codec, frames)
    view = None
    if models.adapter is not None and adapter_of(models.adapter).global_ is not None:
        view = encode_global(codec, frames, plan.canvas, plan.patch_size[1:])
    controlled = attach_control(
        models.model,
        plan,
        conditions,
        model_patch=models.adapter,
        view=view,
        patch_strength=settings.patch_strength,
        global_strength=settings.global_strength,
    )
    options = EnhanceOptions(settings.structure_lock, settings.projection_steps, settings.churn)
    held = attach_enhancement(controlled, plan, conditions, options)
    fusion = FusionOptions(settings.patches_at_once, report=lambda done, total: report("denoise", done, total))
    return attach_joint_modulation(held, plan, fusion)
