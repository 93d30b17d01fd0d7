"""What a run will cost on this machine, whose speed is measured on a small piece of every stage."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..devices import time_warm_call
from ..finish.back_projection import back_project
from ..finish.refine import refine_frames
from ..hosts.diffusers.denoiser import DiffusersDenoiser
from ..hosts.diffusers.models import Models
from ..plan.canvas import Canvas, PatchPlan
from ..plan.planner import plan_tiles
from ..run.cost import Throughput, run_memory, run_seconds, tokens_of, work_of
from ..sampling.conditions import Controls
from ..sampling.joint_modulation import check_steps
from ..sampling.schedules import step_count
from ..settings import Settings

PIECE_PX = 256
PIECE_FRAMES = 4
"""Size of what is refined and back-projected to measure the speed."""


@dataclass(frozen=True)
class Estimate:
    """Cost of one run."""

    evaluations: int
    """Of the base on a patch, over all steps."""
    memory_bytes: int
    """Peak beside the weights."""
    seconds: float


def estimate(plan: PatchPlan, models: Models, settings: Settings) -> Estimate:
    """Count what a plan takes, by the model of :mod:`run.cost`, at the speed that :func:`measure` finds.

    Raises:
        PlanError: for a plan that the settings cannot run.
    """
    check_steps(plan, step_count(settings))
    work = work_of(plan, settings)
    seconds = run_seconds(work, measure(plan, models, settings))
    assert seconds is not None, "a patch of this very size was timed"
    memory = run_memory(plan, models.networks, settings, models.patches_at_once(plan, settings))
    return Estimate(work.evaluations, memory.peak, seconds)


@torch.inference_mode()
def measure(plan: PatchPlan, models: Models, settings: Settings) -> Throughput:
    """Run one patch, one tile and a small refinement on noise."""
    adapter, patch = _patch_seconds(plan, models)
    megapixels = plan.canvas.frames * plan.canvas.target[0] * plan.canvas.target[1] / 1e6
    stages = {
        "codec": _codec_seconds(plan.canvas, models, settings) / megapixels,
        "finish": _finishing_seconds(models, settings),
    }
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


def _finishing_seconds(models: Models, settings: Settings) -> float:
    """Refiner and back-projection, per megapixel."""
    frames = torch.rand(PIECE_FRAMES, PIECE_PX, PIECE_PX, 3, device=models.device)
    source = torch.rand(PIECE_FRAMES, PIECE_PX // 4, PIECE_PX // 4, 3, device=models.device)
    refiner = models.refiner if settings.refine_strength > 0 else None

    def finish() -> None:
        refined = frames if refiner is None else refine_frames(refiner, frames, source)
        back_project(refined, source, rounds=settings.fidelity_rounds, strength=settings.fidelity_strength)

    return time_warm_call(finish) * 1e6 / (PIECE_FRAMES * PIECE_PX**2)
