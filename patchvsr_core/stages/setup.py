"""What a run is made of: its plan, its steps, and what the settings demand around the base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..adapter import Strengths
from ..degradation import DegradationEstimator
from ..finish.refine import Refiner
from ..plan.canvas import Canvas, Patch, PatchPlan
from ..plan.chunks import ChunkState
from ..plan.planner import plan_patches
from ..propagation.attention_options import AttentionOptions, parse_layers
from ..propagation.canvas import CanvasPropagation, PropagationOptions, measure_propagation
from ..sampling.conditions import PatchConditions
from ..sampling.schedules import noise_levels, step_count
from ..sampling.solvers import SOLVERS
from ..settings import BICUBIC, RESTORER, Settings
from ..vae.codec import Codec
from ..vae.encode import encode_global, encode_noised
from .families import FAMILIES, family_of_codec


class ModelParts(Protocol):
    """What planning and memory depend on, in the models of any host."""

    @property
    def codec(self) -> Codec:
        """Pixels to latents and back."""

    @property
    def refiner(self) -> Refiner | None:
        """What runs after decoding."""

    @property
    def device(self) -> torch.device:
        """Where the work is done."""


class RunModels(ModelParts, Protocol):
    """What a run depends on beside the base, in the models of any host."""

    @property
    def estimator(self) -> DegradationEstimator | None:
        """Estimates the degradation of the input; None: every input is taken for clean."""

    @property
    def has_global_branch(self) -> bool:
        """Whether the adapter attends to a view of the whole video."""


@dataclass(frozen=True, eq=False)
class RunSetup:
    """What a host denoises with, beside its base model."""

    frames: Tensor
    """(T, h, w, 3) input clip in [0, 1]."""
    plan: PatchPlan
    conditions: PatchConditions
    """Of every patch, and the start of the run."""
    view: Tensor | None
    """(1, C, t, h', w') latent of the whole video at patch size; None where nothing attends to it."""
    strengths: Strengths
    sigmas: Tensor
    """(steps + 1,) noise levels, the last one 0."""
    attention: AttentionOptions
    propagation: CanvasPropagation | None

    @property
    def latent(self) -> Tensor:
        """(1, C, t, h, w) of the upsampled LR input."""
        return self.conditions.latent


def defaults_for(codec: Codec) -> Settings:
    """What suits the model of a codec, for nodes that are given no more of it."""
    return FAMILIES[family_of_codec(codec)].settings


def layout_for(codec: Codec) -> str:
    """The layout that suits the model of a codec."""
    return defaults_for(codec).layout


def runs_diffusion(settings: Settings, *, is_lossless: bool) -> bool:
    """Whether anything is denoised: not where the base layer is the whole result.

    Args:
        is_lossless: of the model's codec.
    """
    return not (is_lossless and settings.base_layer != BICUBIC and settings.patch_detail == 0)


def carries_state(settings: Settings) -> bool:
    """Whether a clip leaves a state to the next one of its shot; see :class:`plan.chunks.ChunkState`."""
    return settings.propagation > 0 or settings.base_layer == RESTORER


def make_plan(
    frames: int, source: tuple[int, int], target: tuple[int, int], models: ModelParts, settings: Settings
) -> PatchPlan:
    """Plan a run for the codec of ``models``; sizes are (height, width)."""
    codec = models.codec
    return plan_canvas(Canvas(frames, source, target, codec.stride_px, codec.stride_frames), settings)


def plan_canvas(canvas: Canvas, settings: Settings) -> PatchPlan:
    """Plan the patches of a canvas as settings ask for them."""
    return plan_patches(
        canvas,
        patch_px=settings.patch_px,
        layout=settings.layout,
        window_frames=settings.window_frames,
        overlap_frames=settings.overlap_frames,
    )


def patches_of_step(plan: PatchPlan, settings: Settings, step: int) -> tuple[Patch, ...]:
    """The patches that make the prediction of a step, counted from 0."""
    return plan.at_step(step, auxiliary=runs_auxiliary(settings, float(noise_levels(settings)[step])))


def runs_auxiliary(settings: Settings, sigma: float) -> bool:
    """Whether auxiliary patches run at a noise level, beside the primary grid."""
    return settings.auxiliary_end <= sigma <= settings.auxiliary_start


def steps_of_run(settings: Settings) -> list[int]:
    """The step of every model call; a solver that looks ahead calls the model twice at every step but the first."""
    steps = list(range(step_count(settings)))
    return steps + steps[1:] if SOLVERS[settings.solver].look_ahead else steps


def attention_options(settings: Settings) -> AttentionOptions:
    """The settings of patches that attend to one another."""
    return AttentionOptions(
        spatial=settings.spatial_attention,
        temporal=settings.temporal_attention,
        lazy=settings.lazy_attention,
        frames=settings.attention_frames,
        layers=parse_layers(settings.attention_layers),
        offload=settings.attention_offload,
        softening=(1.0, settings.softening),
    )


def propagation_options(settings: Settings) -> PropagationOptions | None:
    """The settings of propagation along the motion; None: there is none."""
    if settings.propagation == 0:
        return None
    return PropagationOptions(settings.propagation, settings.propagation_start, settings.propagation_end)


def set_up_run(
    latent: Tensor,
    frames: Tensor,
    plan: PatchPlan,
    models: RunModels,
    settings: Settings,
    chunk_state: ChunkState | None = None,
) -> RunSetup:
    """Everything that the settings demand around the base model.

    The view of the whole video is encoded only where the adapter attends to it: not at strength 0.

    Args:
        latent: (1, C, t, h, w) of the upsampled LR input, as :func:`frames.encode_input` makes it.
    """
    codec, view, propagation = models.codec, None, None
    if models.has_global_branch and settings.global_strength != 0:
        view = encode_global(codec, frames, plan.canvas, plan.patch_size[1:])
    options = propagation_options(settings)
    if options is not None:
        pixels = codec.is_lossless
        propagation = measure_propagation(options, plan.canvas, frames, pixels=pixels, chunk_state=chunk_state)
    return RunSetup(
        frames,
        plan,
        PatchConditions(
            latent,
            settings.noise_level,
            settings.seed,
            codec,
            frames,
            noised=encode_noised(
                codec,
                frames,
                plan.canvas,
                settings.noise_level,
                settings.seed,
                form=settings.noise_form,
                tile_px=settings.tile_px,
                overlap_px=settings.tile_overlap_px,
            ),
        ),
        view,
        Strengths(settings.patch_strength, settings.global_strength),
        noise_levels(settings),
        attention_options(settings),
        propagation,
    )
