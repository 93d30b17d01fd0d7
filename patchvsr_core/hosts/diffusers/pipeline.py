"""The diffusers host, without ComfyUI: frames in, larger frames out. The stages are those of :mod:`stages`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from ...distributed import SINGLE, ProcessGroup, check_divisible, use_group
from ...errors import PlanError
from ...errors.finite import check_finite
from ...finish.image_upscaler import upscale_images
from ...finish.refine import refine_frames
from ...plan.canvas import PatchPlan
from ...plan.chunks import ChunkState
from ...progress import OnProgress
from ...propagation.attention import AttentionRun
from ...propagation.attention_options import check_layers
from ...restorer.shipped import restore_as_shipped
from ...sampling.conditions import Controls
from ...sampling.input_guidance import ancestral_euler, guide_low_frequencies, project_in_pixels
from ...sampling.joint_modulation import fuse
from ...sampling.patch_skipping import PatchSkipping, find_static_patches, make_patch_skipping
from ...sampling.solvers import SOLVERS, Solve, apply_guidance, next_level, start_bridge, start_flow
from ...settings import Settings
from ...stages import Host, Noise, RunSetup, patches_of_step, sample_canvas, steps_of_run, upscale_clip
from ...vae.encode import seeded_noise
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
        (T, height, width, 3) float32 in [0, 1] on the CPU; all frames for the leader of the group, and none where
        ``chunk_state.on_final`` took them.
    """
    settings = settings or models.defaults
    check_divisible(settings, group)
    report = on_progress or (lambda stage, done, total: None)
    host = _host_of(models, settings, report, noise)
    with use_group(group):
        own = upscale_clip(frames.to(models.device, torch.float32), target, models, settings, report, host, chunk_state)
        return group.gather(own, len(frames))


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
    host = _host_of(models, settings, report, noise)
    return sample_canvas(frames, plan, models, settings, report, host, chunk_state=chunk_state)


def _host_of(models: Models, settings: Settings, report: OnProgress, noise: Noise | None) -> Host:
    """How the networks run here; a solver that cannot is refused before any work."""
    return Host(
        denoise=partial(
            _denoise,
            models=models,
            settings=settings,
            report=report,
            noise=noise or partial(seeded_noise, seed=settings.seed),
            solver=_choose_solver(models, settings),
        ),
        refine=None if models.refiner is None else partial(refine_frames, models.refiner),
        restore=partial(restore_as_shipped, device=models.device, dtype=models.dtype),
        upscale=None if models.upscaler is None else partial(upscale_images, models.upscaler),
        decoder=models.decoder,
    )


def _denoise(
    run: RunSetup, *, models: Models, settings: Settings, report: OnProgress, noise: Noise, solver: Solve
) -> Tensor:
    """From noise, or from the noised input, to the fused canvas (1, C, t, h, w)."""
    check_layers(run.attention, models.base.spec.layers)
    attention = AttentionRun(run.attention, run.plan, len(run.sigmas) - 1) if run.attention.active else None
    progress = _StepProgress(run.plan, settings, report)
    skip_policy = _make_skip_policy(run, models, settings)
    report("denoise", 0, progress.total)
    prompts = _list_prompts(models, settings)
    denoiser = DiffusersDenoiser(models.base, prompts, models.adapter, attention=attention, keep_text=True)
    try:
        model = _CanvasModel(run, models, settings, denoiser, progress, attention, skip_policy)
        latent = solver(model, _start_state(run, noise, models), run.sigmas, None)
    finally:
        denoiser.close()
    network = "base model" if models.adapter is None else "base model with its adapter"
    return check_finite(
        latent, network, models.base.transformer, models.adapter
    )  # once: a step does not wait for a GPU


