"""What a run will cost on this machine, whose speed is measured on a small piece of every stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..devices import time_warm_call
from ..finish.back_projection import back_project
from ..finish.base_layer import make_base_layer
from ..finish.image_upscaler import upscale_images
from ..finish.refine import Refiner, refine_frames
from ..hosts.diffusers.denoiser import DiffusersDenoiser
from ..hosts.diffusers.models import Models
from ..plan.canvas import Canvas, PatchPlan
from ..plan.planner import plan_tiles
from ..restorer.shipped import restore_as_shipped
from ..run.cost import run_memory
from ..run.throughput import Throughput, Work, run_seconds, tokens_of, work_of
from ..sampling.conditions import Controls
from ..sampling.joint_modulation import check_steps
from ..sampling.schedules import step_count
from ..settings import BICUBIC, RESTORER, Settings

PIECE_PX = 256
PIECE_FRAMES = 4
"""Size of what is restored, refined and back-projected to measure the speed."""


@dataclass(frozen=True)
class Estimate:
    """Cost of one run."""

    evaluations: int
    """Of the base on a patch, over all steps."""
    memory_bytes: int
    """Peak beside the weights."""
    seconds: float


def estimate(plan: PatchPlan, models: Models, settings: Settings, *, keeps_result: bool = True) -> Estimate:
    """Count what a plan takes, by the model of :mod:`run.throughput`, at the speed that :func:`measure` finds.

    Args:
        keeps_result: see :func:`run.cost.run_memory`.

    Raises:
        PlanError: for a plan that the settings cannot run.
    """
    check_steps(plan, step_count(settings))
    work = work_of(plan, settings, is_lossless=models.codec.is_lossless)
    seconds = run_seconds(work, measure(plan, models, settings, work))
    assert seconds is not None, "all that takes time was timed"
    together = models.patches_at_once(plan, settings)
    memory = run_memory(plan, models.networks, settings, together, keeps_result=keeps_result)
    return Estimate(work.evaluations, memory.peak, seconds)


@torch.inference_mode()
def measure(plan: PatchPlan, models: Models, settings: Settings, work: Work) -> Throughput:
    """Run on noise what the work is made of: one patch, one tile, a small refinement, a small clip."""
    stages = {"fidelity": _fidelity_seconds(models, settings)}
    if settings.base_layer != BICUBIC:
        stages[settings.base_layer] = _base_layer_seconds(models, settings)
    if not work.uses_codec:
        return Throughput(stages=stages)
    megapixels = plan.canvas.frames * plan.canvas.target[0] * plan.canvas.target[1] / 1e6
    stages["codec"] = _codec_seconds(plan.canvas, models, settings) / megapixels
    if models.refiner is not None and settings.refine_strength > 0:
        adds_detail = models.codec.is_lossless and settings.base_layer != BICUBIC
        times = 2 if adds_detail else 1  # with detail and without
        stages["refine"] = times * _refiner_seconds(models.refiner)
    if work.evaluations == 0:
        return Throughput(stages=stages)
    adapter, patch = _patch_seconds(plan, models)
    return Throughput({tokens_of(plan): patch}, stages, adapter=adapter)


def _patch_seconds(plan: PatchPlan, models: Models) -> tuple[float, float]:
    """What the adapter takes for one patch, and the base."""
    channels, device = models.codec.channels, models.device
    patch = plan.primary[0]  # at the origin, so that a latent of its size is enough
    latent = torch.zeros(1, channels, *patch.size, device=device)
    controls = Controls(plan, latent, view=latent if models.adapter else None, adapter=models.adapter)
    denoiser = DiffusersDenoiser(models.base, [models.prompt.to(device)], models.adapter)
    control = controls([patch])
    try:
        return (
            time_warm_call(lambda: controls([patch], again=False)),
            time_warm_call(lambda: denoiser(latent, torch.tensor(1.0), control)),
        )
    finally:
        denoiser.close()


def _codec_seconds(canvas: Canvas, models: Models, settings: Settings) -> float:
    """Encoding and decoding of all tiles, from a few frames of one."""
    tiles = plan_tiles(canvas, settings.tile_px, settings.tile_overlap_px)
    row, column = next(iter(tiles))
    frames = min(canvas.latent_frames, 2)
    tile = torch.zeros(1, models.codec.channels, frames, len(row.weight), len(column.weight), device=models.device)
    both = time_warm_call(lambda: models.codec.encode(models.codec.decode(tile).clamp(0, 1)))
    return len(tiles) * both * canvas.latent_frames / frames


def _base_layer_seconds(models: Models, settings: Settings) -> float:
    """What makes the base layer, the restorer with the flow that guides it, per megapixel of the result."""
    _, source = _small_clip(models.device)
    if settings.base_layer == RESTORER:
        return _per_megapixel(lambda: restore_as_shipped(source, device=models.device, dtype=models.dtype))
    upscale = None if models.upscaler is None else partial(upscale_images, models.upscaler)
    size = (PIECE_PX, PIECE_PX)
    return _per_megapixel(lambda: make_base_layer(settings.base_layer, source, size, upscale=upscale))


def _refiner_seconds(refiner: Refiner) -> float:
    """The refiner, per megapixel."""
    frames, source = _small_clip(refiner.head.weight.device)
    return _per_megapixel(lambda: refine_frames(refiner, frames, source))


def _fidelity_seconds(models: Models, settings: Settings) -> float:
    """Back-projection, per megapixel."""
    frames, source = _small_clip(models.device)
    rounds, strength = settings.fidelity_rounds, settings.fidelity_strength
    return _per_megapixel(lambda: back_project(frames, source, rounds=rounds, strength=strength))


def _small_clip(device: torch.device) -> tuple[Tensor, Tensor]:
    """Noise: a result, and the input that it could be made from."""
    frames = torch.rand(PIECE_FRAMES, PIECE_PX, PIECE_PX, 3, device=device)
    return frames, frames[:, ::4, ::4].contiguous()


def _per_megapixel(work: Callable[[], object]) -> float:
    return time_warm_call(work) * 1e6 / (PIECE_FRAMES * PIECE_PX**2)
