"""The ComfyUI host with native objects: frames in, larger frames out. The stages are those of :mod:`stages`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...errors import PlanError
from ...finish.degradation import DegradationEstimator
from ...finish.refine import Refiner
from ...plan.chunks import ChunkState
from ...progress import OnProgress
from ...run.cost import Networks
from ...settings import TINY, WAN, WAN_PLAIN, Settings
from ...stages import Noise, RunSetup, upscale_clip
from ...vae.codec import Codec
from .adapter import attach_control
from .attention import attach_attention
from .codec import codec_of
from .input_guidance import EnhanceOptions, attach_enhancement
from .joint_modulation import FusionOptions, attach_joint_modulation
from .loading import adapter_of, base_spec
from .propagation import attach_propagation, attach_rescale, check_no_propagation
from .refiner import run_refiner, shipped_refiner
from .restorer import run_restorer
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
    def estimator(self) -> DegradationEstimator:
        return shipped_refiner().estimator

    @property
    def has_global_branch(self) -> bool:
        return self.adapter is not None and adapter_of(self.adapter).global_ is not None

    @property
    def device(self) -> torch.device:
        device = comfy.model_management.get_torch_device()
        return device if isinstance(device, torch.device) else torch.device(device)

    @property
    def networks(self) -> Networks:
        """Their sizes, as far as memory depends on them."""
        return Networks(
            self.codec.channels,
            base_spec(self.model),
            self.model.model_dtype().itemsize,
            0 if self.adapter is None else adapter_of(self.adapter).config.width,
            not self.codec.is_lossless,
            self.refiner,
        )

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
    check_no_propagation(models.model)
    channels = models.codec.channels
    result = upscale_clip(
        frames,
        target,
        models,
        settings,
        report,
        denoise=partial(_denoise, models=models, settings=settings, report=report, noise=noise),
        refine=run_refiner,
        restore=run_restorer,
        chunk_state=chunk_state,
        timed=lambda stage, canvas: timed_stage(stage, canvas.frames, canvas.target, channels),
    )
    return result.float().cpu()


def _denoise(run: RunSetup, *, models: NativeModels, settings: Settings, report: OnProgress, noise: Noise) -> Tensor:
    """ComfyUI's own sampling of the canvas, fused patch by patch."""
    guider = comfy.samplers.CFGGuider(_prepare_model(run, models, settings, report))
    conditions = {"positive": models.positive}
    if settings.guidance != 1:
        if models.negative is None:
            raise PlanError("Guidance compares two prompts; connect a negative prompt, or set guidance to 1.")
        conditions["negative"] = models.negative
    guider.inner_set_conds(conditions)
    guider.set_cfg(settings.guidance)
    return guider.sample(
        noise(run.latent.shape),
        run.latent,
        comfy.samplers.sampler_object(settings.solver),
        run.sigmas,
        disable_pbar=True,
        seed=settings.seed,
    )


def _prepare_model(run: RunSetup, models: NativeModels, settings: Settings, report: OnProgress) -> Any:
    """The model as the nodes make it."""
    model = models.model
    if run.attention.active:
        model = attach_attention(model, **vars(run.attention))
    if settings.guidance_rescale > 0:
        model = attach_rescale(model, settings.guidance_rescale)
    if run.propagation is not None:
        model = attach_propagation(model, run.propagation)
    model = attach_control(
        model,
        run.plan,
        run.conditions,
        model_patch=models.adapter,
        view=run.view,
        patch_strength=run.strengths.patch,
        global_strength=run.strengths.global_,
    )
    options = EnhanceOptions(settings.low_frequency_guidance, settings.projection_steps, settings.eta)
    model = attach_enhancement(model, run.plan, run.conditions, options)
    fusion = FusionOptions(
        settings.patches_at_once,
        (settings.auxiliary_start, settings.auxiliary_end),
        settings.skip_interval,
        report=lambda done, total: report("denoise", done, total),
    )
    return attach_joint_modulation(model, run.plan, fusion)
