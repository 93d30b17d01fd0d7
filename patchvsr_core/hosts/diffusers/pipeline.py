"""The stages in order, without ComfyUI: frames in, larger frames out."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...adapter import Strengths
from ...distributed import SINGLE, ProcessGroup, check_divisible, current_group, use_group
from ...errors import PlanError
from ...finish.degradation import estimate_degradation
from ...finish.refine import refine_frames
from ...plan.canvas import PatchPlan
from ...plan.chunks import ChunkState
from ...progress import OnProgress
from ...propagation.attention import AttentionRun
from ...propagation.attention_options import check_layers
from ...propagation.canvas import CanvasPropagation, measured
from ...sampling.conditions import Controls, PatchConditions
from ...sampling.input_guidance import ancestral_euler, low_frequency_guidance, pixel_projection
from ...sampling.joint_modulation import check_steps, fuse
from ...sampling.patch_skipping import Economy, calm_patches, economy_of_run
from ...sampling.schedules import noise_levels, step_count
from ...sampling.solvers import SOLVERS, Solver, bridge_start, flow_start, guided, level_below
from ...settings import Settings
from ...stages import (
    Noise,
    attention_options,
    decode_frames,
    encode_input,
    make_plan,
    patches_of_step,
    postprocess,
    propagation_options,
    steps_of_run,
)
from ...vae.codec import SpaceToDepth
from ...vae.encode import encode_global, seeded_noise
from .denoiser import DiffusersDenoiser
from .models import Models


@torch.inference_mode()
def upscale(
    frames: Tensor,
    target: tuple[int, int],
    models: Models,
    settings: Settings | None = None,
    on_progress: OnProgress | None = None,
    *,
    noise: Noise | None = None,
    chunk_state: ChunkState | None = None,
    group: ProcessGroup = SINGLE,
) -> Tensor:
    """Upscale one clip.

    Args:
        frames: (T, h, w, 3) in [0, 1]; not changed.
        target: (height, width) of the result.
        settings: None takes the defaults of the model.
        noise: makes the noise that denoising starts from; None: the seed's.
        chunk_state: takes propagation along the motion on from the clip before and to the one after.
        group: processes that share the work; all are called with the same arguments.

    Returns:
        (T, height, width, 3) float32 in [0, 1] on the CPU; all frames for the leader of the group.
    """
    settings = settings or models.defaults
    check_divisible(settings, group)
    report = on_progress or (lambda stage, done, total: None)
    with use_group(group):
        return _upscale(frames, target, models, settings, report, noise, chunk_state)


def _upscale(
    frames: Tensor,
    target: tuple[int, int],
    models: Models,
    settings: Settings,
    report: OnProgress,
    noise: Noise | None,
    chunk_state: ChunkState | None,
) -> Tensor:
    group = current_group()
    source = (int(frames.shape[1]), int(frames.shape[2]))
    plan = make_plan(len(frames), source, target, models, settings)
    frames_on_device = frames.to(models.device, torch.float32)
    degradation = group.broadcast_object(
        lambda: estimate_degradation(models.estimator, frames_on_device, settings.restore_strength)
    )
    own = postprocess(
        _decoded(frames_on_device, plan, models, settings, report, noise, chunk_state),
        frames_on_device,
        settings,
        report,
        models.codec,
        None if models.refiner is None else partial(refine_frames, models.refiner),
        degradation,
    )
    return group.gather(own, len(frames))


def _decoded(
    frames: Tensor,
    plan: PatchPlan,
    models: Models,
    settings: Settings,
    report: OnProgress,
    noise: Noise | None,
    chunk_state: ChunkState | None,
) -> Tensor:
    """What the base makes, as frames; the latent is gone when they are there."""
    latent = sample(frames, plan, models, settings, report, noise, chunk_state)
    return decode_frames(latent, frames, plan.canvas, models.codec, settings, report, models.decoder)


def sample(
    frames: Tensor,
    plan: PatchPlan,
    models: Models,
    settings: Settings,
    report: OnProgress,
    noise: Noise | None = None,
    chunk_state: ChunkState | None = None,
) -> Tensor:
    """Encode, condition and denoise with joint modulation: the fused canvas, (1, C, t, h, w)."""
    solver = _solver(models, settings)
    check_steps(plan, steps := step_count(settings))
    latent = encode_input(frames, plan.canvas, models.codec, settings, report)
    if settings.start == 0:
        return latent  # nothing is to be denoised
    controls = _controls(frames, latent, plan, models, settings)
    sigmas = noise_levels(settings)
    attention = _attention(plan, models, settings)
    propagate = _propagation(frames, plan, models, settings, chunk_state)
    progress = _StepProgress(plan, settings, report)
    economy = _economy(frames, latent, plan, models, settings)
    together = models.patches_at_once(plan, settings)

    def model(x: Tensor, sigma: Tensor, step: int) -> Tensor:
        patches = patches_of_step(plan, settings, step)
        predictions = fuse(
            denoiser,
            x,
            sigma,
            patches,
            partial(controls, again=steps > 1),
            patches_at_once=together,
            on_patches=progress,
            attention=attention,
            economy=economy,
            step=step,
        )
        progress.calls += len(patches)
        x0 = guided(predictions, settings.guidance, settings.guidance_rescale, x)
        if propagate is not None:
            kept = (1 - settings.eta) ** 0.5
            x0 = propagate(x0, float(sigma), level_below(sigma, sigmas) or 0.0, step, kept=kept)
        x0 = low_frequency_guidance(x0, latent, sigma, strength=settings.low_frequency_guidance, start=settings.start)
        if step >= steps - settings.projection_steps:
            x0 = pixel_projection(
                x0,
                models.codec,
                frames,
                plan.canvas,
                tile_px=settings.tile_px,
                overlap_px=settings.tile_overlap_px,
            )
        return x0

    report("denoise", 0, progress.total)
    prompts = _prompts(models, settings)
    denoiser = DiffusersDenoiser(models.base, prompts, models.adapter, attention=attention, keep_text=True)
    try:
        drawn = (noise or partial(seeded_noise, seed=settings.seed))(latent.shape).to(latent)
        return solver(model, _start(latent, drawn, sigmas[0], models), sigmas, None)
    finally:
        denoiser.close()


def _attention(plan: PatchPlan, models: Models, settings: Settings) -> AttentionRun | None:
    options = attention_options(settings)
    check_layers(options, models.base.spec.layers)
    return AttentionRun(options, plan, step_count(settings)) if options.active else None


def _propagation(
    frames: Tensor, plan: PatchPlan, models: Models, settings: Settings, chunk_state: ChunkState | None
) -> CanvasPropagation | None:
    options = propagation_options(settings)
    if options is None:
        return None
    pixels = isinstance(models.codec, SpaceToDepth)
    return measured(options, plan.canvas, frames, pixels=pixels, chunk_state=chunk_state)


def _economy(frames: Tensor, latent: Tensor, plan: PatchPlan, models: Models, settings: Settings) -> Economy | None:
    from_input = models.base.start_noise is not None or settings.start < 1
    conditions = 1 if settings.guidance == 1 else 2
    return economy_of_run(
        settings.skip_interval,
        step_count(settings),
        partial(calm_patches, frames, plan),
        [latent] * conditions if from_input else None,
        attention=settings.spatial_attention or settings.temporal_attention,
    )


def _solver(models: Models, settings: Settings) -> Solver:
    if settings.solver not in SOLVERS:
        raise PlanError(f"Solver {settings.solver!r} is unknown; choose one of {', '.join(SOLVERS)}.")
    if settings.eta == 0:
        return SOLVERS[settings.solver]
    if settings.solver != "euler" or models.base.start_noise is not None:
        raise PlanError(
            "eta replaces the noise of a flow; it needs the Euler solver and a base that starts from noise."
        )
    return ancestral_euler(settings.eta, settings.seed)


def _start(latent: Tensor, noise: Tensor, sigma: Tensor, models: Models) -> Tensor:
    if models.base.start_noise is None:
        return flow_start(latent, noise, sigma)
    return bridge_start(latent, noise, sigma, models.base.start_noise)


def _prompts(models: Models, settings: Settings) -> list[Tensor]:
    """The prompt, and for guidance the negative one."""
    prompt = models.prompt.to(models.device)
    if settings.guidance == 1:
        return [prompt]
    return [prompt, torch.zeros_like(prompt) if models.negative is None else models.negative.to(prompt)]


def _controls(frames: Tensor, latent: Tensor, plan: PatchPlan, models: Models, settings: Settings) -> Controls:
    adapter, view = models.adapter, None
    if adapter is not None and adapter.global_ is not None and settings.global_strength > 0:
        view = encode_global(models.codec, frames, plan.canvas, plan.patch_size[1:])
    conditions = PatchConditions(latent, settings.noise_level, settings.seed)
    return Controls(
        plan,
        latent,
        augmented=conditions.augmented(),
        noise_level=settings.noise_level,
        view=view,
        adapter=adapter,
        strengths=Strengths(settings.patch_strength, settings.global_strength),
    )


class _StepProgress:
    """Counts patches over all steps."""

    def __init__(self, plan: PatchPlan, settings: Settings, report: OnProgress) -> None:
        self.total = sum(len(patches_of_step(plan, settings, step)) for step in steps_of_run(settings))
        self.calls = 0
        self.report = report

    def __call__(self, done: int, patches: int) -> None:
        self.report("denoise", self.calls + done, self.total)
