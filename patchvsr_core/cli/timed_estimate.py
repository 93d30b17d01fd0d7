"""What a run will cost: patches, memory, and time from a small piece of every stage, really run."""

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
from ..run.memory import memory_bytes
from ..sampling.conditions import Controls
from ..sampling.joint_modulation import check_steps
from ..sampling.schedules import step_count
from ..settings import Settings
from ..stages import patches_of_step, steps_of_run

PIECE_PX = 256
PIECE_FRAMES = 4
"""Size of what is refined and back-projected to measure the speed."""


@dataclass(frozen=True)
class Estimate:
    """Cost of one run."""

    patches: int
    """Patch evaluations over all steps."""
    memory_bytes: int
    """Beside the weights: frames and latents of the whole clip, and the patches at work."""
    seconds: float


def estimate(plan: PatchPlan, models: Models, settings: Settings) -> Estimate:
    """Run one patch, one tile and a small refinement on noise, and extrapolate.

    Raises:
        PlanError: for a plan that the settings cannot run.
    """
    check_steps(plan, step_count(settings))
    patches = sum(len(patches_of_step(plan, settings, step)) for step in steps_of_run(settings))
    with torch.inference_mode():
        control, prediction = _patch_seconds(plan, models)
        seconds = _evaluations(patches, plan, settings) * prediction + _places(plan, settings) * control
        seconds += _codec_seconds(plan.canvas, models, settings)
        seconds += _finishing_seconds(plan.canvas, models, settings)
    at_work = models.patches_at_once(plan, settings) * models.patch_bytes(plan)
    memory = memory_bytes(plan, models, settings) + at_work
    return Estimate(patches, memory, seconds)


def _evaluations(patches: int, plan: PatchPlan, settings: Settings) -> int:
    """Runs of the base on a patch: guidance needs two, and SAP a first one of the primary grid."""
    first_runs = 0
    if settings.spatial_attention and not settings.lazy_attention:
        turns = 2 if settings.temporal_attention else 1
        first_runs = len(plan.primary) * -(-len(steps_of_run(settings)) // turns)
    return (patches + first_runs) * (1 if settings.guidance == 1 else 2)


def _places(plan: PatchPlan, settings: Settings) -> int:
    """Places for patches, which the adapter looks at once each."""
    steps = range(step_count(settings))
    return len({patch.origin for step in steps for patch in patches_of_step(plan, settings, step)})


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


def _finishing_seconds(canvas: Canvas, models: Models, settings: Settings) -> float:
    """Refiner and back-projection, by the number of pixels."""
    frames = torch.rand(PIECE_FRAMES, PIECE_PX, PIECE_PX, 3, device=models.device)
    source = torch.rand(PIECE_FRAMES, PIECE_PX // 4, PIECE_PX // 4, 3, device=models.device)
    refiner = models.refiner if settings.refine_strength > 0 else None

    def finish() -> None:
        refined = frames if refiner is None else refine_frames(refiner, frames, source)
        back_project(refined, source, rounds=settings.fidelity_rounds, strength=settings.fidelity_strength)

    pixels = canvas.frames * canvas.target[0] * canvas.target[1]
    return time_warm_call(finish) * pixels / (PIECE_FRAMES * PIECE_PX**2)
