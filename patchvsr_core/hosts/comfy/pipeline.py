"""The ComfyUI host with native objects: frames in, larger frames out. The stages are those of :mod:`stages`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from torch import Tensor

from ...degradation import DegradationEstimator, shipped_estimator
from ...errors import PlanError
from ...finish.refine import Refiner
from ...plan.chunks import ChunkState
from ...progress import OnProgress
from ...run.cost import Networks
from ...settings import UPSCALER, Settings
from ...stages import Host, Noise, RunSetup, upscale_clip
from ...stages.families import FAMILIES, Family
from ...vae.codec import Codec
from .adapter import attach_control
from .attention import attach_attention
from .codec import codec_of
from .image_upscaler import run_image_upscaler
from .input_guidance import EnhanceOptions, attach_enhancement
from .joint_modulation import FusionOptions, attach_joint_modulation
from .layout import as_batch, as_canvas, is_image_model
from .loading import adapter_of, family_of, sizes_of
from .propagation import attach_propagation, attach_rescale, check_no_propagation
from .realtime import run_fast_base
from .refiner import run_refiner, shipped_refiner
from .restorer import run_restorer
from .run_times import timed_stage
from .schedule import from_flow, is_flow


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
    upscaler: Any = None
    """UPSCALE_MODEL that makes the base layer of that name."""

    @cached_property
    def codec(self) -> Codec:
        return codec_of(self.vae)

    @cached_property
    def family(self) -> Family:
        """What is known of models of its kind."""
        return FAMILIES[family_of(self.model)]

    @property
    def refiner(self) -> Refiner:
        return shipped_refiner()

    @property
    def estimator(self) -> DegradationEstimator:
        return shipped_estimator()

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
            sizes_of(self.model),
            self.model.model_dtype().itemsize,
            0 if self.adapter is None else adapter_of(self.adapter).config.width,
            not self.codec.is_lossless,
            self.refiner,
            None if sizes_of(self.model) else self._working_bytes,
        )

    def _working_bytes(self, patch_size: tuple[int, int, int]) -> int:
        """What ComfyUI reckons that one more patch takes in a model call."""
        frames, height, width = patch_size
        images, channels = is_image_model(self.model.model), self.codec.channels
        one = [frames, channels, height, width] if images else [1, channels, frames, height, width]
        two = [2 * one[0], *one[1:]]
        return int(self.model.memory_required(two) - self.model.memory_required(one))

    @property
    def defaults(self) -> Settings:
        """What suits the model."""
        chosen = self.family.without_adapter if self.adapter is None else self.family.settings
        return chosen if self.upscaler is None else replace(chosen, base_layer=UPSCALER)


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
        (T, height, width, 3) float32 in [0, 1] on the CPU; none where ``chunk_state.on_final`` took them.
    """
    check_no_propagation(models.model)
    if models.family.stills and len(frames) > 1:
        raise PlanError(
            f"{models.family.title} makes single pictures, and this clip has {len(frames)} frames; take a video model."
        )
    family = family_of(models.model)
    host = Host(
        denoise=partial(_denoise, models=models, settings=settings, report=report, noise=noise),
        refine=run_refiner,
        restore=run_restorer,
        upscale=None if models.upscaler is None else partial(run_image_upscaler, models.upscaler),
        fast=run_fast_base,
        timed=lambda stage, canvas: timed_stage(stage, canvas.frames, canvas.target, family),
    )
    return upscale_clip(frames, target, models, settings, report, host, chunk_state).float().cpu()


def _denoise(run: RunSetup, *, models: NativeModels, settings: Settings, report: OnProgress, noise: Noise) -> Tensor:
    """ComfyUI's own sampling of the canvas, fused patch by patch."""
    guider = comfy.samplers.CFGGuider(_prepare_model(run, models, settings, report))
    conditions = {"positive": _with_input(models.positive, run, models)}
    if settings.guidance != 1:
        if models.negative is None:
            raise PlanError("Guidance compares two prompts; connect a negative prompt, or set guidance to 1.")
        conditions["negative"] = _with_input(models.negative, run, models)
    guider.inner_set_conds(conditions)
    guider.set_cfg(settings.guidance)
    images, sampling = is_image_model(models.model.model), models.model.get_model_object("model_sampling")
    samples = guider.sample(
        as_batch(noise(run.latent.shape), images=images),
        as_batch(run.latent, images=images),
        comfy.samplers.sampler_object(settings.solver),
        _levels(run.sigmas, sampling),
        disable_pbar=True,
        seed=settings.seed,
    )
    return as_canvas(samples)


def _with_input(conditioning: Any, run: RunSetup, models: NativeModels) -> Any:
    """CONDITIONING, with the upsampled input of this clip for a model that is given it; as core's own node makes it."""
    if not models.family.takes_input:
        return conditioning
    condition = torch.cat([run.latent, torch.ones_like(run.latent[:, :1])], 1)
    return [[text, {**extras, "condition": condition}] for text, extras in conditioning]


def _levels(sigmas: Tensor, sampling: Any) -> Tensor:
    """The noise levels of a flow as those of a model, none above its highest."""
    if is_flow(sampling):
        return sigmas
    highest = float(sampling.sigma_max)
    return torch.tensor([min(from_flow(sampling, float(sigma)), highest) for sigma in sigmas])


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
    sampling = model.get_model_object("model_sampling")
    fusion = FusionOptions(
        settings.patches_at_once,
        (from_flow(sampling, settings.auxiliary_start), from_flow(sampling, settings.auxiliary_end)),
        settings.skip_interval,
        report=lambda done, total: report("denoise", done, total),
    )
    return attach_joint_modulation(model, run.plan, fusion)
