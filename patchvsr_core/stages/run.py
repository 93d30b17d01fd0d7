"""A run from clip to clip, the same in every host but for the denoising itself.

:func:`upscale_clip` plans, encodes, sets up, lets the host denoise, decodes and postprocesses. What a host does in
its own way, it gives as a :class:`Host`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ..degradation import CLEAN, MeasuredDegradation, measure_degradation
from ..distributed import current_group
from ..finish.base_layer import Fast, Restore, Upscale
from ..plan.canvas import Canvas, PatchPlan
from ..plan.chunks import ChunkState
from ..progress import OnProgress
from ..sampling.joint_modulation import check_steps
from ..sampling.schedules import step_count
from ..settings import Settings
from ..vae.conditional_decoder import ConditionalDecoder
from .frames import BaseLayer, Refine, decode_frames, encode_input, postprocess, restore_input
from .setup import RunModels, RunSetup, carries_state, make_plan, runs_diffusion, set_up_run

Noise = Callable[[torch.Size], Tensor]
"""Draws normal noise in the shape of the latent canvas."""
Denoise = Callable[[RunSetup], Tensor]
"""The host's own part: the fused canvas (1, C, t, h, w) at noise level 0."""
Timed = Callable[[str, Canvas], AbstractContextManager[None]]
"""(stage, canvas) to a context around that stage."""

DEGRADATION = "degradation"
"""What a chunk leaves to the next: the level, and 1 where it is compression."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """What every host does in its own way, each network under its own management of memory."""

    denoise: Denoise
    """Not called when the run starts at noise level 0, or the base layer is the whole result."""
    refine: Refine | None = None
    restore: Restore | None = None
    """Runs the restorer; None: the shipped one where the frames are."""
    upscale: Upscale | None = None
    """Runs an image upscaler, for the base layer of that name."""
    fast: Fast | None = None
    """Runs a real-time network, for the base layer of its name; None: the shipped one where the frames are."""
    decoder: ConditionalDecoder | None = None
    """Lets the input modulate the VAE's decoder."""
    timed: Timed = lambda stage, canvas: nullcontext()
    """Measures encoding and decoding."""


def upscale_clip(
    frames: Tensor,
    target: tuple[int, int],
    models: RunModels,
    settings: Settings,
    report: OnProgress,
    host: Host,
    chunk_state: ChunkState | None = None,
) -> Tensor:
    """Upscale one clip; the processes of the current group divide the work.

    Args:
        frames: (T, h, w, 3) float in [0, 1]; not changed.
        target: (height, width) of the result.
        chunk_state: takes what recurs along the motion on from the clip before and to the one after.

    Returns:
        (T, height, width, 3) in [0, 1]; this process's own frames, and none where ``chunk_state.on_final`` took them.
    """
    plan = make_plan(len(frames), (int(frames.shape[1]), int(frames.shape[2])), target, models, settings)
    check_steps(plan, step_count(settings))
    degradation = _find_degradation(frames, models, settings, chunk_state or ChunkState())
    base_layer = BaseLayer(settings, degradation, report, chunk_state, host.restore, host.upscale, host.fast)
    if not runs_diffusion(settings, is_lossless=models.codec.is_lossless):
        return restore_input(frames, target, settings, report, base_layer)

    def make_frames() -> Tensor:  # the latent is gone when they are there
        latent = sample_canvas(frames, plan, models, settings, report, host, base_layer, chunk_state)
        with host.timed("decode", plan.canvas):
            decoded = decode_frames(latent, frames, plan.canvas, models.codec, settings, report, host.decoder)
            return decoded.to(frames.device)

    return postprocess(make_frames(), frames, settings, report, models.codec, host.refine, base_layer)


def _find_degradation(
    frames: Tensor, models: RunModels, settings: Settings, chunk_state: ChunkState
) -> MeasuredDegradation:
    """What is to be removed from a clip.

    Where chunks of a shot hand their state on, the first decides for all, or its look would change midway. Where they
    are independent, so that several machines can make them, each is measured by itself.
    """
    if not settings.restore_strength:
        return CLEAN
    hands_on = carries_state(settings)
    given = (chunk_state.before or {}).get(DEGRADATION) if hands_on else None
    if given is None:
        found = current_group().broadcast_object(lambda: measure_degradation(models.estimator, frames))
    else:
        found = MeasuredDegradation(float(given[0]), bool(given[1]))
    if hands_on and chunk_state.until is not None:
        chunk_state.leave({DEGRADATION: torch.tensor([found.level, found.is_compressed], dtype=torch.float32)})
    return found.scaled(settings.restore_strength)


def sample_canvas(
    frames: Tensor,
    plan: PatchPlan,
    models: RunModels,
    settings: Settings,
    report: OnProgress,
    host: Host,
    base_layer: BaseLayer | None = None,
    chunk_state: ChunkState | None = None,
) -> Tensor:
    """Encode, set up and denoise: the fused canvas, (1, C, t, h, w). See :func:`upscale_clip`."""
    with host.timed("encode", plan.canvas):
        base_layer = base_layer or BaseLayer(settings, CLEAN, report)
        latent = encode_input(frames, plan.canvas, models.codec, settings, report, base_layer)
    if settings.start == 0:
        return latent  # nothing is to be denoised
    return host.denoise(set_up_run(latent, frames, plan, models, settings, chunk_state))