@dataclass(eq=False)
class _CanvasModel:
    """The base on the whole canvas, as a solver calls it: x0 out of a state."""

    run: RunSetup
    models: Models
    settings: Settings
    denoiser: DiffusersDenoiser
    progress: _StepProgress
    attention: AttentionRun | None
    skip_policy: PatchSkipping | None
    controls: Controls = field(init=False)
    patches_at_once: int = field(init=False)

    def __post_init__(self) -> None:
        run = self.run
        self.patches_at_once = self.models.patches_at_once(run.plan, self.settings)
        self.controls = Controls(
            run.plan,
            run.latent,
            augmented=run.conditions.augmented_latent(),
            noise_level=run.conditions.noise_level,
            seed=run.conditions.seed,
            view=run.view,
            adapter=self.models.adapter,
            strengths=run.strengths,
        )

    @property
    def steps(self) -> int:
        return len(self.run.sigmas) - 1

    def __call__(self, x: Tensor, sigma: Tensor, step: int) -> Tensor:
        settings = self.settings
        x0 = apply_guidance(self._predict(x, sigma, step), settings.guidance, settings.guidance_rescale, x)
        if self.run.propagation is not None:
            following = next_level(sigma, self.run.sigmas) or 0.0
            noise_kept = None if SOLVERS[settings.solver].seeded else (1 - settings.eta) ** 0.5
            x0 = self.run.propagation(x0, float(sigma), following, step, noise_kept=noise_kept)
        x0 = guide_low_frequencies(
            x0, self.run.latent, sigma, strength=settings.low_frequency_guidance, start=settings.start
        )
        if step < self.steps - settings.projection_steps:
            return x0
        return project_in_pixels(
            x0,
            self.models.codec,
            self.run.frames,
            self.run.plan.canvas,
            tile_px=settings.tile_px,
            overlap_px=settings.tile_overlap_px,
        )

    def _predict(self, x: Tensor, sigma: Tensor, step: int) -> list[Tensor]:
        """x0 per condition, fused from all patches of the step."""
        patches = patches_of_step(self.run.plan, self.settings, step)
        predictions = fuse(
            self.denoiser,
            x,
            sigma,
            patches,
            partial(self.controls, again=self.steps > 1),
            patches_at_once=self.patches_at_once,
            on_patches=self.progress,
            attention=self.attention,
            skip_policy=self.skip_policy,
            step=step,
        )
        self.progress.calls += len(patches)
        return predictions


def _make_skip_policy(run: RunSetup, models: Models, settings: Settings) -> PatchSkipping | None:
    from_input = models.base.start_noise is not None or settings.start < 1
    conditions = 1 if settings.guidance == 1 else 2
    return make_patch_skipping(
        settings.skip_interval,
        len(run.sigmas) - 1,
        partial(find_static_patches, run.frames, run.plan),
        [run.latent] * conditions if from_input else None,
        attention=settings.spatial_attention or settings.temporal_attention,
    )


def _choose_solver(models: Models, settings: Settings) -> Solve:
    solver = SOLVERS[settings.solver]
    if settings.eta == 0:
        return partial(solver.solve, seed=settings.seed) if solver.seeded else solver.solve
    if not solver.stochastic or models.base.start_noise is not None:
        raise PlanError(
            "eta replaces the noise of a flow; it needs the Euler solver and a base that starts from noise."
        )
    return ancestral_euler(settings.eta, settings.seed)


def _start_state(run: RunSetup, noise: Noise, models: Models) -> Tensor:
    drawn = noise(run.latent.shape).to(run.latent)
    if models.base.start_noise is None:
        return start_flow(run.latent, drawn, run.sigmas[0])
    return start_bridge(run.latent, drawn, run.sigmas[0], models.base.start_noise)


def _list_prompts(models: Models, settings: Settings) -> list[Tensor]:
    """The prompt, and for guidance the negative one."""
    prompt = models.prompt.to(models.device)
    if settings.guidance == 1:
        return [prompt]
    return [prompt, torch.zeros_like(prompt) if models.negative is None else models.negative.to(prompt)]


class _StepProgress:
    """Counts patches over all steps."""

    def __init__(self, plan: PatchPlan, settings: Settings, report: OnProgress) -> None:
        self.total = sum(len(patches_of_step(plan, settings, step)) for step in steps_of_run(settings))
        self.calls = 0
        self.report = report

    def __call__(self, done: int, patches: int) -> None:
        self.report("denoise", self.calls + done, self.total)
